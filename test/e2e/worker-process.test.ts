import { type ChildProcess, type ChildProcessByStdio, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { freePort } from '../../src/dev/temporal-server.js';
import { scrape } from '../support/metrics.js';
import { ROOT } from '../support/root.js';
import { type Stack, startStack, TEST_KEY } from '../support/stack.js';
import { startTcpGate } from '../support/tcp-gate.js';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ settings: { speed: 60 }, worker: false });
});
afterAll(() => stack?.close());

interface Line {
  readonly level: number;
  readonly msg: string;
  readonly [name: string]: unknown;
}

/** The shipped command as a process. */
interface Command {
  readonly child: ChildProcess;
  readonly out: { stdout: string; stderr: string };
  /** Resolves when Node.js begins to load the command. */
  readonly loads: Promise<unknown>;
  /** Resolves once it says on stdout that it is ready; rejects when it ends before. */
  readonly ready: Promise<void>;
  /** How it ended: exit code, and the signal that it died of. */
  readonly ended: Promise<{ readonly code: number | null; readonly signal: string | null }>;
  /** Its log so far; throws when a line is no JSON. */
  log(): Line[];
}

/** Starts `wan-video worker`; `program` may put another program in front of it. */
function startWorker(env: Record<string, string> = {}, program: readonly string[] = []): Command {
  const helper = join(ROOT, 'test', 'support', 'throw-on-signal.mjs');
  const [file = '', ...args] = [...program, process.execPath, '--import', helper, 'dist/src/cli/main.js', 'worker'];
  const own = { PATH: process.env['PATH'], HOME: stack.outputDir, LOG_FORMAT: 'json', DASHSCOPE_API_KEY: TEST_KEY };
  const child = spawn(file, args, {
    cwd: ROOT,
    env: { ...own, ...stack.env, ...env },
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
    const lines = out.stderr.split('\n').slice(0, -1);
    // A command that fails says so last.
    if (lines.at(-1)?.startsWith('wan-video: ')) lines.pop();
    return lines.map((line) => {
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
  return { child, out, loads, ready, ended, log };
}

/** Two workers one after the other, and a drain between them. */
const TIMEOUT_MS = 120_000;

describe.each(['exception', 'rejection'])('an uncaught %s', { timeout: TIMEOUT_MS }, (kind) => {
  test('is logged and counted, what runs is finished, and the process ends with 1', async () => {
    const { submits } = stack.emulator.state();
    stack.emulator.queueFaults({ on: 'submit', fault: 'delay', delay_ms: 3_000, match: kind });
    const address = `127.0.0.1:${await freePort()}`;
    const first = startWorker({ WAN_VIDEO_METRICS: address, TEST_THROW: kind });
    await first.ready;
    const { id } = await stack.videos.start(stack.request(`while a submit meets an ${kind}`));
    await expect.poll(() => stack.emulator.state().submits, { timeout: 30_000 }).toBe(submits + 1);
    first.child.kill('SIGUSR2');
    // It drains: the submit on the wire is finished, and until then its numbers are there.
    const uncaught = async () => (await scrape(address)).value('wan_video_uncaught_errors_total', { kind });
    await expect.poll(uncaught).toBe(1);
    expect((await fetch(`http://${address}/readyz`)).status).toBe(503);
    expect(await first.ended).toEqual({ code: 1, signal: null });

    const line = first.log().find(({ msg }) => msg === `Uncaught ${kind}; the worker finishes what it runs and ends`);
    expect(line).toMatchObject({
      level: 50,
      error: expect.stringContaining('Error: out of band, at https://a.example'),
    });
    expect(first.out.stderr).not.toContain('leaked');
    expect(first.out.stdout).toMatch(/^Worker ready: .*\n$/);

    const second = startWorker();
    expect((await stack.videos.result(id)).source).toBe('generated');
    expect(stack.emulator.state().submits).toBe(submits + 1);
    second.child.kill('SIGTERM');
    expect(await second.ended).toEqual({ code: 0, signal: null });
  });
});

test('one request to the metrics port whose target is no URL leaves the worker at work', async () => {
  const port = await freePort();
  const { child, ready, ended } = startWorker({ WAN_VIDEO_METRICS: `127.0.0.1:${port}` });
  await ready;
  for (const target of ['//', '//[', 'http://[', '*', '/\\']) {
    const socket = connect(port, '127.0.0.1').setEncoding('latin1');
    socket.write(`GET ${target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
    const [answer] = (await once(socket, 'data')) as [string];
    expect(answer).toMatch(/^HTTP\/1\.1 40[04] /);
  }
  expect((await stack.videos.generate(stack.request('after an odd request'))).source).toBe('generated');
  child.kill('SIGTERM');
  expect(await ended).toEqual({ code: 0, signal: null });
});

test('while Temporal is away, all that the process writes are lines of our log', async () => {
  const gate = await startTcpGate(`http://${stack.env['TEMPORAL_ADDRESS']}`);
  onTestFinished(() => gate.down());
  const { child, out, ready, ended, log } = startWorker({ TEMPORAL_ADDRESS: new URL(gate.origin).host });
  await ready;
  await gate.down();
  child.kill('SIGWINCH');
  await expect
    .poll(() => log().some(({ target }) => target === 'temporalio_client::retry'), { timeout: 50_000 })
    .toBe(true);
  expect(log()).toContainEqual(expect.objectContaining({ level: 40, msg: 'a warning of a library' }));
  expect(out.stdout).toMatch(/^Worker ready: .*\n$/);
  child.kill('SIGTERM');
  expect(await ended).toEqual({ code: 0, signal: null });
  log();
});

// From the moment on in which Node.js begins to load the command; before, it has no say yet.
test.each([100, 200, 300, 500, 800, 1_200, 2_000])('a SIGTERM after %d ms ends a worker', async (afterMs) => {
  const { child, loads, ended } = startWorker();
  await loads;
  await sleep(afterMs);
  child.kill('SIGTERM');
  expect(await ended).toEqual({ code: 0, signal: null });
});

test('a SIGTERM while the worker waits for a Temporal that is away ends it at once', async () => {
  const { child, ended, out } = startWorker({ TEMPORAL_ADDRESS: `127.0.0.1:${await freePort()}` });
  await sleep(2_000);
  expect(child.exitCode, out.stderr).toBeNull();
  const sentMs = performance.now();
  child.kill('SIGTERM');
  expect(await ended).toEqual({ code: 0, signal: null });
  expect(performance.now() - sentMs).toBeLessThan(3_000);
});

/** Whether a process may be the first of a process namespace here, as in a container. */
function canUnshare(): boolean {
  try {
    execFileSync('unshare', ['--pid', '--fork', 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

test.runIf(canUnshare()).each([200, 500, 1_000])(
  'as the first process of a container a worker ends on a SIGTERM after %d ms',
  async (afterMs) => {
    const { child, loads, ended } = startWorker({}, ['unshare', '--pid', '--fork']);
    await loads;
    await sleep(afterMs);
    // `unshare` itself does not pass signals on; its one child is the worker.
    process.kill(Number(readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8')), 'SIGTERM');
    expect(await ended).toMatchObject({ code: 0 });
  },
);
