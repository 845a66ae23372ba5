import { ApplicationFailure } from '@temporalio/common';
import { VideoError } from '../src/contract/video-error.js';
import { redactText } from '../src/dashscope/redact.js';

/** Turns an error into what history keeps. One without a `type` is a bug: redacted, not renamed. */
export function toActivityFailure(error: unknown): Error {
  if (error instanceof ApplicationFailure) return error;
  if (!(error instanceof VideoError)) {
    const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    return ApplicationFailure.create({ type: 'UnexpectedError', message: redactText(text) });
  }
  const { type, retryable, retryAfterMs, code, taskId, requestId, issues, billed, nextStep } = error;
  const message = redactText(error.message);
  return ApplicationFailure.create({
    type,
    message,
    nonRetryable: !retryable,
    details: [{ type, message, issues, code, task_id: taskId, request_id: requestId, billed, next_step: nextStep }],
    ...(retryAfterMs !== undefined && { nextRetryDelay: retryAfterMs }),
  });
}
