import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { NativeConnection } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connectClient } from '../../src/client/connect.js';
import { temporalFromEnv, workerOptionsOf } from '../../src/client/temporal-target.js';
import { loadConfig } from '../../src/config/config.js';
import { DashScopeClient } from '../../src/dashscope/client.js';
import { createDispatcher } from '../../src/net/dispatcher.js';
import { fetchGuarded } from '../../src/net/guarded-fetch.js';
import { openStore } from '../../src/storage/open-store.js';
import { type Certificates, certificatesMissing, makeCertificates } from '../support/certificates.js';
import { processOf } from '../support/command.js';
import { type ConnectProxy, startConnectProxy } from '../support/connect-proxy.js';
import { QUICK_POLL } from '../support/quick-times.js';
import { type S3Server, s3ServerMissing, startS3Server } from '../support/s3-server.js';
import { ROOT, type Stack, startStack, TEST_KEY } from '../support/stack.js';
import { startGrpcFront, startHttpsFront, type TlsFront } from '../support/tls-front.js';

/** Names that nobody but the proxy can resolve. */
const NAMES = ['provider.test', 'results.test', 's3.test', 'images.test', 'temporal.test'];
const PASSWORD = 'open-sesame-42';

const missing = certificatesMissing() ?? s3ServerMissing();
if (missing !== undefined) console.warn(`skipped: ${missing}`);

describe.skipIf(missing !== undefined)('behind a proxy, with a private authority', () => {
  const closing: { close(): Promise<unknown> }[] = [];
  const opened = async <T extends { close(): Promise<unknown> }>(opening: Promise<T>): Promise<T> => {
    const one = await opening;
    closing.unshift(one);
    return one;
  };
  let certificates: Certificates;
  let stack: Stack;
  let s3: S3Server;
  let proxy: ConnectProxy;
  let env: Record<string, string>;
  let worker: ReturnType<typeof spawn>;

  beforeAll(async () => {
    certificates = await opened(makeCertificates(NAMES));
    stack = await opened(
      startStack({ worker: false, settings: { speed: 100, result_origin: 'https://results.test' } }),
    );
    s3 = await opened(startS3Server());
    const sample = await readFile(join(ROOT, 'assets', 'sample.jpg'));
    const images = createServer((_, response) => void response.end(sample)).listen(0, '127.0.0.1');
    await once(images, 'listening');
    closing.unshift({ close: async () => images.close().closeAllConnections() });
    const front = async (target: string): Promise<TlsFront> => opened(startHttpsFront(target, certificates));
    const provider = await front(stack.emulator.origin);
    const grpc = await opened(startGrpcFront(stack.temporal.connection.address!, certificates));
    const hosts = {
      'provider.test:443': provider.port,
      'results.test:443': provider.port,
      's3.test:443': (await front(s3.endpoint)).port,
      'images.test:443': (await front(`http://127.0.0.1:${(images.address() as AddressInfo).port}`)).port,
      'temporal.test:7233': grpc.port,
    };
    proxy = await opened(startConnectProxy(hosts, `me:${PASSWORD}`));
    env = {
      HTTPS_PROXY: proxy.url,
      HTTP_PROXY: 'http://127.0.0.1:9', // everything here is https; a request that comes here fails
      NODE_EXTRA_CA_CERTS: certificates.authorityFile,
      DASHSCOPE_HTTP_BASE_URL: 'https://provider.test/api/v1',
      DASHSCOPE_API_KEY: TEST_KEY,
      TEMPORAL_ADDRESS: 'temporal.test:7233',
      TEMPORAL_TLS: 'true',
      ...s3.env,
      AWS_ENDPOINT_URL_S3: 'https://s3.test',
      ASSET_STORE: `s3://${await s3.newBucket()}/behind`,
      HOME: stack.outputDir,
    };
    const script = join(ROOT, 'test', 'support', 'worker-process.mjs');
    worker = spawn(process.execPath, [script, JSON.stringify({ times: QUICK_POLL })], {
      env: { PATH: process.env['PATH'], ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = once(worker, 'exit').then(([code]) => Promise.reject(new Error(`the worker ended with ${code}`)));
    await Promise.race([once(createInterface({ input: worker.stdout! }), 'line'), ended]);
    ended.catch(() => undefined);
  });
  afterAll(async () => {
    if (worker !== undefined && worker.exitCode === null) {
      worker.kill('SIGKILL');
      await once(worker, 'exit');
    }
    for (const one of closing) await one.close();
    await rm(stack?.outputDir ?? '', { recursive: true, force: true });
  });

  /** The targets that the proxy saw while `use` ran, each once. */
  const askedDuring = async (use: () => Promise<unknown>): Promise<string[]> => {
    const from = proxy.asked.length;
    await use();
    return [...new Set(proxy.asked.slice(from))].sort();
  };

  test('a video comes from an image of an https URL, by worker and command, and nothing but the proxy leads there', async () => {
    const flags = ['--prompt', 'behind the proxy', '--image', 'https://images.test/boat.jpg', '--json'];
    const end = await processOf(['generate', ...flags], env);
    expect([end.code, end.stderr]).toEqual([0, expect.any(String)]);
    expect(JSON.parse(end.stdout)).toMatchObject({ source: 'generated', video_url: expect.stringMatching(/^s3:/) });
    // API and upload, download, store, image; Temporal's client and the worker's own connection.
    for (const target of [
      'provider.test:443',
      'results.test:443',
      's3.test:443',
      'images.test:443',
      'temporal.test:7233',
    ])
      expect(proxy.asked).toContain(target);
    expect(stack.emulator.state()).toMatchObject({ uploads: 1, submits: 1 });
    expect(end.stdout + end.stderr).not.toContain(PASSWORD);
  });

  test('doctor names proxy and authorities, and no password', async () => {
    const { code, stdout } = await processOf(['doctor', '--json'], env);
    const { checks } = JSON.parse(stdout) as { checks: { name: string; status: string; message: string }[] };
    const by = Object.fromEntries(checks.map((check) => [check.name, check]));
    const name = proxy.url.replace(`me:${PASSWORD}@`, '');
    expect(by['network']?.message).toBe(
      `https and Temporal through ${name}; http through http://127.0.0.1:9; directly to loopback; ` +
        `1 more certificate authority from ${certificates.authorityFile}`,
    );
    for (const one of ['temporal', 'store', 'provider', 'clock', 'workers'])
      expect(by[one]).toMatchObject({ status: 'ok' });
    expect(stdout).not.toContain(PASSWORD);
    expect([0, 3]).toContain(code); // nobody has set the sweep up
  });

  test('without the authority doctor names every connection that it stops, and what to set', async () => {
    const { NODE_EXTRA_CA_CERTS: _, ...without } = env;
    const { stdout } = await processOf(['doctor', '--json'], without);
    const { checks } = JSON.parse(stdout) as {
      checks: { name: string; status: string; message: string; next_step?: string }[];
    };
    const by = Object.fromEntries(checks.map((check) => [check.name, check]));
    for (const name of ['temporal', 'store', 'provider', 'clock']) {
      expect(by[name]).toMatchObject({ status: 'fault', next_step: expect.stringContaining('NODE_EXTRA_CA_CERTS') });
    }
    expect(by['temporal']?.message).toMatch(
      /^Temporal cannot be reached at temporal\.test:7233 through the proxy http:\/\/127\.0\.0\.1:\d+: (SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO)/,
    );
    expect(stdout).not.toContain(PASSWORD);
  });

  test("the worker's own connection to Temporal needs the authority too, which Node does not give it", async () => {
    const target = temporalFromEnv(env);
    expect(
      await askedDuring(async () => (await NativeConnection.connect(workerOptionsOf(target) as never)).close()),
    ).toEqual(['temporal.test:7233']);
    const untrusting = { ...target, authorities: undefined };
    await expect(NativeConnection.connect(workerOptionsOf(untrusting) as never)).rejects.toThrow(
      /certificate|UnknownIssuer|transport/i,
    );
  });

  // This process was started without the authority: each kind of connection reaches the host through the proxy, and is
  // refused.
  const local = () => {
    const config = loadConfig(env, { cwd: ROOT, homeDir: stack.outputDir });
    return { config, dispatcher: createDispatcher(config.proxies) };
  };
  const clientAt = (dispatcher: ReturnType<typeof createDispatcher>) =>
    new DashScopeClient({ baseUrl: env['DASHSCOPE_HTTP_BASE_URL']!, apiKey: () => TEST_KEY, dispatcher });
  const policy = {
    policy: 'p',
    signature: 's',
    uploadDir: 'd',
    uploadHost: 'https://provider.test/upload',
    accessKeyId: 'a',
    objectAcl: 'private',
    forbidOverwrite: 'true',
    expiresInSeconds: 60,
    maxMb: 1,
  };
  test.each<[string, string, () => Promise<unknown>, string]>([
    ['the API', 'provider.test:443', () => clientAt(local().dispatcher).queryTask('x'), 'ProviderUnavailable'],
    [
      'an upload',
      'provider.test:443',
      () =>
        clientAt(local().dispatcher).uploadFile(policy as never, {
          name: 'a.jpg',
          contentType: 'image/jpeg',
          size: 1,
          body: Readable.from([Buffer.from('x')]),
        }),
      'ProviderUnavailable',
    ],
    [
      'a result',
      'results.test:443',
      () => clientAt(local().dispatcher).download('https://results.test/v.mp4'),
      'ProviderUnavailable',
    ],
    [
      'an image',
      'images.test:443',
      () =>
        fetchGuarded('https://images.test/a.jpg', {
          allow: [],
          proxies: local().config.proxies,
          maxBytes: 9,
          timeoutMs: 9_000,
        }),
      'ReferenceUnreachable',
    ],
    [
      'the store',
      's3.test:443',
      async () => {
        const { store, proxies } = local().config;
        return withEnv(() => openStore(store, { proxies }).head('videos/a.mp4'));
      },
      'StoreUnavailable',
    ],
    [
      'Temporal',
      'temporal.test:7233',
      () => connectClient(temporalFromEnv(env), { timeoutMs: 1_000 }),
      'TemporalUnreachable',
    ],
  ])(
    '%s goes to %s through the proxy, and is refused without the authority by that reason',
    async (_what, target, connect, type) => {
      const asked = await askedDuring(() =>
        expect(connect()).rejects.toMatchObject({ type, nextStep: expect.stringContaining('NODE_EXTRA_CA_CERTS') }),
      );
      expect(asked).toEqual([target]);
    },
  );

  /** The AWS SDK reads the process. */
  const withEnv = async <T>(use: () => Promise<T>): Promise<T> => {
    const names = Object.keys(env).filter((name) => name.startsWith('AWS_'));
    Object.assign(process.env, Object.fromEntries(names.map((name) => [name, env[name]])));
    try {
      return await use();
    } finally {
      for (const name of names) delete process.env[name];
    }
  };
});
