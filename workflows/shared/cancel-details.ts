import { defaultPayloadConverter, type PayloadConverter, toPayloads } from '@temporalio/common';
import { CancelledFailure, type WorkflowInterceptors } from '@temporalio/workflow';

/**
 * Gives the end of a cancelled workflow the details of the error with which it ends. The SDK leaves them out, and they
 * are all that the caller of a Nexus operation gets to see of a cancelled run.
 */
export function interceptors(): WorkflowInterceptors {
  let details: readonly unknown[] = [];
  return {
    inbound: [
      {
        execute: (input, next) =>
          next(input).catch((error: unknown) => {
            if (error instanceof CancelledFailure) details = error.details ?? [];
            throw error;
          }),
      },
    ],
    internals: [
      {
        concludeActivation: ({ commands }, next) => {
          const payloads = toPayloads(converterOfWorker(), ...details);
          if (payloads === undefined) return next({ commands });
          const withDetails = { cancelWorkflowExecution: { details: { payloads } } };
          return next({
            commands: commands.map((one) => (one.cancelWorkflowExecution == null ? one : { ...one, ...withDetails })),
          });
        },
      },
    ],
  };
}

/** The SDK keeps it to itself. */
function converterOfWorker(): PayloadConverter {
  const { __TEMPORAL_ACTIVATOR__: activator } = globalThis as {
    __TEMPORAL_ACTIVATOR__?: { payloadConverter?: PayloadConverter };
  };
  return activator?.payloadConverter ?? defaultPayloadConverter;
}
