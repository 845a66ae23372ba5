import type { Issue } from '../contract/video-error.js';

/** A failure as it is published: `details[0]` of a failed run, and `error` of the command's `--json`. */
export interface VideoErrorObject {
  /** A `FailureType`, or `Cancelled`, `Terminated`, `TimedOut` for a run that ended that way. */
  readonly type: string;
  readonly message: string;
  readonly issues?: Issue[];
  /** The provider's own code. */
  readonly code?: string;
  readonly task_id?: string;
  /** The provider's id of the request that failed. */
  readonly request_id?: string;
  /** Whether the provider bills what happened; absent when nobody can know. */
  readonly billed?: boolean;
  /** What a person can do now. */
  readonly next_step?: string;
}

/** A run has no video to give: it failed, was cancelled or terminated, or does not exist. Match on `error.type`. */
export class VideoRunError extends Error {
  override readonly name = 'VideoRunError';
  /** Workflow id of the run. */
  readonly id: string;
  /** Whether the run ended as Cancelled. */
  readonly cancelled: boolean;
  readonly error: VideoErrorObject;

  constructor(id: string, error: VideoErrorObject, cause?: unknown) {
    super(error.message, { cause });
    this.id = id;
    this.cancelled = error.type === 'Cancelled';
    this.error = error;
  }
}
