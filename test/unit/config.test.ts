import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { loadConfig, providerIdOf } from '../../src/config/config.js';
import { resolveApiKey } from '../../src/config/credentials.js';
import { raisedQuotas } from '../../src/config/quotas.js';
import { DEFAULT_TIMES } from '../../src/config/times.js';
import { FailureType } from '../../src/contract/failure-type.js';
import type { VideoError } from '../../src/contract/video-error.js';

const where = { cwd: '/srv/here', homeDir: '/home/me' };

test('an empty environment gives the documented defaults', () => {
  expect(loadConfig({ LOG_LEVEL: '' }, where)).toEqual({
    provider: { baseUrl: 'https://dashscope.aliyuncs.com/api/v1', providerId: 'cn-beijing', account: 'default' },
    store: { kind: 'file', path: '/srv/here/output/ai-video-wan-video' },
    sharedFileStore: false,
    taskQueues: { generate: 'video-generate', submit: 'video-submit', conform: 'video-conform' },
    ffmpeg: { program: 'ffmpeg', searchPath: '' },
    rates: { query: 10, submit: 4, maxRunning: 5 },
    allowPrivateUrls: [],
    proxies: { except: [] },
    log: { level: 'info' },
    times: DEFAULT_TIMES,
  });
});

test.each([
  ['https://dashscope-intl.aliyuncs.com/api/v1', 'ap-southeast-1'],
  ['https://llm-abc.ap-southeast-1.maas.aliyuncs.com/api/v1', 'ap-southeast-1'],
  ['https://llm-abc.cn-beijing.maas.aliyuncs.com/api/v1', 'cn-beijing'],
  ['https://cn-hongkong.dashscope.aliyuncs.com/api/v1', 'cn-hongkong'],
  ['http://127.0.0.1:8080/api/v1', 'emulator'],
  ['http://[::1]:9/api/v1', 'emulator'],
  ['http://localhost:9/api/v1', 'emulator'],
  ['https://gateway.example:8443/api/v1', 'gateway.example-8443'],
])('%s is the provider %s', (baseUrl, id) => {
  expect(providerIdOf(baseUrl)).toBe(id);
});

test.each([
  ['s3://bucket/a/b/', { kind: 's3', bucket: 'bucket', prefix: 'a/b' }],
  ['s3://bucket', { kind: 's3', bucket: 'bucket', prefix: '' }],
  ['file:x', { kind: 'file', path: '/srv/here/x' }],
  ['file:~/x', { kind: 'file', path: '/home/me/x' }],
  ['file:///abs/x', { kind: 'file', path: '/abs/x' }],
])('ASSET_STORE %s is understood', (value, store) => {
  expect(loadConfig({ ASSET_STORE: value }, where).store).toEqual(store);
});

test('all faults are reported at once, by variable', () => {
  const env = {
    DASHSCOPE_HTTP_BASE_URL: 'http://example.com/api/v1',
    DASHSCOPE_WORKSPACE: 'a b',
    ASSET_STORE: 'ftp://x',
    ASSET_PUBLIC_BASE_URL: 'x',
    WAN_VIDEO_TASK_QUEUE: 'a/b',
    WAN_VIDEO_ACCOUNT: '../x',
    WAN_VIDEO_QUERY_RATE: '2001',
    WAN_VIDEO_SUBMIT_RATE: 'fast',
    WAN_VIDEO_MAX_RUNNING: '1.5',
    WAN_VIDEO_ALLOW_PRIVATE_URLS: '10.0.0.0/33',
    LOG_LEVEL: 'loud',
    LOG_FORMAT: 'xml',
  };
  let error: unknown;
  try {
    loadConfig(env, where);
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toMatchObject({ type: FailureType.ConfigurationInvalid });
  expect((error as VideoError).issues?.map((issue) => issue.path).sort()).toEqual(Object.keys(env).sort());
});

test('the shipped times are ordered', () => {
  const t = DEFAULT_TIMES;
  for (const chain of [
    [t.submitHttpMs, t.submitStartToCloseMs, t.submitGraceMs, t.submitForceMs, t.containerStopMs],
    [t.mainGraceMs, t.mainForceMs, t.containerStopMs],
    [t.cancelHttpMs, t.cancelStartToCloseMs],
    [t.readHttpMs, t.heartbeatThrottleMs, t.heartbeatTimeoutMs, t.pollScheduleToCloseMs, t.ledger.resultLifeMs],
    [t.submitStartToCloseMs, t.submitScheduleToCloseMs],
  ]) {
    expect(chain).toEqual([...new Set(chain)].sort((a, b) => a - b));
  }
  expect(t.heartbeatTimeoutMs).toBeGreaterThanOrEqual(2 * t.heartbeatThrottleMs);
});

test('the key is found in the documented order and never prints', async () => {
  const homeDir = await mkdtemp(join(tmpdir(), 'cred-'));
  onTestFinished(() => rm(homeDir, { recursive: true }));
  await expect(resolveApiKey({}, { homeDir })).rejects.toMatchObject({
    type: FailureType.CredentialsMissing,
    message: expect.stringMatching(/DASHSCOPE_API_KEY .*DASHSCOPE_API_KEY_FILE_PATH .*credentials/),
  });
  await mkdir(join(homeDir, '.alibabacloud'));
  await writeFile(
    join(homeDir, '.alibabacloud', 'credentials'),
    '[default]\ndashscope_api_key = sk-ini\n[dev]\ndashscope_api_key=sk-dev\n',
  );
  const file = join(homeDir, 'key');
  await writeFile(file, 'sk-file\n');
  const find = async (env: Record<string, string>) => (await resolveApiKey(env, { homeDir })).reveal();
  expect(await find({})).toBe('sk-ini');
  expect(await find({ ALIBABA_CLOUD_PROFILE: 'dev' })).toBe('sk-dev');
  expect(await find({ DASHSCOPE_API_KEY_FILE_PATH: file })).toBe('sk-file');
  expect(await find({ DASHSCOPE_API_KEY_FILE_PATH: file, DASHSCOPE_API_KEY: 'sk-env' })).toBe('sk-env');
  const secret = await resolveApiKey({ DASHSCOPE_API_KEY: 'sk-env' }, { homeDir });
  expect([`${secret}`, JSON.stringify({ secret }), inspect({ secret })].join()).not.toContain('sk-env');
  expect(secret.source).toBe('DASHSCOPE_API_KEY');
});

test('a deployment version is both its name and its build, without the characters that Temporal joins them by', () => {
  const read = (env: Record<string, string>) => loadConfig(env, where).deployment;
  expect(read({ TEMPORAL_DEPLOYMENT_NAME: 'wan-video', TEMPORAL_WORKER_BUILD_ID: '1.2.3-a' })).toEqual({
    name: 'wan-video',
    buildId: '1.2.3-a',
  });
  for (const [env, path] of [
    [{ TEMPORAL_DEPLOYMENT_NAME: 'wan-video' }, 'TEMPORAL_WORKER_BUILD_ID'],
    [{ TEMPORAL_WORKER_BUILD_ID: 'v1' }, 'TEMPORAL_DEPLOYMENT_NAME'],
    [{ TEMPORAL_DEPLOYMENT_NAME: 'wan.video', TEMPORAL_WORKER_BUILD_ID: 'v1' }, 'TEMPORAL_DEPLOYMENT_NAME'],
    [{ TEMPORAL_DEPLOYMENT_NAME: 'wan-video', TEMPORAL_WORKER_BUILD_ID: 'v:1' }, 'TEMPORAL_WORKER_BUILD_ID'],
  ] as const)
    expect(() => read(env)).toThrow(expect.objectContaining({ issues: [expect.objectContaining({ path })] }));
});

test.each([
  ['https://dashscope.aliyuncs.com/compatible-mode/v1', 'https://dashscope.aliyuncs.com/api/v1'],
  ['https://dashscope.aliyuncs.com/api/v2', 'https://dashscope.aliyuncs.com/api/v1'],
  ['https://dashscope.aliyuncs.com/api/v1/services', 'https://dashscope.aliyuncs.com/api/v1'],
  ['https://dashscope.aliyuncs.com', 'https://dashscope.aliyuncs.com/api/v1'],
  ['https://{WorkspaceId}.cn-beijing.maas.aliyuncs.com/api/v1', '{WorkspaceId}'],
  ['https://%7BWorkspaceId%7D.cn-beijing.maas.aliyuncs.com/api/v1', '{WorkspaceId}'],
  ['https://<workspace>.cn-beijing.maas.aliyuncs.com/api/v1', '<workspace>'],
])('the base URL %s is refused, and the message names the fix', (DASHSCOPE_HTTP_BASE_URL, part) => {
  const load = () => loadConfig({ DASHSCOPE_HTTP_BASE_URL }, { cwd: '/w', homeDir: '/h' });
  expect(load).toThrow(
    expect.objectContaining({
      issues: [{ path: 'DASHSCOPE_HTTP_BASE_URL', message: expect.stringContaining(part) }],
    }),
  );
});

test.each([
  [{ ALL_PROXY: 'socks5://me:secret@p.example:1' }, ['ALL_PROXY']],
  [{ all_proxy: 'http://p.example:1' }, ['all_proxy']],
  [{ HTTPS_PROXY: 'socks5h://p.example:1' }, ['HTTPS_PROXY']],
  [{ ALL_PROXY: 'http://p.example:1', HTTPS_PROXY: 'http://p.example:1' }, []],
  [{ ALL_PROXY: 'http://p.example:1', NO_PROXY: '*' }, []],
  [{ ALL_PROXY: 'http://p.example:1', DASHSCOPE_HTTP_BASE_URL: 'http://127.0.0.1:9/api/v1' }, []],
])('a proxy that nothing would use is reported: %j', (env, variables) => {
  let paths: readonly string[] = [];
  try {
    loadConfig(env, { cwd: '/w', homeDir: '/h' });
  } catch (error) {
    expect(String(error)).not.toContain('secret');
    paths = (error as VideoError).issues?.map(({ path }) => path) ?? [];
  }
  expect(paths).toEqual(variables);
});

test('a raised quota is accepted and named, and a number beyond every quota is a typing error', () => {
  const raised = loadConfig({ WAN_VIDEO_MAX_RUNNING: '100', WAN_VIDEO_SUBMIT_RATE: '20' }, where);
  expect(raised.rates).toEqual({ query: 10, submit: 20, maxRunning: 100 });
  expect(raisedQuotas(raised.provider.providerId, raised.rates)).toEqual([
    'WAN_VIDEO_SUBMIT_RATE assumes a raised quota: 20 submits per second, documented are 5',
    'WAN_VIDEO_MAX_RUNNING assumes a raised quota: 100 running tasks, documented are 5',
  ]);
  expect(raisedQuotas('emulator', raised.rates)).toEqual([]);
  expect(() => loadConfig({ WAN_VIDEO_MAX_RUNNING: '501' }, where)).toThrow(/WAN_VIDEO_MAX_RUNNING.*up to 500/);
});
