import { randomUUID } from 'node:crypto';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import type { UploadPolicy } from './wire.js';

/** One file of the provider's temporary store. */
export interface UploadedFile {
  /** Unique below the policy's directory: the store never replaces an object. */
  readonly name: string;
  readonly contentType: string;
  /** Exact length of `body` in bytes. */
  readonly size: number;
  readonly body: AsyncIterable<Uint8Array>;
}

/** The multipart body that uploads a file under a policy. */
export interface UploadForm {
  /** The object's key; its address is `oss://<key>`. */
  readonly key: string;
  readonly headers: Record<string, string>;
  readonly body: AsyncIterable<Uint8Array>;
  /** The error that the file's own source threw, once it has. */
  readonly sourceError: () => { readonly error: unknown } | undefined;
}

/**
 * Builds the form; the file comes last, as the store requires.
 * @throws {@link VideoError} `InvalidRequest` for a name or type that a header cannot carry.
 */
export function buildUploadForm(policy: UploadPolicy, file: UploadedFile): UploadForm {
  const { name, contentType, size, body } = file;
  if (!/^[\w.-]+$/.test(name) || !/^[\w.+-]+\/[\w.+-]+$/.test(contentType)) {
    throw new VideoError(FailureType.InvalidRequest, 'The name or type of the uploaded file has forbidden characters');
  }
  const key = `${policy.uploadDir}/${name}`;
  const boundary = `----wan-video-${randomUUID()}`;
  const fields = {
    OSSAccessKeyId: policy.accessKeyId,
    Signature: policy.signature,
    policy: policy.policy,
    key,
    'x-oss-object-acl': policy.objectAcl,
    'x-oss-forbid-overwrite': policy.forbidOverwrite,
    success_action_status: '200',
    'x-oss-content-type': contentType,
  };
  const parts = Object.entries(fields).map(
    ([field, value]) => `--${boundary}\r\nContent-Disposition: form-data; name="${field}"\r\n\r\n${value}\r\n`,
  );
  const filePart = [
    `--${boundary}`,
    `Content-Disposition: form-data; name="file"; filename="${name}"`,
    `Content-Type: ${contentType}`,
    '\r\n',
  ].join('\r\n');
  const head = Buffer.from(parts.join('') + filePart);
  const tail = Buffer.from(`\r\n--${boundary}--\r\n`);
  let sourceError: { readonly error: unknown } | undefined;
  return {
    key,
    headers: {
      'content-type': `multipart/form-data; boundary=${boundary}`,
      'content-length': String(head.length + size + tail.length),
    },
    body: (async function* () {
      yield head;
      try {
        yield* body;
      } catch (error) {
        sourceError = { error };
        throw error;
      }
      yield tail;
    })(),
    sourceError: () => sourceError,
  };
}
