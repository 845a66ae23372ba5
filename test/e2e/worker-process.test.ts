import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { freePort } from '../../src/dev/temporal-server.js';
import { scrape } from '../support/metrics.js';
import { type Stack, startStack } from '../support/stack.js';
import { startTcpGate } from '../support/tcp-gate.js';
import { startWorkerCommand } from '../support/worker-command.js';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ settings: { speed: 60 }, worker: false });
});
afterAll(() => stack?.close());

/** Two workers one after the other, and a drain between them. */
const TIMEOUT_MS = 120_000;

describe.each(['exception', 'rejection'])('an uncaught %s', { timeout: TIMEOUT_MS }, (kind) => {
  test('is logged and counted, what runs is finished, and the process ends with 1', async () => {
    const { submits } = stack.emulator.state();
    stack.emulator.queueFaults({ on: 'submit', fault: 'delay', delay_ms: 3_000, match: kind });
    const address = `127.0.0.1:${await freePort()}`;
    const first = startWorkerCommand(stack, { env: { WAN_VIDEO_METRICS: address, TEST_THROW: kind } });
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

    const second = startWorkerCommand(stack);
    expect((await stack.videos.result(id)).source).toBe('generated');
    expect(stack.emulator.state().submits).toBe(submits + 1);
    second.child.kill('SIGTERM');
    expect(await second.ended).toEqual({ code: 0, signal: null });
  });
});

test('one request to the metrics port whose target is no URL leaves the worker at work', async () => {
  const port = await freePort();
  const { child, ready, ended } = startWorkerCommand(stack, { env: { WAN_VIDEO_METRICS: `127.0.0.1:${port}` } });
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
  const { child, out, ready, ended, log } = startWorkerCommand(stack, {
    env: { TEMPORAL_ADDRESS: new URL(gate.origin).host },
  });
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
  const { child, loads, ended } = startWorkerCommand(stack);
  await loads;
  await sleep(afterMs);
  child.kill('SIGTERM');
  expect(await ended).toEqual({ code: 0, signal: null });
});

test('a SIGTERM while the worker waits for a Temporal that is away ends it at once', async () => {
  const { child, ended, out } = startWorkerCommand(stack, {
    env: { TEMPORAL_ADDRESS: `127.0.0.1:${await freePort()}` },
  });
  await sleep(2_000);
  expect(child.exitCode, out.stderr).toBeNull();
  const sentMs = performance.now();
  child.kill('SIGTERM');
  expect(await ended).toEqual({ code: 0, signal: null });
  // It would wait for minutes; a busy machine needs seconds to end a process.
  expect(performance.now() - sentMs).toBeLessThan(20_000);
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
    const { child, loads, ended } = startWorkerCommand(stack, { program: ['unshare', '--pid', '--fork'] });
    await loads;
    await sleep(afterMs);
    // `unshare` itself does not pass signals on; its one child is the worker.
    process.kill(Number(readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8')), 'SIGTERM');
    expect(await ended).toMatchObject({ code: 0 });
  },
);
