import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { freePort } from '../../src/dev/temporal-server.js';
import { type Stack, startStack } from '../support/stack.js';
import { startTcpGate } from '../support/tcp-gate.js';
import { livenessFault, startWorkerCommand } from '../support/worker-command.js';

// The shipped worker without a connection to Temporal, from the start and later.

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ settings: { speed: 60 }, worker: false });
});
afterAll(() => stack?.close());

/** An address at which connections are accepted and nothing is ever answered. */
async function openSilence(): Promise<string> {
  const server = createServer((socket) => void socket.on('error', () => undefined).resume());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** An address that leads to Temporal once; every further connection is accepted and nothing on it is answered. */
async function openOnce(): Promise<string> {
  const { port, hostname } = new URL(`http://${stack.env['TEMPORAL_ADDRESS']}`);
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    const isFirst = sockets.push(socket.on('error', () => undefined)) === 1;
    if (!isFirst) return void socket.resume();
    const behind = connect(Number(port), hostname).on('error', () => undefined);
    sockets.push(behind);
    socket.pipe(behind).pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test.each([
  ['nobody listens', async () => `127.0.0.1:${await freePort()}`, /ECONNREFUSED/],
  ['nothing is answered', openSilence, /nothing there answers as Temporal does/],
  ['no such host is known', async () => 'temporal.invalid:7233', /ENOTFOUND|EAI_AGAIN/],
  ["nothing is answered to its second connection, the queues' own", openOnce, /Timeout expired/],
  ['something else answers', async () => new URL(stack.emulator.origin).host, /nothing there answers as Temporal does/],
])(
  'a worker that never gets a connection, because %s, ends with the address and the reason',
  { timeout: 90_000 },
  async (_, addressOf, reason) => {
    const TEMPORAL_ADDRESS = await addressOf();
    // A host that is elsewhere needs a store that it shares.
    const env = { TEMPORAL_ADDRESS, WAN_VIDEO_SHARED_FILE_STORE: '1' };
    const { ended, lastWords, out } = startWorkerCommand(stack, { env });
    expect(await ended).toEqual({ code: 3, signal: null });
    expect(lastWords()).toContain(`Temporal cannot be reached at ${TEMPORAL_ADDRESS}`);
    expect(lastWords()).toMatch(reason);
    expect(out.stdout).toBe('');
  },
);

test('a worker that loses its connection for a quarter of an hour fails its liveness and ends; the next one goes on', {
  timeout: 300_000,
}, async () => {
  const gate = await startTcpGate(`http://${stack.env['TEMPORAL_ADDRESS']}`);
  onTestFinished(() => gate.down());
  const address = `127.0.0.1:${await freePort()}`;
  const env = { TEMPORAL_ADDRESS: new URL(gate.origin).host, WAN_VIDEO_METRICS: address };
  // The quarter of an hour passes at once, on the worker's own clock.
  const lost = startWorkerCommand(stack, { env, clocks: { pauseMs: 16 * 60_000 } });
  await lost.ready;
  const { id } = await stack.videos.start({ ...stack.request('over an outage'), duration: 15 });
  await expect.poll(() => stack.emulator.state().tasks.length, { timeout: 60_000 }).toBe(1);
  await gate.down();
  const healthz = async () => {
    const answer = await fetch(`http://${address}/healthz`).catch(() => undefined);
    return answer && { status: answer.status, text: await answer.text() };
  };
  expect(await healthz()).toMatchObject({ status: 200 });
  const readyz = async () => (await fetch(`http://${address}/readyz`)).status;
  await expect.poll(readyz, { timeout: 30_000 }).toBe(503);
  expect(await healthz()).toMatchObject({ status: 200 });

  // Its first look finds Temporal away, and a later one finds that it has been away for longer than a failover takes.
  const retried = () => lost.log().some(({ target }) => target === 'temporalio_client::retry');
  await expect.poll(retried, { timeout: 60_000 }).toBe(true);
  const clock = setInterval(() => lost.child.kill('SIGHUP'), 40_000);
  onTestFinished(() => clearInterval(clock));
  const says = `Temporal cannot be reached at ${env.TEMPORAL_ADDRESS}: `;
  expect(await livenessFault(address, lost)).toContain(says);
  expect(await lost.ended).toEqual({ code: 3, signal: null });
  expect(lost.lastWords(), lost.out.stderr).toContain(says);
  expect(lost.log()).toContainEqual(expect.objectContaining({ level: 50, msg: 'The worker cannot go on and ends' }));

  await startWorkerCommand(stack).ready;
  expect(await stack.videos.result(id)).toMatchObject({ source: 'generated' });
  expect(stack.emulator.state().tasks).toHaveLength(1);
});
