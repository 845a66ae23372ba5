import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import { Mp4Inspector } from './mp4-inspector.js';
import type { InspectedMp4 } from './mp4-measure.js';

export type { InspectedMp4 } from './mp4-measure.js';

/** Shared by all steps of a worker. Its processes start with the first file. */
const inspector = new Mp4Inspector();

/**
 * Verifies and measures an MP4 file in a process of its own, which has little memory, a time limit and no environment.
 * @returns the measurements, and the first check that a file with a readable index and pictures fails.
 * @throws {@link VideoError} `ResultRejected` for what is no video at all, or cannot be measured within the limits;
 * `StoreUnavailable` (retryable) when the file cannot be read, or the process cannot run.
 * @throws `signal.reason` on abort, which ends the process.
 */
export async function inspectMp4(file: string, signal?: AbortSignal): Promise<InspectedMp4> {
  const outcome = await inspector.inspect(file, signal);
  switch (outcome.kind) {
    case 'inspected':
      return outcome.inspected;
    case 'fault':
      throw rejectedMp4(outcome.fault);
    case 'unreadable':
      throw unavailable(`The spooled result cannot be read: ${outcome.reason}`);
    case 'unavailable':
      throw unavailable(`The process that measures videos ${outcome.reason}`);
  }
}

/** The error for a file with a fault, a phrase that follows "it". */
export function rejectedMp4(fault: string): VideoError {
  return new VideoError(FailureType.ResultRejected, `The result is not a playable MP4: it ${fault}`, {
    billed: true,
    nextStep: 'Give the task id to the provider.',
  });
}

function unavailable(message: string): VideoError {
  return new VideoError(FailureType.StoreUnavailable, message, {
    retryable: true,
    nextStep: "Check the disk of the worker's temporary folder, and the worker's memory and installation.",
  });
}
