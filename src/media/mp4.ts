import { type FileHandle, open } from 'node:fs/promises';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import { nameOfDocument } from './image-kind.js';
import { nameOf } from './mp4-boxes.js';
import { Mp4Inspector } from './mp4-inspector.js';
import type { InspectedMp4 } from './mp4-measure.js';
import { beginsLikeVideo } from './video-container.js';

/** A file that begins like a video, and whose measurement did not end. */
export interface UnmeasuredMp4 {
  readonly measured?: undefined;
  /** Why, as a phrase that follows "it". */
  readonly fault: string;
  /** Whether no process could measure it, which another worker's may. */
  readonly isUnavailable: boolean;
}

/** Shared by all steps of a worker. Its processes start with the first file. */
const inspector = new Mp4Inspector();

/** Bytes by which a kind of file is recognized. */
const HEAD_BYTES = 1024;

/**
 * Verifies and measures an MP4 file in a process of its own, which has little memory, a time limit and no environment.
 * @returns the measurements, and the first check that a file with a readable index and pictures fails; without
 * measurements for what begins like a video and cannot be measured: our limits prove nothing about the file.
 * @throws {@link VideoError} `ResultRejected` for what is proved to be no video at all; `StoreUnavailable` (retryable)
 * when the file cannot be read.
 * @throws `signal.reason` on abort, which ends the process.
 */
export async function inspectMp4(file: string, signal?: AbortSignal): Promise<InspectedMp4 | UnmeasuredMp4> {
  const outcome = await inspector.inspect(file, signal);
  switch (outcome.kind) {
    case 'inspected':
      return outcome.inspected;
    case 'fault':
      throw rejectedMp4(outcome.fault);
    case 'unreadable':
      throw unreadable(outcome.reason);
    case 'unfinished':
      return unmeasured(file, outcome.reason, false);
    case 'unavailable':
      return unmeasured(file, `is not measured: the process that measures videos ${outcome.reason}`, true);
  }
}

/** The error for a file with a fault, a phrase that follows "it". */
export function rejectedMp4(fault: string): VideoError {
  return new VideoError(FailureType.ResultRejected, `The result is not a playable MP4: it ${fault}`, {
    billed: true,
    nextStep: 'Give the task id to the provider.',
  });
}

/** The error for a file that is to be measured again. */
export function unmeasuredMp4({ fault }: UnmeasuredMp4): VideoError {
  return unavailable(`The result cannot be verified: it ${fault}`);
}

/** What else is known of a file that was not measured: how it begins, which needs no parser. */
async function unmeasured(file: string, fault: string, isUnavailable: boolean): Promise<UnmeasuredMp4> {
  const head = await readHead(file).catch((error: NodeJS.ErrnoException) => {
    throw unreadable(error.code ?? error.message);
  });
  if (!beginsLikeVideo(head)) throw rejectedMp4(`does not begin like an MP4 file but is ${nameOf(head)}`);
  return { fault, isUnavailable };
}

/**
 * Names the document that a download is instead of a video: what a server says proves nothing about the video.
 * @returns `undefined` for a file that may be one.
 */
export async function findDocument(file: string): Promise<string | undefined> {
  const head = await readHead(file).catch((error: NodeJS.ErrnoException) => {
    throw unreadable(error.code ?? error.message);
  });
  return nameOfDocument(head);
}

async function readHead(file: string): Promise<Buffer> {
  const handle: FileHandle = await open(file, 'r');
  try {
    const head = Buffer.alloc(HEAD_BYTES);
    const { bytesRead } = await handle.read(head, 0, head.length, 0);
    return head.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

const unreadable = (reason: string): VideoError => unavailable(`The spooled result cannot be read: ${reason}`);

function unavailable(message: string): VideoError {
  return new VideoError(FailureType.StoreUnavailable, message, {
    retryable: true,
    nextStep: "Check the disk of the worker's temporary folder, and the worker's memory and installation.",
  });
}
