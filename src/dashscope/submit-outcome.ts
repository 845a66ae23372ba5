import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import { AnswerReader } from './answer-reader.js';
import { classifyProviderError } from './errors.js';
import { errorAnswer } from './wire.js';

/** How a submit ended, as far as anybody can know. Only `unknown` may have left a paid task behind unseen. */
export type SubmitOutcome =
  | { readonly kind: 'accepted'; readonly taskId: string; readonly requestId: string | undefined }
  /** The provider refused; no task exists, and the same request is refused again. */
  | { readonly kind: 'rejected'; readonly error: VideoError }
  /** No task exists; the same request may be sent again. */
  | { readonly kind: 'not_sent'; readonly error: VideoError }
  /** A paid task may exist: reconcile, never send again. */
  | { readonly kind: 'unknown'; readonly error: VideoError };

/** What the wire showed of one submit. */
export interface SubmitObservation {
  /** Whether the HTTP client pulled the body; it does so only once the connection is up. */
  readonly bodyPulled: boolean;
  /** The whole answer, when one was read; `json` is undefined when it is not JSON. */
  readonly answer?:
    | {
        readonly status: number;
        readonly json: unknown;
        readonly requestId?: string | undefined;
        readonly retryAfterMs?: number | undefined;
      }
    | undefined;
  /** Redacted description of the fault that ended the call without a whole answer. */
  readonly fault?: string | undefined;
  readonly cause?: unknown;
}

/** Statuses after which a server in between may have passed the request on: it timed out, or the client left. */
const AMBIGUOUS_4XX: ReadonlySet<number> = new Set([408, 499]);

/**
 * Decides what a submit came to; pure. In doubt it says `unknown`, because a second submit is a second bill. A whole
 * 4xx answer is a refusal, also without the provider's envelope; 429, a code that means it, and the provider's own 503
 * bought nothing and may be sent again.
 */
export function decideSubmitOutcome({ bodyPulled, answer, fault, cause }: SubmitObservation): SubmitOutcome {
  const reader = new AnswerReader('submit', answer?.json);
  const requestId = reader.id('request_id') ?? answer?.requestId;
  const error = errorAnswer('submit', answer?.json);
  if (answer !== undefined) {
    const { status, retryAfterMs } = answer;
    // A task id is a task, regardless of status and of the other fields.
    const taskId = reader.object('output').id('task_id') ?? reader.id('task_id');
    if (taskId !== undefined) return { kind: 'accepted', taskId, requestId };
    const refusal = (): VideoError => classifyProviderError({ status, ...error, retryAfterMs, requestId }, 'submit');
    if (status === 429) {
      const refused = refusal();
      return refused.retryable ? { kind: 'not_sent', error: refused } : { kind: 'rejected', error: refused };
    }
    if (status === 503 && error.code !== undefined) return { kind: 'not_sent', error: asRetryable(refusal()) };
    if (status >= 400 && status < 500 && !AMBIGUOUS_4XX.has(status)) {
      const refused = refusal();
      const isThrottled = refused.type === FailureType.ProviderThrottled;
      return isThrottled ? { kind: 'not_sent', error: refused } : { kind: 'rejected', error: asFinal(refused) };
    }
  }
  const reason = fault ?? (answer === undefined ? 'no answer' : `HTTP ${answer.status} without a readable answer`);
  if (!bodyPulled) {
    return {
      kind: 'not_sent',
      error: new VideoError(FailureType.ProviderUnavailable, `The submit was not sent: ${reason}`, {
        retryable: true,
        requestId,
        retryAfterMs: answer?.retryAfterMs,
        billed: false,
        nextStep: 'Wait; the step is retried. If it persists, check the network and DASHSCOPE_HTTP_BASE_URL.',
        cause,
      }),
    };
  }
  return {
    kind: 'unknown',
    error: new VideoError(FailureType.SubmitOutcomeUnknown, `Nobody knows whether the submit was accepted: ${reason}`, {
      retryable: false,
      requestId,
      code: error.code,
      nextStep: 'Compare with the task list of the account before anything is sent again; a paid task may exist.',
      cause,
    }),
  };
}

function asRetryable(error: VideoError): VideoError {
  if (error.retryable) return error;
  const { code, requestId, retryAfterMs } = error;
  const nextStep = 'Wait; the step is retried.';
  const context = { retryable: true, code, requestId, retryAfterMs, billed: false, nextStep };
  return new VideoError(FailureType.ProviderUnavailable, error.message, context);
}

/** A refusal that ends the purchase: its advice must not promise a retry. */
function asFinal(error: VideoError): VideoError {
  const nextStep = error.retryable ? 'Nothing was bought. Start the generation again later.' : error.nextStep;
  return error.with({ retryable: false, retryAfterMs: undefined, billed: false, nextStep });
}

/** First pause after a submit that bought nothing; the account may submit five times per second. */
const FIRST_MS = 2_000;
/** The provider says that a rate limit recovers usually within one minute. */
const LONGEST_MS = 60_000;

/**
 * Milliseconds until a submit that certainly bought nothing may be retried; pure.
 * @param attempt - The attempt that ended, from 1.
 * @param retryAfterMs - The provider's own wish: a floor, because asking earlier only earns the next refusal.
 * @param random - Uniform in 0..1. Half of the pause is left to it: runs that were refused together do not come back
 * together.
 */
export function nextSubmitDelay(attempt: number, retryAfterMs: number | undefined, random: number): number {
  const base = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt - 1, 10));
  const jittered = Math.round(base * (0.5 + random / 2));
  // The wish is spread a little as well, because every run got the same one.
  return Math.max(jittered, Math.round((retryAfterMs ?? 0) * (1 + random / 10)));
}
