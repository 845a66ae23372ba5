import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { certificatesMissing, makeCertificates } from '../support/certificates.js';
import { type ConnectProxy, startConnectProxy } from '../support/connect-proxy.js';
import { QUICK_POLL } from '../support/quick-times.js';
import { ROOT, type Stack, startStack, TEST_KEY } from '../support/stack.js';
import { startHttpsFront } from '../support/tls-front.js';

const missing = certificatesMissing();
if (missing !== undefined) console.warn(`skipped: ${missing}`);

/** Public by the product's rules, and led to this machine by a proxy, as a company's is. */
const PROVIDER = 'provider.example.com';
const RESULTS = 'dashscope-result.example.com';
const RESULTS_WITHOUT_TLS = 'dashscope-result-plain.example.com';

describe.skipIf(missing !== undefined)('a provider whose links are http: and of a public host', () => {
  const closing: { close(): Promise<unknown> }[] = [];
  const hosts: Record<string, number> = {};
  let stack: Stack;
  let proxy: ConnectProxy;
  let worker: ChildProcess | undefined;

  beforeAll(async () => {
    stack = await startStack({ worker: false, settings: { speed: 100 } });
    closing.unshift(stack);
    const certificates = await makeCertificates([PROVIDER, RESULTS]);
    closing.unshift(certificates);
    const front = await startHttpsFront(stack.emulator.origin, certificates);
    closing.unshift(front);
    hosts[`${PROVIDER}:443`] = front.port;
    hosts[`${RESULTS}:443`] = front.port;
    const plain = Number(new URL(stack.emulator.origin).port);
    hosts[`${RESULTS}:80`] = plain;
    hosts[`${RESULTS_WITHOUT_TLS}:80`] = plain;
    proxy = await startConnectProxy(hosts);
    closing.unshift(proxy);
    const script = join(ROOT, 'test', 'support', 'worker-process.mjs');
    worker = spawn(process.execPath, [script, JSON.stringify({ times: { ...QUICK_POLL, retryInitialMs: 100 } })], {
      env: {
        ...stack.env,
        PATH: process.env['PATH'],
        HOME: stack.outputDir,
        HTTP_PROXY: proxy.url,
        HTTPS_PROXY: proxy.url,
        NODE_EXTRA_CA_CERTS: certificates.authorityFile,
        DASHSCOPE_HTTP_BASE_URL: `https://${PROVIDER}/api/v1`,
        DASHSCOPE_API_KEY: TEST_KEY,
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = once(worker, 'exit').then(([code]) => Promise.reject(new Error(`the worker ended with ${code}`)));
    await Promise.race([once(createInterface({ input: worker.stdout! }), 'line'), ended]);
    ended.catch(() => undefined);
  });
  afterAll(async () => {
    if (worker?.exitCode === null) {
      worker.kill('SIGKILL');
      await once(worker, 'exit');
    }
    for (const one of closing) await one.close();
  });

  /** Generates, and returns where a link of the host led. */
  const askedFor = async (host: string): Promise<string[]> => {
    stack.emulator.changeSettings({ result_origin: `http://${host}` });
    const result = await stack.videos.generate(stack.request(host));
    const tasks = stack.emulator.state().tasks.filter((task) => task.prompt === host);
    expect(tasks.map(({ task_id }) => task_id)).toEqual([result.task_id]);
    return [...new Set(proxy.asked.filter((one) => one.startsWith(`${host}:`)))];
  };

  test('is asked by https, and never without it', async () => {
    expect(await askedFor(RESULTS)).toEqual([`${RESULTS}:443`]);
  });

  test('is asked without it where nothing answers by https: one purchase, archived', async () => {
    const asked = await askedFor(RESULTS_WITHOUT_TLS);
    expect(asked).toEqual([`${RESULTS_WITHOUT_TLS}:443`, `${RESULTS_WITHOUT_TLS}:80`]);
  });
});
