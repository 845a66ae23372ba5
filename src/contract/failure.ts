import type { FailureType } from './failure-type.js';
import type { Issue, VideoError } from './video-error.js';

/** The published form of a failure: `details[0]` of a failed run, and `error` in the command's JSON. */
export interface VideoFailure {
  readonly type: FailureType | 'UnexpectedError' | 'Cancelled';
  readonly message: string;
  readonly issues?: readonly Issue[] | undefined;
  /** The provider's own code. */
  readonly code?: string | undefined;
  readonly task_id?: string | undefined;
  readonly request_id?: string | undefined;
  /** Whether the provider bills what happened; absent when nobody can know. */
  readonly billed?: boolean | undefined;
  /** What a person can do now, in plain words. */
  readonly next_step?: string | undefined;
}

/** The published form of an error. */
export function toFailure(error: VideoError): VideoFailure {
  const { type, message, issues, code, taskId, requestId, billed, nextStep } = error;
  return { type, message, issues, code, task_id: taskId, request_id: requestId, billed, next_step: nextStep };
}
