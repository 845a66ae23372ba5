import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import { untrustedHint } from '../net/trust.js';

/** The part of an error of the AWS SDK that describes the store's answer. */
interface S3Fault {
  /** S3's error code, or the name of the SDK's own error. */
  readonly name: string;
  readonly status: number | undefined;
}

/** Codes of a store that is set up wrongly, each with the fault and its remedy. */
const SETUP_FAULTS: Readonly<Record<string, readonly [fault: string, nextStep: string]>> = {
  NoSuchBucket: ['the bucket does not exist', 'Create the bucket, or correct ASSET_STORE.'],
  InvalidBucketName: ['the bucket name is not valid', 'Correct ASSET_STORE.'],
  InvalidAccessKeyId: ['the access key is unknown', 'Correct AWS_ACCESS_KEY_ID or the profile it comes from.'],
  // versitygw's name for the same; it comes with status 404
  XAdminUserNotFound: ['the access key is unknown', 'Correct AWS_ACCESS_KEY_ID or the profile it comes from.'],
  SignatureDoesNotMatch: [
    'the secret key does not match',
    'Correct AWS_SECRET_ACCESS_KEY or the profile it comes from.',
  ],
  ExpiredToken: ['the session token has expired', 'Renew the AWS session; long runs need a role or a permanent key.'],
  InvalidToken: ['the session token is not valid', 'Renew the AWS session, or unset AWS_SESSION_TOKEN.'],
  CredentialsProviderError: [
    'there are no credentials',
    'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE.',
  ],
  RequestTimeTooSkewed: ['the clocks differ too much', "Set this machine's clock (NTP); S3 allows 15 minutes."],
  AuthorizationHeaderMalformed: ['the region is another one', "Set AWS_REGION to the bucket's region."],
  PermanentRedirect: [
    'the bucket is in another region or at another endpoint',
    "Set AWS_REGION (and AWS_ENDPOINT_URL_S3) to the bucket's.",
  ],
  IllegalLocationConstraintException: ['the region is another one', "Set AWS_REGION to the bucket's region."],
  AccessDenied: [
    'access is denied',
    'Allow s3:ListBucket on the bucket and s3:GetObject, s3:PutObject, s3:DeleteObject, ' +
      's3:AbortMultipartUpload below the prefix.',
  ],
};

/** Words of answers that refuse a header which the AWS SDK sends with each body. */
const CHECKSUM_REFUSED = /checksum|trailer|x-amz-content-sha256|aws-chunked/i;
const CHECKSUM_FAULT = [
  'it does not implement a header of the request',
  'Set AWS_REQUEST_CHECKSUM_CALCULATION=WHEN_REQUIRED and AWS_RESPONSE_CHECKSUM_VALIDATION=WHEN_REQUIRED: the AWS ' +
    'SDK then sends no checksums, which older servers refuse. If both are set, the server has no conditional writes: ' +
    'use another store.',
] as const;

/** What a status code alone means where S3 sends no body, as to HEAD. */
const NAME_OF_STATUS: Readonly<Record<number, string>> = { 301: 'PermanentRedirect', 403: 'AccessDenied' };

/** Reads an error of the AWS SDK. */
export function faultOf(error: unknown): S3Fault {
  const { name, Code, $metadata } = (error ?? {}) as {
    name?: string;
    Code?: string;
    $metadata?: { httpStatusCode?: number };
  };
  return { name: Code ?? name ?? 'Unknown', status: $metadata?.httpStatusCode };
}

/** The answer to a conditional write whose key is taken: S3's, and Alibaba OSS's. */
export const isTaken = ({ name, status }: S3Fault): boolean => status === 412 || name === 'FileAlreadyExists';

/** Another conditional write to the same key was under way; which one won is not known yet. */
export const isConflict = ({ name }: S3Fault): boolean => name === 'ConditionalRequestConflict';

/** The store does not accept who asks, or nobody is configured; renewed credentials may help. */
export const isRefusal = ({ name, status }: S3Fault): boolean =>
  status === 401 ||
  status === 403 ||
  ['XAdminUserNotFound', 'CredentialsProviderError', 'ExpiredToken', 'InvalidToken'].includes(name);

/** The cause without requests and signatures, which the SDK's own errors carry and a log would print. */
export function causeOf(error: unknown): Error {
  const cause = new Error(error instanceof Error ? error.message : String(error));
  cause.name = faultOf(error).name;
  cause.stack = `${cause.name}: ${cause.message}`;
  return cause;
}

/** Turns an error of the AWS SDK into the one that callers see; it names store and key, and quotes no answer. */
export function s3Error(
  store: string,
  verb: 'read' | 'write' | 'list' | 'delete',
  key: string,
  error: unknown,
): VideoError {
  if (error instanceof VideoError) return error;
  const { name, status } = faultOf(error);
  const cause = causeOf(error);
  const regionMissing = cause.message === 'Region is missing';
  const isHeaderRefused = status === 501 || (status === 400 && CHECKSUM_REFUSED.test(`${name} ${cause.message}`));
  const wrong = regionMissing
    ? ([
        'the region is not set',
        'Set AWS_REGION; any value such as us-east-1 does for most servers other than AWS.',
      ] as const)
    : (SETUP_FAULTS[name] ??
      SETUP_FAULTS[NAME_OF_STATUS[status ?? 0] ?? ''] ??
      (isHeaderRefused ? CHECKSUM_FAULT : undefined));
  const what = `The asset store ${store} cannot ${verb} ${key || 'its keys'}`;
  // Retryable all the same: the check at start-up refuses a store that never worked, so later this is a fault that can
  // be fixed while a video that was paid for waits.
  if (wrong !== undefined) {
    const [fault, nextStep] = wrong;
    const context = { retryable: true, code: name, nextStep, cause };
    return new VideoError(FailureType.ConfigurationInvalid, `${what}: ${fault}`, context);
  }
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  const reason = [status, code ?? name].filter((part) => part !== undefined).join(' ');
  return new VideoError(FailureType.StoreUnavailable, `${what} (${reason})`, {
    retryable: true,
    code: name,
    nextStep:
      untrustedHint(error) ?? 'Check that the S3 server is up and reachable from here; the step is tried again.',
    cause,
  });
}
