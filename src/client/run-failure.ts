import type { WorkflowFailedError } from '@temporalio/client';
import { ApplicationFailure, CancelledFailure, TerminatedFailure, TimeoutFailure } from '@temporalio/common';
import { type VideoErrorObject, VideoRunError } from './run-error.js';

/** Reads the published failure out of the chain of failures that Temporal reports for run `id`. */
export function runErrorOf(id: string, failed: WorkflowFailedError): VideoRunError {
  return new VideoRunError(id, errorObjectOf(failed), failed);
}

function errorObjectOf(failed: WorkflowFailedError): VideoErrorObject {
  const chain: Error[] = [];
  for (let at: unknown = failed.cause; at instanceof Error; at = at.cause) chain.push(at);
  const known = chain.find((failure): failure is ApplicationFailure => failure instanceof ApplicationFailure);
  if (known !== undefined) {
    const detail = known.details?.[0];
    if (isErrorObject(detail)) return detail;
    return { type: known.type ?? 'Failed', message: known.message };
  }
  const end = chain[0];
  if (end instanceof CancelledFailure) return { type: 'Cancelled', message: 'The run was cancelled.' };
  if (end instanceof TerminatedFailure) {
    return {
      type: 'Terminated',
      message: 'The run was terminated from outside; it does not watch any more what it had bought.',
    };
  }
  const late = chain.find((failure): failure is TimeoutFailure => failure instanceof TimeoutFailure);
  if (late !== undefined)
    return { type: 'TimedOut', message: `The run or one of its steps timed out: ${late.message}` };
  return { type: 'Failed', message: (chain.at(-1) ?? failed).message };
}

const isErrorObject = (value: unknown): value is VideoErrorObject =>
  typeof value === 'object' && value !== null && 'type' in value && 'message' in value;
