import { WorkflowNotFoundError } from '@temporalio/client';
import { FailureType } from '../contract/failure-type.js';
import { VideoRunError } from './run-error.js';

/** What a caller addressed: a run or a batch. */
interface Addressed {
  readonly id: string;
  readonly kind: 'run' | 'batch';
  /** How to find the right id. */
  readonly nextStep?: string;
}

/** Turns Temporal's answer that it has no such open workflow into `RunNotFound`; other errors stay as they are. */
export function asNotFound(error: unknown, { id, kind, nextStep }: Addressed): unknown {
  if (!(error instanceof WorkflowNotFoundError)) return error;
  const hasEnded = /already completed/i.test(error.message);
  const message = hasEnded ? `The ${kind} ${id} has ended already` : `Temporal knows no ${kind} ${id}`;
  const hint = hasEnded || nextStep === undefined ? {} : { next_step: nextStep };
  return new VideoRunError(id, { type: FailureType.RunNotFound, message, ...hint }, error);
}

/** The same for a run by its id. */
export const runNotFound = (id: string, error: unknown): unknown =>
  asNotFound(error, {
    id,
    kind: 'run',
    nextStep: 'See "wan-video list"; TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE say where runs are looked for.',
  });
