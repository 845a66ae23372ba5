import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import { redactText } from '../net/redact.js';

/** The call that failed; `task` is a task that ended FAILED, whose code came in a 200 answer. */
export type ProviderOperation = 'submit' | 'query' | 'list' | 'cancel' | 'policy' | 'upload' | 'download' | 'task';

/** What the provider said when it refused. */
export interface ProviderFault {
  /** HTTP status; 200 for a FAILED task. */
  readonly status: number;
  readonly code?: string | undefined;
  readonly message?: string | undefined;
  readonly retryAfterMs?: number | undefined;
  readonly requestId?: string | undefined;
}

interface Verdict {
  readonly type: FailureType;
  readonly retryable: boolean;
  readonly nextStep: string;
}

const no = (type: FailureType, nextStep: string): Verdict => ({ type, retryable: false, nextStep });
const again = (type: FailureType, nextStep: string): Verdict => ({ type, retryable: true, nextStep });

const INVALID = no(FailureType.InvalidRequest, 'Correct the field that the message names and send the request again.');
const UNREACHABLE = no(
  FailureType.ReferenceUnreachable,
  'Check that the image address answers from the internet, or hand the image over as a file.',
);
const CONTENT = no(FailureType.ContentRejected, 'Change the prompt or the image; the same input is refused again.');
const BILLING = no(FailureType.AccountBlocked, 'Settle or top up the Model Studio account, then start again.');
const ACTIVATION = no(
  FailureType.AccountBlocked,
  'Activate the model for this account and workspace in the Model Studio console, then start again.',
);
const FREE_TIER = no(
  FailureType.AccountBlocked,
  'The included quota is used up: allow paid use in the Model Studio console or wait for its renewal.',
);
const KEY = no(
  FailureType.CredentialsRejected,
  'Check the API key, its workspace, its billing plan, and that DASHSCOPE_HTTP_BASE_URL is of the same region ' +
    'as the key.',
);
const WORKSPACE = no(FailureType.ConfigurationInvalid, 'Check the workspace id in DASHSCOPE_WORKSPACE.');
const ADDRESS = no(
  FailureType.ConfigurationInvalid,
  'Check DASHSCOPE_HTTP_BASE_URL (it ends with /api/v1) and that the region offers the model.',
);
const THROTTLED = again(FailureType.ProviderThrottled, 'Wait; the step is retried. Lower the rates if it persists.');
const DOWN = again(FailureType.ProviderUnavailable, 'Wait; the step is retried.');
const POLICY = again(FailureType.ProviderUnavailable, 'Request a new upload policy and upload again.');
const UNDELIVERED = again(FailureType.ResultUnreachable, 'Nothing is lost: the link is requested again.');
const EXPIRED = no(FailureType.ResultExpired, 'The link lives 24 hours; generate again if the video is not archived.');

/** By code. Letters and digits decide, so that `invalid_api_key` and `InvalidApiKey` are one code. */
const BY_CODE: ReadonlyMap<string, Verdict> = new Map(
  (
    [
      ['InvalidParameter', INVALID],
      ['BadRequest', INVALID],
      ['BadRequest.InputDownloadFailed', UNREACHABLE],
      ['InvalidURL', INVALID],
      ['InvalidURL.ConnectionRefused', UNREACHABLE],
      ['InvalidURL.Timeout', UNREACHABLE],
      ['UnsupportedOperation', INVALID],
      ['DataInspectionFailed', CONTENT],
      ['IPInfringementSuspect', CONTENT],
      ['Arrearage', BILLING],
      ['CommodityNotPurchased', BILLING],
      ['PrepaidBillOverdue', BILLING],
      ['PostpaidBillOverdue', BILLING],
      ['AccessDenied', KEY],
      ['AccessDenied.Unpurchased', ACTIVATION],
      ['Model.AccessDenied', ACTIVATION],
      ['Workspace.AccessDenied', ACTIVATION],
      ['AllocationQuota.FreeTierOnly', FREE_TIER],
      ['InvalidApiKey', KEY],
      ['InvalidToken', KEY],
      ['NOT AUTHORIZED', KEY],
      ['Unauthorized', KEY],
      ['ModelNotFound', ADDRESS],
      ['WorkSpaceNotFound', WORKSPACE],
      ['NotFound', ADDRESS],
      ['Throttling', THROTTLED],
      ['LimitRequests', THROTTLED],
      ['TooManyRequests', THROTTLED],
      ['InternalError', DOWN],
      ['SystemError', DOWN],
      ['ModelServiceFailed', DOWN],
      ['RequestTimeOut', DOWN],
      ['RewriteFailed', DOWN],
      ['ModelServingError', DOWN],
      ['ModelUnavailable', DOWN],
    ] as const
  ).map(([code, verdict]) => [code.split('.').map(bareWord).join('.'), verdict]),
);

/** Kinds of codes that nobody lists yet, by how a segment begins. */
const BY_STEM: readonly (readonly [RegExp, Verdict])[] = [
  [/^(invalid|missing|unsupported|illegal)/, INVALID],
  [/^(throttl|ratelimit)/, THROTTLED],
];

/** Segments of a code that are read; real codes have up to three. */
const SEGMENTS_MAX = 6;

function bareWord(word: string): string {
  return word.replace(/[^\p{L}\p{N}]+/gu, '').toLowerCase();
}

/**
 * The last dotted part of a code in lower case, letters and digits only: `Foo.UnsupportedOperation` →
 * `unsupportedoperation`.
 */
export function lastSegment(code: string): string {
  return bareWord(code.slice(0, 200).split('.').at(-1) ?? '');
}

function byStatus(status: number): Verdict {
  if (status === 401 || status === 403) return KEY;
  if (status === 404 || (status >= 300 && status < 400)) return ADDRESS;
  if (status === 429) return THROTTLED;
  if (status === 408 || status >= 500 || status < 300) return DOWN;
  return INVALID;
}

/**
 * By code: the last segment that is known decides, with as many segments before it as make it more precise
 * (`InternalError.Algo.InvalidParameter` is an input fault, `AccessDenied.Unpurchased` a missing activation).
 */
function byCode(code: string | undefined): Verdict | undefined {
  if (code === undefined) return undefined;
  const segments = code.slice(0, 200).split('.').slice(0, SEGMENTS_MAX).map(bareWord);
  for (let end = segments.length; end > 0; end -= 1) {
    for (let start = 0; start < end; start += 1) {
      const verdict = BY_CODE.get(segments.slice(start, end).join('.'));
      if (verdict !== undefined) return verdict;
    }
    const stem = BY_STEM.find(([pattern]) => pattern.test(segments[end - 1] ?? ''));
    if (stem !== undefined) return stem[1];
  }
  // Gateways repeat the HTTP status as the code.
  return /^[45]\d\d$/.test(code) ? byStatus(Number(code)) : undefined;
}

function judge({ status, code, message = '' }: ProviderFault, operation: ProviderOperation): Verdict {
  // A signed link that is out of date is refused by the object store with 403, a removed object with 404.
  if (operation === 'download') return [403, 404, 410].includes(status) ? EXPIRED : UNDELIVERED;
  if (/policy expired/i.test(message)) return POLICY;
  if (operation === 'upload' && code === undefined && status === 403) return POLICY;
  if (/free (?:allocated )?(?:quota|tier)|quota has been exhausted/i.test(message)) return FREE_TIER;
  if (/does not support a?synchronous calls/i.test(message)) return INVALID;
  const verdict = byCode(code);
  if (operation === 'task') {
    // Waiting does not help a task that has ended; a new task is a new purchase, which the caller decides.
    if (verdict === undefined || verdict.retryable) {
      return no(FailureType.TaskFailed, 'The failed task is free of charge. Start the generation again.');
    }
    return verdict;
  }
  return verdict ?? byStatus(status);
}

/**
 * Names a refusal of the provider. Pure: by code first, then by a few stems of the message, then by status.
 * @returns a {@link VideoError}; `retryable` says that the same call may be sent again, `billed` is false where
 * nothing was bought: a FAILED task, a refused submit, an upload. Codes and meanings:
 * https://help.aliyun.com/zh/model-studio/error-code
 */
export function classifyProviderError(fault: ProviderFault, operation: ProviderOperation): VideoError {
  const { status, code, message, retryAfterMs, requestId } = fault;
  const { type, retryable, nextStep } = judge(fault, operation);
  const said = [code, message].filter((part) => part !== undefined && part !== '').join(': ');
  const what =
    operation === 'task' ? 'The task failed at the provider' : `The provider refused the ${operation} (HTTP ${status})`;
  return new VideoError(type, redactText(said === '' ? what : `${what}: ${said}`, [], 600), {
    retryable,
    retryAfterMs,
    code,
    requestId,
    nextStep,
    ...(isFree(operation, status) && { billed: false }),
  });
}

/** A FAILED task is free, an upload costs nothing, and a submit that was refused in these words created no task. */
function isFree(operation: ProviderOperation, status: number): boolean {
  if (operation === 'submit') return (status >= 400 && status < 500 && status !== 408) || status === 503;
  return operation === 'task' || operation === 'policy' || operation === 'upload';
}
