import type { WorkflowFailedError } from '@temporalio/client';
import { ApplicationFailure, CancelledFailure, TerminatedFailure, TimeoutFailure } from '@temporalio/common';
import type { VideoErrorObject } from '../contract/failure.js';
import { chainOf, videoFailureOf } from '../workflow/video-failed.js';
import { VideoRunError } from './run-error.js';

/** Extracts the published failure from the chain of failures that Temporal reports for the run `id`. */
export function runErrorOf(id: string, failed: WorkflowFailedError): VideoRunError {
  return new VideoRunError(id, errorObjectOf(failed), failed);
}

function errorObjectOf(failed: WorkflowFailedError): VideoErrorObject {
  const published = videoFailureOf(failed);
  if (published !== undefined) return published;
  const [, ...chain] = chainOf(failed);
  const failure = chain.find((error): error is ApplicationFailure => error instanceof ApplicationFailure);
  if (failure !== undefined) return { type: failure.type ?? 'Failed', message: failure.message };
  const [outermost] = chain;
  if (outermost instanceof CancelledFailure) return { type: 'Cancelled', message: 'The run was cancelled.' };
  if (outermost instanceof TerminatedFailure) {
    return { type: 'Terminated', message: 'The run was terminated; it no longer manages what it has bought.' };
  }
  const timeout = chain.find((error): error is TimeoutFailure => error instanceof TimeoutFailure);
  if (timeout !== undefined) {
    return { type: 'TimedOut', message: `The run or one of its steps timed out: ${timeout.message}` };
  }
  return { type: 'Failed', message: (chain.at(-1) ?? failed).message };
}
