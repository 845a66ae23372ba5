import { cp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import type { TemporalTarget } from '../../src/client/temporal-target.js';
import { runWorker } from '../../src/worker/run-worker.js';
import { type Certificates, certificatesMissing, makeCertificates } from '../support/certificates.js';
import { startWorkerProcess } from '../support/processes.js';
import { s3ServerMissing, startS3Server } from '../support/s3-server.js';
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

const noKeys = missing ?? s3ServerMissing() ?? (process.env['S3_TEST_ENDPOINT'] && 'the keys are not ours to rotate');

test.skipIf(noKeys !== undefined)(
  "two workers use the store's and Temporal's renewed credentials, all three in turn, while generations go on",
  { timeout: 300_000 },
  async () => {
    const s3 = await startS3Server();
    onTestFinished(() => s3.close());
    // The store of this process has a key that nobody rotates.
    const before = { ...process.env };
    Object.assign(process.env, s3.env);
    onTestFinished(() => {
      process.env = before;
    });
    const own = await startStack({
      settings: { speed: 20, slots: 20 },
      worker: false,
      env: { ASSET_STORE: `s3://${await s3.newBucket()}/store`, WAN_VIDEO_MAX_RUNNING: '20' },
    });
    onTestFinished(() => own.close());

    const [certificates, renewed] = await Promise.all([
      makeCertificates(['127.0.0.1']),
      makeCertificates(['127.0.0.1']),
    ]);
    const apiKeys = new Set(['first']);
    const front = await startGrpcFront(own.env['TEMPORAL_ADDRESS'] ?? '', certificates, {
      clientCertificate: true,
      apiKeys,
    });
    onTestFinished(async () => {
      await front.close();
      await Promise.all([certificates.close(), renewed.close()]);
    });
    const at = (name: string) => join(own.outputDir, name);
    const useS3Key = (key: string) =>
      writeFile(at('credentials'), `[default]\naws_access_key_id = ${key}\naws_secret_access_key = of-${key}\n`);
    const useApiKey = (key: string) =>
      writeFile(
        at('temporal.toml'),
        `[profile.default]\naddress = "127.0.0.1:${front.port}"\nnamespace = "default"\napi_key = "${key}"\n` +
          `[profile.default.tls]\nserver_ca_cert_path = "${certificates.authorityFile}"\n` +
          `client_cert_path = "${at('client.pem')}"\nclient_key_path = "${at('client.key')}"\n`,
      );
    const useCertificate = async ({ client }: Certificates) => {
      await cp(client.keyFile, at('client.key'));
      await cp(client.certFile, at('client.pem'));
    };
    await s3.keys?.add('first', 'of-first');
    await Promise.all([useS3Key('first'), useApiKey('first'), useCertificate(certificates)]);

    const { AWS_ENDPOINT_URL_S3 = '', AWS_REGION = '' } = s3.env;
    const env = {
      AWS_ENDPOINT_URL_S3,
      AWS_REGION,
      AWS_SHARED_CREDENTIALS_FILE: at('credentials'),
      TEMPORAL_ADDRESS: `127.0.0.1:${front.port}`,
      TEMPORAL_CONFIG_FILE: at('temporal.toml'),
      LOG_LEVEL: 'info',
    };
    const logs = ['', ''];
    const startOne = (nth: number) =>
      startWorkerProcess(
        own,
        { watchEveryMs: 500 },
        {
          env,
          onLog: (text) => {
            logs[nth] += text;
          },
        },
      );
    const workers = await Promise.all([startOne(0), startOne(1)]);
    onTestFinished(async () => {
      await Promise.all(workers.map((worker) => worker.end('SIGKILL')));
    });
    const bothSay = (text: string, times = 1) =>
      expect
        .poll(() => logs.map((log) => log.split(text).length - 1 >= times), { timeout: 60_000 })
        .toEqual([true, true]);

    let isOver = false;
    let generated = 0;
    const lane = async (name: number) => {
      for (let n = 0; !isOver; n += 1) {
        expect(await own.videos.generate(own.request(`lane ${name}, ${n}`))).toMatchObject({ source: 'generated' });
        generated += 1;
      }
    };
    const lanes = Promise.all([0, 1, 2, 3].map(lane));
    /** Waits until every lane has begun and ended a generation. */
    const goesOn = () => {
      const until = generated + 8;
      return Promise.race([lanes, expect.poll(() => generated, { timeout: 60_000 }).toBeGreaterThanOrEqual(until)]);
    };
    await goesOn();

    await s3.keys?.add('second', 'of-second');
    await useS3Key('second');
    await s3.keys?.remove('first'); // before the minute in which a worker would notice by itself
    await goesOn();

    apiKeys.add('second');
    await useApiKey('second');
    await bothSay("Temporal's API key was renewed");
    apiKeys.delete('first');
    await goesOn();

    front.trust(certificates.authority, renewed.authority);
    await useCertificate(renewed);
    await bothSay("Temporal's settings were renewed; the worker connects again");
    await goesOn();
    front.trust(renewed.authority);
    front.disconnect(); // what the earlier certificate opened
    await goesOn();

    isOver = true;
    await lanes;
    const { submits, tasks } = own.emulator.state();
    expect({ submits, tasks: tasks.length, generated }).toEqual({ submits: generated, tasks: generated, generated });
    expect(workers.map(({ process: { exitCode, signalCode } }) => exitCode ?? signalCode)).toEqual([null, null]);
    expect(await Promise.all(workers.map((worker) => worker.end('SIGTERM')))).toEqual([0, 0]);
  },
);
