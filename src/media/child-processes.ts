import { type ChildProcess, fork } from 'node:child_process';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Semaphore } from '../async/semaphore.js';
import type { ChildMessage, Unanswered } from './serve-jobs.js';

/** Limits of the processes of one kind. */
export interface ProcessLimits {
  /** Jobs at once; further ones wait. */
  readonly processes: number;
  /** Seconds that a job may take. */
  readonly seconds: number;
  /** Seconds until a process must be ready. */
  readonly startSeconds: number;
  /** Size of a process's heap, which V8 keeps to. */
  readonly heapMegabytes: number;
  /** Everything that a process has in memory, native code included: it ends itself above this; default: no limit. */
  readonly residentMegabytes?: number;
}

/** What the processes do, for messages: `decode`, `decodes`, `decoded`. */
export interface ProcessVerb {
  readonly does: string;
  readonly done: string;
}

/** Finds a process's code, next to the file of `moduleUrl` and in its form: built, or as a test runs it. */
export const childCode = (name: string, moduleUrl: string): string =>
  fileURLToPath(new URL(`./${name}${extname(moduleUrl)}`, moduleUrl));

/** How long processes beyond the first are kept without a job: to start one costs the worker some 5 ms, a core 40. */
const SPARE_MS = 60_000;

/**
 * Runs jobs on untrusted files in processes that can be killed. A thread would not do: `--max-old-space-size`, which
 * workers run with, overrides a thread's own memory limit, and native code has none. A process is kept for the next
 * job, because starting one often takes longer than the job.
 */
export class ChildProcesses<Job extends string | object, Answer extends { readonly kind: string }> {
  readonly #code: string;
  readonly #limits: ProcessLimits;
  readonly #verb: ProcessVerb;
  readonly #places: Semaphore;
  #idle: JobProcess<Job, Answer>[] = [];
  #endSpares: NodeJS.Timeout | undefined;

  constructor(code: string, limits: ProcessLimits, verb: ProcessVerb) {
    this.#code = code;
    this.#limits = limits;
    this.#verb = verb;
    this.#places = new Semaphore(limits.processes);
  }

  /** Runs a job as soon as a process is free. Rejects only with `signal.reason`, on abort. */
  run(job: Job, signal?: AbortSignal): Promise<Answer | Unanswered> {
    return this.#places.run(async () => {
      signal?.throwIfAborted();
      const free = this.#idle.filter(({ isAlive }) => isAlive);
      const child = free.pop() ?? new JobProcess<Job, Answer>(this.#code, this.#limits, this.#verb);
      this.#idle = free;
      try {
        return await child.run(job, signal);
      } finally {
        if (child.isAlive) this.#keep(child);
        else child.kill();
      }
    }, signal);
  }

  /** Keeps a process for the next job; all but one only while jobs come. */
  #keep(child: JobProcess<Job, Answer>): void {
    this.#idle.push(child);
    clearTimeout(this.#endSpares);
    if (this.#idle.length === 1) return;
    this.#endSpares = setTimeout(() => {
      for (const spare of this.#idle.splice(1)) spare.kill();
    }, SPARE_MS).unref();
  }

  /** Ends the processes that are kept. */
  close(): void {
    clearTimeout(this.#endSpares);
    for (const child of this.#idle) child.kill();
  }
}

/** With glibc's own settings what native code frees stays with the process, so that it grows from job to job. */
const RETURN_MEMORY = { MALLOC_ARENA_MAX: '2', MALLOC_TRIM_THRESHOLD_: '131072', MALLOC_MMAP_THRESHOLD_: '131072' };

/** Signals by which a process ends itself: V8 without memory, a fault in native code. */
const OWN_SIGNALS: readonly string[] = ['SIGABRT', 'SIGTRAP', 'SIGSEGV', 'SIGBUS', 'SIGILL', 'SIGFPE', 'SIGSYS'];

/** A process for one job at a time, until it is spent. It does not keep its parent running, and ends with it. */
class JobProcess<Job extends string | object, Answer extends { readonly kind: string }> {
  isAlive = true;
  readonly #child: ChildProcess;
  readonly #limits: ProcessLimits;
  readonly #verb: ProcessVerb;
  #isReady = false;
  #onEnd: (outcome: Answer | Unanswered) => void = () => undefined;

  constructor(code: string, limits: ProcessLimits, verb: ProcessVerb) {
    this.#limits = limits;
    this.#verb = verb;
    // Sources need the loader that this process was started with.
    const loaders = code.endsWith('.ts') ? process.execArgv.filter((argument) => argument.startsWith('--import=')) : [];
    const { residentMegabytes } = limits;
    this.#child = fork(code, residentMegabytes === undefined ? [] : [String(residentMegabytes)], {
      // A file's reader needs none of the worker's settings: without them it has no secret, and no flags of its own.
      env: residentMegabytes === undefined ? {} : RETURN_MEMORY,
      execArgv: [
        ...loaders,
        `--max-old-space-size=${limits.heapMegabytes}`,
        ...(residentMegabytes === undefined ? [] : ['--expose-gc']),
      ],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    this.#child.on('message', (message: ChildMessage<Answer>) => {
      if (message.kind === 'ready') this.#isReady = true;
      else if (message.kind === 'spent') this.isAlive = false;
      else this.#onEnd(message as Answer | Unanswered);
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

  run(job: Job, signal: AbortSignal | undefined): Promise<Answer | Unanswered> {
    return new Promise((resolve, reject) => {
      // Its own ticks are counted, not the time: a process that was stopped, or a machine that slept, has not worked.
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
      this.#onEnd = (outcome) => {
        // It ends itself after this, and must not be given the next job.
        if (outcome.kind === 'unfinished') this.kill();
        settle(() => resolve(outcome));
      };
      this.#keepParentRunning(true);
      // When it cannot be sent, the process has ended, and says so itself.
      this.#child.send(job, () => undefined);
    });
  }

  #endOverdue(): Unanswered {
    this.kill();
    if (!this.#isReady) return { kind: 'unavailable', reason: `is not ready within ${this.#limits.startSeconds} s` };
    return { kind: 'unfinished', reason: `cannot be ${this.#verb.done} within ${this.#limits.seconds} s` };
  }

  /** @param isOthers - Whether another program ended it. */
  #endedBy(end: string, isOthers: boolean): Unanswered {
    if (!this.#isReady) return { kind: 'unavailable', reason: `cannot start (${end})` };
    if (isOthers) return { kind: 'unavailable', reason: `was ended by ${end}` };
    const limit = `${this.#limits.residentMegabytes ?? this.#limits.heapMegabytes} MB`;
    const reason = `ends the process that ${this.#verb.does} it with ${limit} of memory (${end})`;
    return { kind: 'unfinished', reason };
  }

  #keepParentRunning(keep: boolean): void {
    for (const handle of [this.#child, this.#child.channel]) {
      if (keep) handle?.ref();
      else handle?.unref();
    }
  }
}
