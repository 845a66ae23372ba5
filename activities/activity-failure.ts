import { ApplicationFailure } from '@temporalio/common';
import { toFailure } from '../src/contract/failure.js';
import { VideoError } from '../src/contract/video-error.js';
import { redactText } from '../src/net/redact.js';

/**
 * Turns an error into what history keeps. One without a `type` is a bug: redacted, not renamed.
 * @param forWorkflow - What the workflow has to know beside the failure, as `details[1]`; callers read `details[0]` alone.
 */
export function toActivityFailure(error: unknown, ...forWorkflow: readonly object[]): Error {
  if (error instanceof ApplicationFailure) return error;
  if (!(error instanceof VideoError)) {
    const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    const details = forWorkflow.length === 0 ? undefined : [null, ...forWorkflow];
    return ApplicationFailure.create({
      type: 'UnexpectedError',
      message: redactText(text),
      ...(details && { details }),
    });
  }
  const message = redactText(error.message);
  return ApplicationFailure.create({
    type: error.type,
    message,
    nonRetryable: !error.retryable,
    details: [{ ...toFailure(error), message }, ...forWorkflow],
    ...(error.retryAfterMs !== undefined && { nextRetryDelay: error.retryAfterMs }),
  });
}
