import * as wf from '@temporalio/workflow';
import type { FailedPreparation } from '../../activities/types.js';
import type { VideoFailure } from '../../src/contract/failure.js';

/** The failure that a run ends with, in its published form. */
export function failure(of: VideoFailure): wf.ApplicationFailure {
  const { type, message } = of;
  // A reached budget is what was asked for: nobody is to be called for it.
  const benign = type === 'BudgetReached' && { category: 'BENIGN' as const };
  return wf.ApplicationFailure.create({ type, message, nonRetryable: true, details: [of], ...benign });
}

/** The published failure behind an error, when an activity or this run gave one. */
export function failureOf(error: unknown): VideoFailure | undefined {
  const cause = error instanceof wf.ActivityFailure ? error.cause : error;
  if (!(cause instanceof wf.ApplicationFailure)) return undefined;
  const [detail] = (cause.details ?? []) as (VideoFailure | undefined)[];
  return detail ?? { type: 'UnexpectedError', message: cause.message };
}

/** Whether a failed `prepareRequest` says that the namespace knows our search attributes. */
export function attributesKnown(error: unknown): boolean {
  const cause = error instanceof wf.ActivityFailure ? error.cause : undefined;
  if (!(cause instanceof wf.ApplicationFailure)) return false;
  const [, told] = (cause.details ?? []) as [unknown, (Partial<FailedPreparation> | undefined)?];
  return told?.attributes === true;
}

/** Whether a child could not start because one with its id runs. */
export const isAlreadyStarted = (error: unknown): boolean =>
  error instanceof Error && error.name === 'WorkflowExecutionAlreadyStartedError';
