import type { VideoErrorObject } from '../contract/failure.js';

/**
 * The error of a run without a video: it failed, was cancelled or terminated, or does not exist. Match `error.type`.
 */
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
