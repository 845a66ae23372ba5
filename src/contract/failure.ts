import type { FailureType } from './failure-type.js';
import { cleanIssues } from './issues.js';
import { cleanText, SAFE_TEXT_MAX } from './safe-text.js';
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

/** A failure as a caller sees it: that of a run that failed, or how the run ended otherwise. */
export interface VideoErrorObject extends Omit<VideoFailure, 'type'> {
  /** A `FailureType`; or `Cancelled`, `Terminated`, `TimedOut` or `Failed` for a run that ended in this way. */
  readonly type: string;
}

/** Characters of an id or a code of the provider. */
const ID_MAX = 200;

/** The published form of an error; every text in it is clean and bounded, because it goes into histories. */
export function toFailure(error: VideoError): VideoFailure {
  const { type, message, issues, code, taskId, requestId, billed, nextStep } = error;
  const clean = (text: string | undefined, max = SAFE_TEXT_MAX) => (text === undefined ? text : cleanText(text, max));
  return {
    type,
    message: cleanText(message),
    issues: issues && cleanIssues(issues),
    code: clean(code, ID_MAX),
    task_id: clean(taskId, ID_MAX),
    request_id: clean(requestId, ID_MAX),
    billed,
    next_step: clean(nextStep),
  };
}
