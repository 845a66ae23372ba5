import * as wf from '@temporalio/workflow';
import type { FailedPreparation } from '../../activities/prepared-request.js';
import type { VideoFailure } from '../../src/contract/failure.js';

/**
 * The failure that a run ends with, in its published form, which is `details[0]` of the outermost failure.
 * @param cause - For those who look into the history.
 */
export function failure(published: VideoFailure, cause?: unknown): wf.ApplicationFailure {
  const { type, message } = published;
  // A reached budget does what it is for: nobody needs an alert.
  const benign = type === 'BudgetReached' && { category: 'BENIGN' as const };
  const known = cause instanceof Error && { cause };
  return wf.ApplicationFailure.create({ type, message, nonRetryable: true, details: [published], ...known, ...benign });
}

/** An error as the end of a run: a failure of Temporal in its published form, and everything else as it is. */
export function runFailure(error: unknown): unknown {
  if (!(error instanceof wf.TemporalFailure) || wf.isCancellation(error)) return error;
  const isPublished = error instanceof wf.ApplicationFailure && error.details?.[0] !== undefined;
  return isPublished ? error : failure(failureOrUnexpected(error), error);
}

/** The published failure behind an error, when a step or this run has given one. */
export function failureOf(error: unknown): VideoFailure | undefined {
  const cause = error instanceof wf.ActivityFailure ? error.cause : error;
  if (!(cause instanceof wf.ApplicationFailure)) return undefined;
  const [detail] = (cause.details ?? []) as (VideoFailure | undefined)[];
  return detail ?? { type: 'UnexpectedError', message: cause.message };
}

/** The published failure behind an error; one of another kind counts as unexpected. */
export const failureOrUnexpected = (error: unknown): VideoFailure =>
  failureOf(error) ?? { type: 'UnexpectedError', message: String(error) };

/** What a failed `prepareRequest` says in addition to its failure. */
export function failedPreparationOf(error: unknown): Partial<FailedPreparation> {
  const cause = error instanceof wf.ActivityFailure ? error.cause : undefined;
  if (!(cause instanceof wf.ApplicationFailure)) return {};
  const [, known] = (cause.details ?? []) as [unknown, (Partial<FailedPreparation> | undefined)?];
  return known ?? {};
}

/** Whether a child could not start because a run with its id exists. */
export const isAlreadyStarted = (error: unknown): boolean =>
  error instanceof Error && error.name === 'WorkflowExecutionAlreadyStartedError';
