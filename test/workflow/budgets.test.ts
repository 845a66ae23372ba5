import { afterAll, beforeAll, expect, test } from 'vitest';
import { WorkflowType } from '../../src/contract/names.js';
import type { DriftChange } from '../../src/emulator/index.js';
import { type Account, type Accounts, startAccounts } from '../support/account.js';
import { command } from '../support/command.js';
import { moneyOf } from '../support/money.js';
import type { Stack } from '../support/stack.js';

let accounts: Accounts;
let stack: Stack;
beforeAll(async () => {
  accounts = await startAccounts(50);
  stack = accounts.stack;
});
afterAll(() => accounts?.close());

/** The files of an account whose budgets are these. */
const money = (one: Account, budgets: unknown) => moneyOf(stack, one.name, budgets);

const times = (all: readonly string[], outcome: string) => all.filter((one) => one === outcome).length;

/** What `doctor` says of one thing. */
async function checkOf(name: string, env: Record<string, string>) {
  const { stdout } = await command(['doctor', '--json'], { env });
  const { checks } = JSON.parse(stdout) as { checks: { name: string; status: string; message: string }[] };
  return checks.find((check) => check.name === name);
}

test('of twelve runs at once a budget for three videos buys exactly three, and the others end as budget_reached', async () => {
  const one = accounts.account(5);
  await one.startWorker(5, await money(one, { day: '1.30' }));
  const ids = await Promise.all(Array.from({ length: 12 }, (_, at) => one.start(`item ${at}`)));
  const ended = await one.outcomes(ids);
  expect([times(ended, 'generated'), times(ended, 'BudgetReached')]).toEqual([3, 9]);
  expect(one.submits()).toHaveLength(3);
  const { currency, budgets, waiting } = await one.slots();
  expect({ currency, budgets, waiting }).toEqual({
    currency: 'CNY',
    waiting: [],
    budgets: [{ scope: 'day', name: null, limit: 1.3, spent: 1.2, reserved: 0 }],
  });
  const refused = ids[ended.indexOf('BudgetReached')] ?? '';
  await expect(one.videos.result(refused)).rejects.toMatchObject({
    error: {
      type: 'BudgetReached',
      message: /1\.20 of 1\.30 CNY are spent, and this video may cost 0\.40/,
      billed: false,
    },
  });
  const described = await stack.client.workflow.getHandle(refused).describe();
  expect(described.searchAttributes['VideoOutcome']).toEqual(['budget_reached']);
  expect((await one.videos.progress(refused)).stage).toBe('budget_reached');
  const env = { ...stack.env, WAN_VIDEO_ACCOUNT: one.name, WAN_VIDEO_TASK_QUEUE: one.name };
  const watched = await command(['watch', refused, '--json'], { env });
  expect(watched.code).toBe(4);
  expect(JSON.parse(watched.stdout)).toMatchObject({ error: { type: 'BudgetReached', billed: false } });
  expect((await command(['slots'], { env })).stdout).toMatch(
    /^BUDGET \(CNY\) +LIMIT +SPENT +RESERVED +LEFT\nday +1\.30 +1\.20 +0\.00 +0\.10$/m,
  );
  const { pricesFile, budgetsFile } = await money(one, { day: '1.30', tenants: { film: { day: 5 } } });
  const priced = { ...env, WAN_VIDEO_PRICES: pricesFile, WAN_VIDEO_BUDGETS: budgetsFile };
  const cost = (await command(['cost'], { env: priced })).stdout;
  expect(cost).toMatch(/^day +1\.30 +1\.20 +0\.10\ntenant film, per day +5\.00 +0\.00 +5\.00$/m);
  expect(await checkOf('slots', priced)).toMatchObject({
    status: 'ok',
    message: expect.stringMatching(/1\.20 of the day's 1\.30 are spent/),
  });
  // A file that was changed after the workers had started.
  await money(one, { day: '7' });
  expect(await checkOf('slots', priced)).toMatchObject({
    status: 'fault',
    message: expect.stringMatching(/day has 1\.30 there, and 7\.00 here/),
  });
});

test('a tenant and a batch whose money is spent hold up nobody else, and what is bought already is answered all the same', async () => {
  const one = accounts.account(1);
  const stop = await one.startWorker(
    1,
    await money(one, { tenants: { film: { day: '0.4' } }, batches: { 'night*': 0.8 } }),
  );
  const of = (tenant: string, ...prompts: string[]) =>
    Promise.all(prompts.map((prompt) => one.start(prompt, { tenant })));
  const ids = [
    ...(await of('film', 'film 1', 'film 2', 'film 3')),
    ...(await Promise.all(['a', 'b', 'c', 'd'].map((prompt) => one.start(prompt, { batch: 'nightly' })))),
    ...(await of('other', 'other 1', 'other 2')),
  ];
  const ended = await one.outcomes(ids);
  expect(times(ended.slice(0, 3), 'generated')).toBe(1);
  expect(times(ended.slice(3, 7), 'generated')).toBe(2);
  expect(ended.slice(7)).toEqual(['generated', 'generated']);
  expect(times(ended, 'BudgetReached')).toBe(4);
  expect(one.submits()).toHaveLength(5);
  const bought = one.submits().find((prompt) => prompt.startsWith('film')) ?? '';
  await stack.client.workflow.start(WorkflowType.videoGenerate, {
    workflowId: `${one.name}/again`,
    taskQueue: one.config.taskQueues.generate,
    args: [{ ...stack.request(`${one.name} ${bought}`), tenant: 'film' }],
  });
  expect(await one.outcomes([`${one.name}/again`])).toEqual(['cache']);
  await stop();
});

test('two of five are bought where a budget has room for two, although no answer says what was used', async () => {
  const one = accounts.account(1);
  // Each in another way; one after the other, so that what one has cost decides about the next.
  const silent: readonly DriftChange[] = [
    { kind: 'delete', path: 'usage' },
    { kind: 'retype', path: 'usage', to: 'null' },
    { kind: 'set', path: 'usage', value: {} },
    { kind: 'set', path: 'usage.duration', value: 0 },
    { kind: 'set', path: 'usage.duration', value: 'some seconds' },
  ];
  const drift = silent.map((change, at) => ({
    on: 'query' as const,
    match: `${one.name} item ${at}`,
    task_status: 'SUCCEEDED' as const,
    changes: [change],
  }));
  stack.emulator.changeSettings({ drift });
  await one.startWorker(1, await money(one, { day: '1.00' }));
  const ids = await Promise.all(silent.map((_, at) => one.start(`item ${at}`)));
  const ended = await one.outcomes(ids);
  stack.emulator.changeSettings({ drift: [] });
  expect([times(ended, 'generated'), times(ended, 'BudgetReached')]).toEqual([2, 3]);
  expect(one.submits()).toHaveLength(2);
  for (const id of ids.filter((_, at) => ended[at] === 'generated')) {
    expect((await one.videos.result(id)).usage).toMatchObject({ billed_seconds: 4, estimated: true });
  }
  expect((await one.slots()).budgets).toMatchObject([{ scope: 'day', limit: 1, spent: 0.8, reserved: 0 }]);
  const env = { ...stack.env, WAN_VIDEO_ACCOUNT: one.name, WAN_VIDEO_TASK_QUEUE: one.name };
  const { stdout } = await command(['cost', '--json'], { env });
  expect(JSON.parse(stdout)).toMatchObject({ total: { seconds: 8, estimated_seconds: 8 } });
});
