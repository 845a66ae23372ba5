import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import type { TemporalTarget } from '../../src/client/temporal-target.js';
import { runWorker } from '../../src/worker/run-worker.js';
import { type Certificates, certificatesMissing, makeCertificates } from '../support/certificates.js';
import { BUNDLE, type Stack, startStack, TEST_KEY } from '../support/stack.js';
import { startGrpcFront } from '../support/tls-front.js';

const missing = certificatesMissing();
let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ settings: { speed: 60 }, worker: false });
});
afterAll(() => stack?.close());

/** How a client signs in at a front with a certificate of the front's own authority. */
function target(port: number, { authority, client }: Certificates): TemporalTarget {
  const clientCertPair = { crt: Buffer.from(client.cert), key: Buffer.from(client.key) };
  const tls = { serverRootCACertificate: Buffer.from(authority), clientCertPair };
  return { namespace: 'default', connection: { address: `127.0.0.1:${port}`, tls } };
}

/** A front with an authority of its own: what signs in at one is refused by another. */
async function openFront() {
  const certificates = await makeCertificates(['127.0.0.1', 'localhost']);
  const front = await startGrpcFront(stack.env['TEMPORAL_ADDRESS'] ?? '', certificates, { clientCertificate: true });
  onTestFinished(async () => {
    await front.close();
    await certificates.close();
  });
  return { front, target: target(front.port, certificates) };
}

test.skipIf(missing !== undefined)(
  'a renewed client certificate is used by a running worker',
  { timeout: 180_000 },
  async () => {
    const earlier = await openFront();
    const renewed = await openFront();
    let current = earlier.target;
    const stop = new AbortController();
    let readyTimes = 0;
    let running: Promise<void> = Promise.resolve();
    await new Promise<void>((ready, failed) => {
      running = runWorker({
        config: { ...stack.config, times: { ...stack.config.times, watchEveryMs: 500 } },
        temporal: earlier.target,
        readTemporal: async () => current,
        bundlePath: BUNDLE,
        signal: stop.signal,
        apiKey: () => TEST_KEY,
        onReady: () => {
          readyTimes += 1;
          ready();
        },
      });
      running.catch(failed);
    });
    expect((await stack.videos.generate(stack.request('before the renewal'))).source).toBe('generated');
    expect(renewed.front.calls.count).toBe(0);

    const { id } = await stack.videos.start({ ...stack.request('over the renewal'), duration: 15 });
    current = renewed.target;
    await expect.poll(() => renewed.front.calls.count, { timeout: 60_000 }).toBeGreaterThan(10);
    await earlier.front.close(); // what the earlier certificate opened is of no use any more
    expect((await stack.videos.result(id)).source).toBe('generated');
    expect((await stack.videos.generate(stack.request('after the renewal'))).source).toBe('generated');
    expect(stack.emulator.state().submits).toBe(3);
    expect(readyTimes).toBe(1);
    stop.abort();
    await running;
  },
);
