import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import type { VideoErrorObject } from '../contract/failure.js';
import type { CancelOutcome } from '../contract/result.js';

/** Failures that are looked at, from the outermost to its causes: the published one is at most the third. */
const CHAIN_MAX = 8;

/**
 * Reads the published failure of a video behind an error of Temporal: of a run, a child workflow or a Nexus operation,
 * however deep it is.
 * @returns undefined when the error has none.
 * @example
 * ```ts
 * if (videoFailureOf(error)?.type === 'ContentRejected') return useAnotherPicture();
 * ```
 */
export function videoFailureOf(error: unknown): VideoErrorObject | undefined {
  for (const one of chainOf(error)) {
    if (!(one instanceof ApplicationFailure)) continue;
    const detail: unknown = one.details?.[0];
    if (isErrorObject(detail)) return detail;
  }
  return undefined;
}

/**
 * Reads what a cancel did from the error of a cancelled video: of `generateVideo`, a Nexus operation or a client.
 * @returns undefined when the error is no cancellation, or nobody has said.
 * @example
 * ```ts
 * if (isCancellation(error)) return cancelOutcomeOf(error)?.billed;
 * ```
 */
export function cancelOutcomeOf(error: unknown): CancelOutcome | undefined {
  for (const one of chainOf(error)) {
    if (!(one instanceof CancelledFailure)) continue;
    const outcome = one.details?.[0] as Partial<CancelOutcome> | null | undefined;
    if (typeof outcome?.outcome === 'string') return outcome as CancelOutcome;
  }
  return undefined;
}

/** The errors from the outermost to the innermost cause. */
export function chainOf(error: unknown): Error[] {
  const chain: Error[] = [];
  for (let at = error; at instanceof Error && chain.length < CHAIN_MAX; at = at.cause) chain.push(at);
  return chain;
}

/** The failure of a video as an error of a workflow: uncaught, it fails the workflow with the same `details[0]`. */
export function videoFailed(failure: VideoErrorObject, cause?: unknown): ApplicationFailure {
  return ApplicationFailure.create({
    type: failure.type,
    message: failure.message,
    nonRetryable: true,
    details: [failure],
    ...(cause instanceof Error && { cause }),
  });
}

const isErrorObject = (value: unknown): value is VideoErrorObject =>
  typeof value === 'object' &&
  value !== null &&
  typeof (value as { type?: unknown }).type === 'string' &&
  typeof (value as { message?: unknown }).message === 'string';
