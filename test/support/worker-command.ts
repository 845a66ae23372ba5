import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { onTestFinished } from 'vitest';
import { ROOT, type Stack, TEST_KEY } from './stack.js';

interface Line {
  readonly level: number;
  readonly msg: string;
  readonly [name: string]: unknown;
}

/** The shipped command `wan-video worker` as a process. */
export interface WorkerCommand {
  readonly child: ChildProcess;
  readonly out: { stdout: string; stderr: string };
  /** Resolves when Node.js begins to load the command. */
  readonly loads: Promise<unknown>;
  /** Resolves once it says on stdout that it is ready; rejects when it ends before. */
  readonly ready: Promise<void>;
  /** How it ended: exit code, and the signal that it died of. */
  readonly ended: Promise<{ readonly code: number | null; readonly signal: string | null }>;
  /** What it says at its end, for people; empty before. */
  lastWords(): string;
  /** Its log so far; throws when a line is no JSON. */
  log(): Line[];
}

export interface WorkerCommandOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Another program in front of it. */
  readonly program?: readonly string[];
  /** How its clocks differ from the machine's: see set-clocks.mjs. */
  readonly clocks?: { readonly startMs?: number; readonly laterMs?: number; readonly pauseMs?: number };
}

/** Starts `wan-video worker` for the stack; it is killed at the end of the test. */
export function startWorkerCommand(
  stack: Stack,
  { env = {}, program = [], clocks }: WorkerCommandOptions = {},
): WorkerCommand {
  const helper = (name: string) => join(ROOT, 'test', 'support', name);
  const imports = [helper('throw-on-signal.mjs'), ...(clocks === undefined ? [] : [helper('set-clocks.mjs')])];
  const node = [process.execPath, ...imports.flatMap((file) => ['--import', file])];
  const [file = '', ...args] = [...program, ...node, 'dist/src/cli/main.js', 'worker'];
  const own = { PATH: process.env['PATH'], HOME: stack.outputDir, LOG_FORMAT: 'json', DASHSCOPE_API_KEY: TEST_KEY };
  const child = spawn(file, args, {
    cwd: ROOT,
    env: { ...own, ...stack.env, ...env, TEST_CLOCKS: JSON.stringify(clocks ?? {}) },
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  }) as ChildProcessByStdio<null, Readable, Readable>;
  const loads = once(child.stdio[3] as Readable, 'data');
  const out = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text) => {
      out[name] += text;
    });
  }
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal }));
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  const log = () => {
    // A command that fails says so last, in lines of its own.
    const [logged = ''] = out.stderr.split(/^wan-video: /m);
    return logged
      .split('\n')
      .slice(0, -1)
      .map((line) => {
        try {
          return JSON.parse(line) as Line;
        } catch {
          throw new Error(`not a line of our log: ${line}`);
        }
      });
  };
  const ready = Promise.race([
    once(child.stdout, 'data').then(() => undefined),
    ended.then(({ code, signal }) => {
      throw new Error(`ended with ${code ?? signal} before it was ready: ${out.stderr}`);
    }),
  ]);
  ready.catch(() => undefined);
  const lastWords = () => /^wan-video: [\s\S]*/m.exec(out.stderr)?.[0] ?? '';
  return { child, out, loads, ready, ended, lastWords, log };
}

/**
 * Asks for `/healthz` until the worker has ended, and resolves the reason of the 503 that came before. A drain without
 * work is over within some 50 ms, so it asks every few.
 */
export async function livenessFault(address: string, { ended }: WorkerCommand): Promise<string | undefined> {
  let hasEnded = false;
  void ended.then(() => {
    hasEnded = true;
  });
  while (!hasEnded) {
    const answer = await fetch(`http://${address}/healthz`).catch(() => undefined);
    const text = await answer?.text().catch(() => undefined);
    if (answer?.status === 503) return text;
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
  return undefined;
}
