import { ApplicationFailure } from '@temporalio/common';
import { toFailure } from '../src/contract/failure.js';
import { VideoError } from '../src/contract/video-error.js';
import { redactText } from '../src/dashscope/redact.js';

/** Turns an error into what history keeps. One without a `type` is a bug: redacted, not renamed. */
export function toActivityFailure(error: unknown): Error {
  if (error instanceof ApplicationFailure) return error;
  if (!(error instanceof VideoError)) {
    const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    return ApplicationFailure.create({ type: 'UnexpectedError', message: redactText(text) });
  }
  const message = redactText(error.message);
  return ApplicationFailure.create({
    type: error.type,
    message,
    nonRetryable: !error.retryable,
    details: [{ ...toFailure(error), message }],
    ...(error.retryAfterMs !== undefined && { nextRetryDelay: error.retryAfterMs }),
  });
}
