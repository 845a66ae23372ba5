import { type ChildProcess, fork } from 'node:child_process';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Semaphore } from '../async/semaphore.js';
import type { InspectedMp4 } from './mp4-measure.js';

/** What became of one file. */
export type Inspection =
  | { readonly kind: 'inspected'; readonly inspected: InspectedMp4 }
  /** A fault of the file that proves that it is no video, as a phrase that follows "it". */
  | { readonly kind: 'fault'; readonly fault: string }
  /** The measurement did not end, through the file or through our limits; a phrase that follows "it". */
  | { readonly kind: 'unmeasurable'; readonly reason: string }
  /** The file cannot be read. */
  | { readonly kind: 'unreadable'; readonly reason: string }
  /** The process cannot run, through no fault of the file; a phrase that follows its name. */
  | { readonly kind: 'unavailable'; readonly reason: string };

/** What the process says. */
export type ChildMessage = Inspection | { readonly kind: 'ready' };

/** Limits of a measurement. */
export interface InspectorLimits {
  /** Files that are measured at once; further ones wait. */
  readonly processes: number;
  /** Seconds that a file may take. */
  readonly seconds: number;
  /** Seconds until a process must be ready. */
  readonly startSeconds: number;
  /** Size of a process's heap. Its buffers are bounded by what they are for: an index, a frame. */
  readonly heapMegabytes: number;
}

/**
 * A video of 30 MB takes some 30 ms, one of 1 GB a few seconds. Two processes, so that one hostile file does not keep
 * all others waiting.
 */
const LIMITS: InspectorLimits = { processes: 2, seconds: 30, startSeconds: 60, heapMegabytes: 64 };

/** The process's code, next to this file and in its form: built, or as a test runs it. */
const CHILD = fileURLToPath(new URL(`./mp4-child${extname(import.meta.url)}`, import.meta.url));
/** Sources need the loader that this process was started with. */
const LOADERS = CHILD.endsWith('.ts') ? process.execArgv.filter((argument) => argument.startsWith('--import=')) : [];

/**
 * Measures MP4 files in processes that can be killed. A thread would not do: `--max-old-space-size`, which workers run
 * with, overrides a thread's own memory limit. A process is kept for the next file, because starting one takes longer
 * than measuring a video.
 */
export class Mp4Inspector {
  readonly #limits: InspectorLimits;
  readonly #child: string;
  readonly #places: Semaphore;
  #idle: MeasuringProcess[] = [];

  constructor(limits: Partial<InspectorLimits> = {}, child = CHILD) {
    this.#limits = { ...LIMITS, ...limits };
    this.#child = child;
    this.#places = new Semaphore(this.#limits.processes);
  }

  /** Measures a file as soon as a process is free. Rejects only with `signal.reason`, on abort. */
  inspect(file: string, signal?: AbortSignal): Promise<Inspection> {
    return this.#places.run(async () => {
      signal?.throwIfAborted();
      const free = this.#idle.filter(({ isAlive }) => isAlive);
      const child = free.pop() ?? new MeasuringProcess(this.#child, this.#limits);
      this.#idle = free;
      try {
        return await child.measure(file, signal);
      } finally {
        // One is kept: a second one is needed when two videos end together.
        if (this.#idle.length === 0) this.#idle.push(child);
        else child.kill();
      }
    }, signal);
  }

  /** Ends the process that is kept. */
  close(): void {
    for (const child of this.#idle) child.kill();
  }
}

/** Signals by which a process ends itself: V8 without memory, a fault in native code. */
const OWN_SIGNALS: readonly string[] = ['SIGABRT', 'SIGTRAP', 'SIGSEGV', 'SIGBUS', 'SIGILL', 'SIGFPE', 'SIGSYS'];

/** One process, for one file at a time. It does not keep its parent running while it waits, and ends with it. */
class MeasuringProcess {
  isAlive = true;
  readonly #child: ChildProcess;
  readonly #limits: InspectorLimits;
  #isReady = false;
  #onEnd: (inspection: Inspection) => void = () => undefined;

  constructor(child: string, limits: InspectorLimits) {
    this.#limits = limits;
    this.#child = fork(child, {
      // A file's reader needs none of the worker's settings: without them it has no secret, and no flags of its own.
      env: {},
      execArgv: [...LOADERS, `--max-old-space-size=${limits.heapMegabytes}`],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    this.#child.on('message', (message: ChildMessage) => {
      if (message.kind === 'ready') this.#isReady = true;
      else this.#onEnd(message);
    });
    this.#child.on('error', (error: NodeJS.ErrnoException) => {
      this.isAlive = false;
      this.#onEnd({ kind: 'unavailable', reason: `cannot run: ${error.code ?? error.message}` });
    });
    this.#child.on('exit', (code, signal) => {
      this.isAlive = false;
      this.#onEnd(this.#endedBy(signal ?? `exit code ${code}`, signal !== null && !OWN_SIGNALS.includes(signal)));
    });
    this.#keepParentRunning(false);
  }

  kill(): void {
    this.isAlive = false;
    this.#child.kill('SIGKILL');
  }

  measure(file: string, signal: AbortSignal | undefined): Promise<Inspection> {
    return new Promise((resolve, reject) => {
      // Its own ticks are counted, not the time: a process that was stopped, or a machine that slept, has not measured.
      let ticks = 0;
      let hasStarted = false;
      const ticker = setInterval(() => {
        ticks = this.#isReady && !hasStarted ? 0 : ticks + 1;
        hasStarted = this.#isReady;
        if (ticks >= (hasStarted ? this.#limits.seconds : this.#limits.startSeconds)) this.#onEnd(this.#endOverdue());
      }, 1000);
      const onAbort = () => {
        this.kill();
        settle(() => reject(signal?.reason));
      };
      const settle = (end: () => void) => {
        clearInterval(ticker);
        signal?.removeEventListener('abort', onAbort);
        this.#onEnd = () => undefined;
        this.#keepParentRunning(false);
        end();
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#onEnd = (inspection) => settle(() => resolve(inspection));
      this.#keepParentRunning(true);
      // When it cannot be sent, the process has ended, and says so itself.
      this.#child.send(file, () => undefined);
    });
  }

  #endOverdue(): Inspection {
    this.kill();
    if (!this.#isReady) return { kind: 'unavailable', reason: `is not ready within ${this.#limits.startSeconds} s` };
    return { kind: 'unmeasurable', reason: `cannot be measured within ${this.#limits.seconds} s` };
  }

  /** @param isOthers - Whether another program ended it. */
  #endedBy(end: string, isOthers: boolean): Inspection {
    if (!this.#isReady) return { kind: 'unavailable', reason: `cannot start (${end})` };
    if (isOthers) return { kind: 'unavailable', reason: `was ended by ${end}` };
    const limit = `${this.#limits.heapMegabytes} MB`;
    return { kind: 'unmeasurable', reason: `ends the process that measures it with ${limit} of memory (${end})` };
  }

  #keepParentRunning(keep: boolean): void {
    for (const handle of [this.#child, this.#child.channel]) {
      if (keep) handle?.ref();
      else handle?.unref();
    }
  }
}
