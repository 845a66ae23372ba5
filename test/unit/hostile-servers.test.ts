import { mkdtemp, rm } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest';
import { Secret } from '../../src/config/credentials.js';
import { VideoError } from '../../src/contract/video-error.js';
import { DashScopeClient } from '../../src/dashscope/client.js';
import { downloadToFile } from '../../src/net/download.js';
import { fetchGuarded } from '../../src/net/guarded-fetch.js';
import { NO_PROXIES } from '../../src/net/proxies.js';
import { S3Store } from '../../src/storage/s3-store.js';
import { WebhookSender } from '../../src/webhook/webhook-sender.js';
import { HOSTILE_SERVERS, startHostileServer } from '../support/hostile-servers.js';

/** Bound on each call below. */
const BOUND_MS = 700;
let folder: string;
const uncaught: unknown[] = [];
const note = (error: unknown) => void uncaught.push(error);
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wan-video-hostile-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));
beforeEach(() => {
  process.on('uncaughtException', note).on('unhandledRejection', note);
});
afterEach(() => {
  process.off('uncaughtException', note).off('unhandledRejection', note);
});

async function startServer(behave: (socket: Socket) => void): Promise<string> {
  const { url, close } = await startHostileServer(behave);
  onTestFinished(close);
  return url;
}

/** One call by each of our HTTP clients. */
function callAll(url: string): Readonly<Record<string, Promise<unknown>>> {
  const dashscope = new DashScopeClient({
    baseUrl: `${url}/api/v1`,
    apiKey: () => 'sk-test-0123456789',
    timeouts: { submitMs: BOUND_MS, readMs: BOUND_MS, cancelMs: BOUND_MS, uploadMs: BOUND_MS, downloadIdleMs: 500 },
  });
  const store = new S3Store({
    bucket: 'bucket',
    client: {
      endpoint: url,
      forcePathStyle: true,
      region: 'us-east-1',
      credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
      maxAttempts: 1,
      requestHandler: { requestTimeout: BOUND_MS, throwOnRequestTimeout: true },
    },
  });
  const webhook = new WebhookSender({
    settings: {
      url: new Secret(url, 'a test'),
      host: new URL(url).host,
      format: 'standard',
      linkSeconds: undefined,
      secrets: [new Secret(`whsec_${Buffer.alloc(32, 1).toString('base64')}`, 'a test')],
      events: [],
    },
    proxies: NO_PROXIES,
    timeoutMs: BOUND_MS,
    now: Date.now,
  });
  onTestFinished(async () => {
    await Promise.all([dashscope.close(), webhook.close()]);
  });
  const image = async () => {
    const { body } = await fetchGuarded(`${url}/a.png`, {
      allow: ['127.0.0.1'],
      maxBytes: 200_000,
      timeoutMs: BOUND_MS,
    });
    for await (const _ of body);
  };
  const signal = AbortSignal.timeout(2 * BOUND_MS);
  const download = async () => {
    const file = join(folder, `${Math.random()}.mp4`);
    const open = async (from: number) => {
      const { statusCode: status, headers, body } = await dashscope.download(`${url}/a.mp4`, { from, signal });
      return { status, headers, body };
    };
    await downloadToFile({ open, file, maxBytes: 200_000, slowMs: 500, signal, resumeDelayMs: 10 });
  };
  return {
    image: image(),
    download: download(),
    submit: dashscope.createTask({ model: 'm', input: { prompt: 'p', img_url: 'oss://a' }, parameters: {} }),
    query: dashscope.queryTask('task'),
    list: dashscope.listTasks({ modelName: 'm', pageNo: 1, pageSize: 10 }),
    cancel: dashscope.cancelTask('task'),
    policy: dashscope.getUploadPolicy('m'),
    store: store.head('videos/a.mp4', { signal }),
    webhook: webhook.send({ id: 'msg_1', type: 'webhook.test', timestamp: '2026-03-01T00:00:00Z', data: { text: '' } }),
  };
}

test.each(Object.entries(HOSTILE_SERVERS))(
  'a server that %s is an error of the call, and of nothing else',
  async (_name, behave) => {
    uncaught.length = 0;
    const calls = Object.entries(callAll(await startServer(behave)));
    const ended = await Promise.all(
      calls.map(([name, call]) =>
        call.then(
          (value) => ({ name, value }),
          (error: unknown) => ({ name, error }),
        ),
      ),
    );
    const untyped = ended.filter((end) => {
      const timedOut = 'error' in end && end.error instanceof DOMException && end.error.name === 'TimeoutError';
      return 'error' in end && !(end.error instanceof VideoError) && !timedOut;
    });
    expect(untyped).toEqual([]);
    // What comes late: a socket that talks on, a timer of the HTTP client.
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(uncaught).toEqual([]);
  },
);
