import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import { ChildProcesses, childCode, type ProcessLimits } from './child-processes.js';
import type { FitJob } from './fit-image.js';
import { type ExaminedImage, imageRejected } from './image.js';
import type { Unanswered } from './serve-jobs.js';

/** What the process says of one image. */
export type ImageAnswer =
  | { readonly kind: 'examined'; readonly image: ExaminedImage }
  /** Phrases that follow the name of the field. */
  | { readonly kind: 'faults'; readonly faults: readonly string[] }
  /** The file cannot be read. */
  | { readonly kind: 'unreadable'; readonly reason: string }
  | Unanswered;

/**
 * A photo of 20 MB takes a second and 200 MB. Two processes, so that one hostile picture does not keep all others
 * waiting, and that sixteen pictures at once stay below 1 GiB.
 */
const LIMITS: ProcessLimits = {
  processes: 2,
  seconds: 30,
  startSeconds: 60,
  heapMegabytes: 96,
  residentMegabytes: 400,
};

const VERB = { does: 'decodes', done: 'decoded' };

/** Decodes images in processes that can be killed, with bounded memory and time. */
export class ImageFitter {
  readonly #processes: ChildProcesses<FitJob, ImageAnswer>;

  constructor(limits: Partial<ProcessLimits> = {}, child = childCode('image-child', import.meta.url)) {
    this.#processes = new ChildProcesses(child, { ...LIMITS, ...limits }, VERB);
  }

  /**
   * Decodes an image whole and, with `output`, makes it fit.
   * @throws {@link VideoError} `ReferenceRejected` with all faults at once, also for an image beyond the limits;
   * `StoreUnavailable` (retryable) when no process can decode it, or the file cannot be read.
   * @throws `signal.reason` on abort, which ends the process.
   */
  async fit(job: FitJob, signal?: AbortSignal): Promise<ExaminedImage> {
    const answer = await this.#processes.run(job, signal);
    switch (answer.kind) {
      case 'examined':
        return answer.image;
      case 'faults':
        throw imageRejected(answer.faults);
      case 'unfinished':
        throw imageRejected([`${answer.reason}; save it as a JPEG or PNG with fewer pixels`]);
      case 'unreadable':
        throw unavailable(`The image cannot be read: ${answer.reason}`);
      case 'unavailable':
        throw unavailable(`The image is not checked: the process that decodes images ${answer.reason}`);
    }
  }

  /** Ends the process that is kept. */
  close(): void {
    this.#processes.close();
  }
}

function unavailable(message: string): VideoError {
  return new VideoError(FailureType.StoreUnavailable, message, {
    retryable: true,
    nextStep:
      "Check the temporary folder's disk, the machine's memory and the installation: npm ci in a clone; next to " +
      'wan-video-temporal-client "sharp", or hand the image over as an address.',
  });
}
