import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseBudgets } from '../../src/config/budgets.js';
import { loadConfig } from '../../src/config/config.js';
import { budgetReachedFailure, limitOf, microsOf } from '../../src/contract/budget.js';
import type { VideoError } from '../../src/contract/video-error.js';
import { readNamedFiles } from '../../src/worker/config-files.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wan-video-budgets-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test('amounts are read by their digits, as text or as numbers, and null is no limit', () => {
  const text =
    '\uFEFF{"day":"20.10","tenants":{"acme":{"day":0.3},"*":{"day":null}},"batches":{"nightly-*":"0.000001","x":7}}';
  expect(parseBudgets(text, 'b.json')).toEqual({
    day: 20_100_000,
    tenants: { acme: 300_000, '*': null },
    batches: { 'nightly-*': 1, x: 7_000_000 },
  });
});

test.each([
  { text: '{"day":', issues: [['WAN_VIDEO_BUDGETS', /not JSON/]] },
  { text: '[]', issues: [['WAN_VIDEO_BUDGETS', /one JSON object/]] },
  { text: '{}', issues: [['WAN_VIDEO_BUDGETS', /has no limit/]] },
  { text: '{"tenants":{"a":{"day":null}}}', issues: [['WAN_VIDEO_BUDGETS', /has no limit/]] },
  { text: '{"day":"1.0000001"}', issues: [['day', /at most six decimals/]] },
  { text: '{"day":-1}', issues: [['day', /must be an amount/]] },
  { text: '{"day":1e-7}', issues: [['day', /must be an amount/]] },
  { text: '{"day":true}', issues: [['day', /must be an amount/]] },
  { text: '{"tenants":{"a":"5"}}', issues: [['tenants.a', /\{"day": amount\}/]] },
  { text: '{"tenants":{"a":{}}}', issues: [['tenants.a.day', /must be an amount/]] },
  { text: '{"day":NaN}', issues: [['WAN_VIDEO_BUDGETS', /not JSON/]] },
  { text: '{"day":"NaN"}', issues: [['day', /must be an amount/]] },
  { text: '{"day":"1,000.00"}', issues: [['day', /must be an amount/]] },
  {
    text: '{"day":"1","currency":"CNY"}',
    issues: [['currency', /not a field of a budget file/]],
  },
  {
    text: '{"day":"20","batches":{"a":"1","\\u0061":"100","b":"-1"},"day":"2000","tenants":{"a":{"day":"1"}}}',
    issues: [
      ['day', /more than once/],
      ['batches.a', /more than once/],
      ['batches.b', /must be an amount/],
    ],
  },
  {
    text: '{"day":"x","week":"1","tenants":{"a":{"day":"1","month":2}},"batches":{"a*b":"1","c":"1,5"}}',
    issues: [
      ['week', /not a field/],
      ['day', /must be an amount/],
      ['tenants.a.month', /not a field/],
      ['batches.a*b', /a \* at its end/],
      ['batches.c', /must be an amount/],
    ],
  },
])('a budget file with $text is refused with every fault by its field', ({ text, issues }) => {
  let error: VideoError | undefined;
  try {
    parseBudgets(text, 'budgets.json');
  } catch (thrown) {
    error = thrown as VideoError;
  }
  expect(error).toMatchObject({ type: 'ConfigurationInvalid', message: expect.stringContaining('budgets.json') });
  const found = Object.fromEntries((error?.issues ?? []).map(({ path, message }) => [path, message]));
  expect(Object.keys(found).sort()).toEqual(issues.map(([path]) => path).sort());
  for (const [path, message] of issues) expect(found[path as string]).toMatch(message as RegExp);
});

test('a worker names the faults of its price list and its budgets at once, and refuses budgets without prices', async () => {
  const [prices, budgets] = [join(folder, 'prices.json'), join(folder, 'budgets.json')];
  await writeFile(prices, '{"currency":"yuan"}');
  await writeFile(budgets, '{"day":"much"}');
  const env = { OUTPUT_DIR: folder, WAN_VIDEO_BUDGETS: 'budgets.json' };
  const config = (more: Record<string, string>) => loadConfig({ ...env, ...more }, { cwd: folder, homeDir: folder });
  const paths = async (more: Record<string, string>) => {
    const error = (await readNamedFiles(config(more)).catch((thrown: unknown) => thrown)) as VideoError;
    expect(error).toMatchObject({ type: 'ConfigurationInvalid', billed: false });
    return error.issues?.map(({ path, message }) => `${path} ${/\(WAN.*\)$/.exec(message)?.[0] ?? ''}`.trim()).sort();
  };
  expect(await paths({ WAN_VIDEO_PRICES: prices })).toEqual([
    ...['currency (WAN_VIDEO_PRICES)', 'day (WAN_VIDEO_BUDGETS)', 'per_second (WAN_VIDEO_PRICES)'],
  ]);
  expect(await paths({})).toEqual(['WAN_VIDEO_BUDGETS', 'day (WAN_VIDEO_BUDGETS)']);
  expect(await paths({ WAN_VIDEO_BUDGETS: 'gone.json' })).toEqual(['WAN_VIDEO_BUDGETS', 'WAN_VIDEO_BUDGETS']);
});

test('a name has its own limit, else that of the longest beginning, for any text', () => {
  const limits = { 'nightly-*': 2, 'nightly-x*': 3, 'nightly-xy': null, '*': 1, '': 9 };
  const of = (name: string) => limitOf(limits, name);
  expect(['nightly-1', 'nightly-xz', 'nightly-xy', 'other', '', '__proto__', 'constructor'].map(of)).toEqual([
    2,
    3,
    null,
    1,
    9,
    1,
    1,
  ]);
  expect(limitOf({}, 'constructor')).toBeNull();
});

test('seconds cost their price to the millionth, and a fraction of one is rounded up', () => {
  const terms = {
    currency: 'CNY',
    prices: { '720P': { silent: 100_001, sound: 1 }, '1080P': { silent: 0, sound: 0 } },
    limits: { day: 1, tenants: {}, batches: {} },
  };
  expect(microsOf(terms, { seconds: 15, resolution: '720P', audio: false })).toBe(1_500_015);
  expect(microsOf(terms, { seconds: 4.2, resolution: '720P', audio: true })).toBe(5);
});

test.each([
  { scope: 'tenant', limit: 0.7, advice: 'start the request again on the next day (UTC), or raise the limit' },
  { scope: 'batch', limit: 0.7, advice: 'Nothing was bought: raise the limit' },
  { scope: 'tenant', limit: 0.2, advice: 'the limit is below the price of this video alone; raise the limit' },
] as const)('whose budget per $scope of $limit has no room for 0.3 is advised: $advice', ({ scope, limit, advice }) => {
  const reached = { scope, name: 'acme', currency: 'CNY', limit, spent: 0.6, price: 0.3 };
  const { next_step } = budgetReachedFailure(reached);
  expect(next_step).toContain(advice);
  expect(next_step?.includes('next day')).toBe(scope === 'tenant' && limit > 0.3);
});
