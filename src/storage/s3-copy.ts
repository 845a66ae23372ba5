import type { PutObjectCommandInput, S3Client } from '@aws-sdk/client-s3';
import { faultOf } from './s3-errors.js';

/** The parameters of a put without its body. */
export type PutTarget = Omit<PutObjectCommandInput, 'Body'>;

/** Answers of servers that copy no parts. */
const NO_COPY: readonly (number | undefined)[] = [400, 405, 501];
/** Parts at once; the bytes stay in the server. */
const PARTS_AT_ONCE = 4;

/** What a copy needs. */
export interface PartCopy {
  readonly client: S3Client;
  readonly s3: typeof import('@aws-sdk/client-s3');
  readonly source: { readonly Bucket: string; readonly Key: string };
  readonly target: PutTarget;
  /** The size of the parts in which objects of several parts were uploaded. */
  readonly partBytes: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * Copies inside the server as an upload of parts. Its completion is conditional on every server whose uploads are,
 * while servers ignore the condition of CopyObject silently (versitygw 1.8 does).
 * @returns whether the entity tags prove that the bytes are equal: the parts are those of the source, so their tags are
 * equal unless the server makes them of something else. Undefined: this server copies no parts.
 * @throws the SDK's error; nothing remains of it then, and nothing is replaced.
 */
export async function copyParts({
  client,
  s3,
  source,
  target,
  partBytes,
  signal,
}: PartCopy): Promise<boolean | undefined> {
  const options = signal === undefined ? {} : { abortSignal: signal };
  const { ContentLength: bytes = 0, ETag: tag } = await client.send(new s3.HeadObjectCommand(source), options);
  const { IfNoneMatch, ...created } = target;
  const { Bucket, Key } = target;
  const { UploadId } = await client.send(new s3.CreateMultipartUploadCommand(created), options);
  const upload = { Bucket, Key, UploadId };
  try {
    const CopySource = `${source.Bucket}/${source.Key.split('/').map(encodeURIComponent).join('/')}`;
    const ranges = rangesOf(bytes, tag, partBytes);
    const Parts: { PartNumber: number; ETag: string }[] = [];
    for (let at = 0; at < ranges.length; at += PARTS_AT_ONCE) {
      const answers = ranges.slice(at, at + PARTS_AT_ONCE).map(async (CopySourceRange, nth) => {
        const PartNumber = at + nth + 1;
        const part = { ...upload, PartNumber, CopySource, ...(CopySourceRange !== null && { CopySourceRange }) };
        const { CopyPartResult } = await client.send(new s3.UploadPartCopyCommand(part), options);
        return { PartNumber, ETag: CopyPartResult?.ETag };
      });
      for (const { PartNumber, ETag } of await Promise.all(answers)) {
        // A server that does not know the header takes the part for an empty one, and answers without a result.
        if (ETag === undefined) return await abandon(client, s3, upload);
        Parts.push({ PartNumber, ETag });
      }
    }
    const finished = { ...upload, ...(IfNoneMatch !== undefined && { IfNoneMatch }), MultipartUpload: { Parts } };
    const { ETag } = await client.send(new s3.CompleteMultipartUploadCommand(finished), options);
    return tag !== undefined && (ranges.length === 1 ? Parts[0]?.ETag === tag : ETag === tag);
  } catch (error) {
    await abandon(client, s3, upload);
    if (NO_COPY.includes(faultOf(error).status)) return undefined;
    throw error;
  }
}

/** The parts of the source, by its entity tag, as ranges of bytes; null: the whole of it. */
function rangesOf(bytes: number, tag: string | undefined, partBytes: number): readonly (string | null)[] {
  const parts = Number(/-(\d+)"?$/.exec(tag ?? '')?.[1] ?? 1);
  if (parts === 1 || parts !== Math.ceil(bytes / partBytes)) return [null];
  return Array.from({ length: parts }, (_, nth) => {
    const from = nth * partBytes;
    return `bytes=${from}-${Math.min(bytes, from + partBytes) - 1}`;
  });
}

/** Removes the parts; those of a process that dies are removed by the bucket's lifecycle rule. */
async function abandon(
  client: S3Client,
  s3: typeof import('@aws-sdk/client-s3'),
  upload: {
    readonly Bucket: string | undefined;
    readonly Key: string | undefined;
    readonly UploadId: string | undefined;
  },
): Promise<undefined> {
  await client.send(new s3.AbortMultipartUploadCommand(upload)).catch(() => undefined);
  return undefined;
}
