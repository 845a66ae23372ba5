import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import { classifyProviderError } from './errors.js';

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

/** A string field of an object that came from outside; undefined when absent, empty or of another type. */
export function stringField(value: unknown, name: string): string | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const field: unknown = Reflect.get(value, name);
  return typeof field === 'string' && field !== '' ? field : undefined;
}

/** Decides what a submit came to; pure. In doubt it says `unknown`, because a second submit is a second bill. */
export function decideSubmitOutcome({ bodyPulled, answer, fault, cause }: SubmitObservation): SubmitOutcome {
  const requestId = stringField(answer?.json, 'request_id') ?? answer?.requestId;
  if (answer !== undefined) {
    const { status, json, retryAfterMs } = answer;
    const output: unknown = typeof json === 'object' && json !== null ? Reflect.get(json, 'output') : undefined;
    const taskId = stringField(output, 'task_id');
    // A task id is a task, regardless of status and of the other fields.
    if (taskId !== undefined) return { kind: 'accepted', taskId, requestId };
    const code = stringField(json, 'code');
    if (code !== undefined) {
      const message = stringField(json, 'message') ?? stringField(json, 'msg');
      const error = classifyProviderError({ status, code, message, retryAfterMs, requestId }, 'submit');
      if (status === 429) return error.retryable ? { kind: 'not_sent', error } : { kind: 'rejected', error };
      if (status === 503) return { kind: 'not_sent', error: error.retryable ? error : retryable(error) };
      if (status >= 400 && status < 500 && status !== 408) {
        return { kind: 'rejected', error: error.retryable ? final(error) : error };
      }
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
        nextStep: 'Wait; the step is tried again. Check network and DASHSCOPE_HTTP_BASE_URL if it stays.',
        cause,
      }),
    };
  }
  return {
    kind: 'unknown',
    error: new VideoError(FailureType.SubmitOutcomeUnknown, `Nobody knows whether the submit was accepted: ${reason}`, {
      retryable: false,
      requestId,
      code: stringField(answer?.json, 'code'),
      nextStep: 'Compare with the task list of the account before anything is sent again; a paid task may exist.',
      cause,
    }),
  };
}

function retryable(error: VideoError): VideoError {
  const { code, requestId, retryAfterMs } = error;
  const nextStep = 'Wait; the step is tried again.';
  return new VideoError(FailureType.ProviderUnavailable, error.message, {
    retryable: true,
    code,
    requestId,
    retryAfterMs,
    billed: false,
    nextStep,
  });
}

function final(error: VideoError): VideoError {
  const { type, message, code, requestId, nextStep } = error;
  return new VideoError(type, message, { retryable: false, code, requestId, billed: false, nextStep });
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
