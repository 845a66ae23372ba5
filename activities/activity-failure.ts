import { ApplicationFailure, TemporalFailure } from '@temporalio/common';
import { toFailure } from '../src/contract/failure.js';
import { VideoError } from '../src/contract/video-error.js';
import { redactText } from '../src/net/redact.js';

/** Activity interceptor of a worker: turns the error of any step into what the history keeps. */
export const failureInterceptor = () => ({
  inbound: {
    async execute<Input>(input: Input, next: (input: Input) => Promise<unknown>): Promise<unknown> {
      try {
        return await next(input);
      } catch (error) {
        throw toActivityFailure(error);
      }
    },
  },
});

/**
 * Turns an error into what the history keeps. An error without a published type is a bug: it is redacted, and retried.
 * @param forWorkflow - What only the workflow needs to know, as `details[1]`; callers read `details[0]` alone.
 * @param isFinal - Whether the step is not retried, regardless of the error.
 */
export function toActivityFailure(error: unknown, forWorkflow?: object, isFinal = false): Error {
  if (error instanceof TemporalFailure) return error;
  if (!(error instanceof VideoError)) {
    const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    return ApplicationFailure.create({
      type: 'UnexpectedError',
      message: redactText(text),
      nonRetryable: isFinal,
      ...(forWorkflow !== undefined && { details: [null, forWorkflow] }),
    });
  }
  const message = redactText(error.message);
  return ApplicationFailure.create({
    type: error.type,
    message,
    nonRetryable: isFinal || !error.retryable,
    details: [{ ...toFailure(error), message }, ...(forWorkflow === undefined ? [] : [forWorkflow])],
    ...(error.retryAfterMs !== undefined && { nextRetryDelay: error.retryAfterMs }),
  });
}
