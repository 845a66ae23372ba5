import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { Times } from '../../src/config/times.js';
import { QUICK_POLL } from './quick-times.js';
import { ROOT, type Stack, TEST_KEY } from './stack.js';

/** A worker as a real process, which can be killed. */
export interface WorkerProcess {
  readonly process: ChildProcess;
  /** Sends the signal and waits for the end; resolves the exit code, null after SIGKILL. */
  end(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null>;
}

export interface WorkerProcessOptions {
  /** Further environment variables; without LOG_LEVEL it is quiet. */
  readonly env?: Readonly<Record<string, string>>;
  /** Gets what it writes to stderr; default: it goes to the test's own. */
  readonly onLog?: (text: string) => void;
}

/** Starts a worker process of the stack and waits until it polls both queues. */
export async function startWorkerProcess(
  stack: Stack,
  times: Partial<Times> = {},
  { env = {}, onLog }: WorkerProcessOptions = {},
): Promise<WorkerProcess> {
  const script = join(ROOT, 'test', 'support', 'worker-process.mjs');
  const child = spawn(process.execPath, [script, JSON.stringify({ times: { ...QUICK_POLL, ...times } })], {
    env: { PATH: process.env['PATH'], HOME: stack.outputDir, ...stack.env, DASHSCOPE_API_KEY: TEST_KEY, ...env },
    stdio: ['ignore', 'pipe', onLog === undefined ? 'inherit' : 'pipe'],
  });
  child.stderr?.setEncoding('utf8').on('data', onLog ?? (() => undefined));
  const ended = once(child, 'close').then(([code]) => code as number | null);
  const ready = once(createInterface({ input: child.stdout as Readable }), 'line');
  await Promise.race([
    ready,
    ended.then((code) => {
      throw new Error(`the worker process ended with ${code} before it was ready`);
    }),
  ]);
  return {
    process: child,
    end: (signal) => {
      child.kill(signal);
      return ended;
    },
  };
}
