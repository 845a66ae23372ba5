import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';

/**
 * What Node says of a certificate whose authority it does not know (https://nodejs.org/docs/latest-v20.x/api/tls.html).
 */
const UNTRUSTED: readonly string[] = [
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
];

/** What to do about an error of a connection whose certificate is not trusted here; `undefined` for any other error. */
export function untrustedHint(error: unknown): string | undefined {
  const { code, message = '' } = (error ?? {}) as { code?: unknown; message?: string };
  // An error that was made safe to keep has its code in its message only.
  return UNTRUSTED.some((one) => one === code || message.includes(one))
    ? 'Its certificate is of an authority that is not known here: name the file with the authority in ' +
        'NODE_EXTRA_CA_CERTS.'
    : undefined;
}

/** Certificate authorities beyond the usual ones. */
export interface Authorities {
  readonly file: string;
  /** PEM, one after the other. */
  readonly pem: string;
  readonly count: number;
}

/**
 * Reads the file named by `NODE_EXTRA_CA_CERTS`. Node itself reads it before any code of ours runs, and only warns of
 * one that it cannot use.
 * @throws VideoError `ConfigurationInvalid` when it cannot be read, or holds anything but certificates in PEM.
 */
export function readAuthorities(file: string): Authorities {
  const refuse = (fault: string, cause?: unknown) =>
    new VideoError(FailureType.ConfigurationInvalid, `NODE_EXTRA_CA_CERTS names ${file}, which ${fault}`, {
      cause,
      issues: [{ path: 'NODE_EXTRA_CA_CERTS', message: `names ${file}, which ${fault}` }],
      nextStep: 'Name a file with one or more certificates in PEM, or unset it.',
    });
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw refuse(missing ? 'does not exist' : 'cannot be read', cause);
  }
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw refuse('holds no certificate in PEM');
  for (const [index, block] of blocks.entries()) {
    try {
      new X509Certificate(block);
    } catch (cause) {
      throw refuse(`holds something else than a certificate in its place ${index + 1}`, cause);
    }
  }
  return { file, pem: blocks.join('\n'), count: blocks.length };
}
