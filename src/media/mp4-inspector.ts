import { ChildProcesses, childCode, type ProcessLimits } from './child-processes.js';
import type { InspectedMp4 } from './mp4-measure.js';
import type { Unanswered } from './serve-jobs.js';

/** What became of one file. */
export type Inspection =
  | { readonly kind: 'inspected'; readonly inspected: InspectedMp4 }
  /** A fault of the file that proves that it is no video, as a phrase that follows "it". */
  | { readonly kind: 'fault'; readonly fault: string }
  /** The file cannot be read. */
  | { readonly kind: 'unreadable'; readonly reason: string }
  | Unanswered;

/**
 * A video of 30 MB takes some 30 ms, one of 1 GB a few seconds. Two processes, so that one hostile file does not keep
 * all others waiting. Buffers are bounded by what they are for: an index, a frame.
 */
const LIMITS: ProcessLimits = { processes: 2, seconds: 30, startSeconds: 60, heapMegabytes: 64 };

const CHILD = childCode('mp4-child', import.meta.url);

/** Measures MP4 files in processes that can be killed. */
export class Mp4Inspector {
  readonly #processes: ChildProcesses<string, Inspection>;

  constructor(limits: Partial<ProcessLimits> = {}, child = CHILD) {
    const verb = { does: 'measures', done: 'measured' };
    this.#processes = new ChildProcesses(child, { ...LIMITS, ...limits }, verb);
  }

  /** Measures a file as soon as a process is free. Rejects only with `signal.reason`, on abort. */
  inspect(file: string, signal?: AbortSignal): Promise<Inspection> {
    return this.#processes.run(file, signal);
  }

  /** Ends the process that is kept. */
  close(): void {
    this.#processes.close();
  }
}
