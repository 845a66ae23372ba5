import { afterAll, beforeAll, expect, test } from 'vitest';
import { VideoRunError } from '../../src/client/run-error.js';
import type { Times } from '../../src/config/times.js';
import { WorkflowType } from '../../src/contract/names.js';
import { stepTimesOf } from '../../src/contract/times.js';
import { type Account, account as accountOf } from '../support/account.js';
import { command } from '../support/command.js';
import { moneyOf } from '../support/money.js';
import { type Stack, startStack } from '../support/stack.js';

let stack: Stack;
const closings: (() => Promise<void>)[] = [];
beforeAll(async () => {
  stack = await startStack({
    settings: { speed: 50, submit_rate: 0, query_rate: 0 },
    env: { WAN_VIDEO_SUBMIT_RATE: '1000', WAN_VIDEO_QUERY_RATE: '1000' },
    worker: false,
  });
});
afterAll(async () => {
  await Promise.all(closings.map((close) => close()));
  await stack?.close();
});

/** An account of a test's own. */
function account(maxRunning: number, times: Partial<Times> = {}): Account {
  const one = accountOf(stack, maxRunning, times);
  closings.push(one.close);
  return one;
}

/** The files of an account whose budgets are these. */
const money = (one: Account, budgets: unknown) => moneyOf(stack, one.name, budgets);

/** How each run ended: `generated`, or the type of its failure. */
const outcomes = (one: Account, ids: readonly string[]) =>
  Promise.all(
    ids.map((id) =>
      one.videos.result(id).then(
        ({ source }) => source as string,
        (error: unknown) => (error instanceof VideoRunError ? error.error.type : String(error)),
      ),
    ),
  );
const times = (all: readonly string[], outcome: string) => all.filter((one) => one === outcome).length;
const until = (is: () => unknown, expected: unknown) =>
  expect.poll(is, { timeout: 45_000, interval: 50 }).toEqual(expected);

test('of twelve runs at once a budget for three videos buys exactly three, and the others end as budget_reached', async () => {
  const one = account(5);
  await one.startWorker(5, await money(one, { day: '1.30' }));
  const ids = await Promise.all(Array.from({ length: 12 }, (_, at) => one.start(`item ${at}`)));
  const ended = await outcomes(one, ids);
  expect([times(ended, 'generated'), times(ended, 'BudgetReached')]).toEqual([3, 9]);
  expect(one.submits()).toHaveLength(3);
  const { currency, budgets, waiting } = await one.slots();
  expect({ currency, budgets, waiting }).toEqual({
    ...{ currency: 'CNY', waiting: [] },
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
  expect((await command(['slots'], { env })).stdout).toMatch(/day +1\.30 +1\.20 +0\.00/);
});

test('a tenant and a batch whose money is spent hold up nobody else, and what is bought already is answered all the same', async () => {
  const one = account(1);
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
  const ended = await outcomes(one, ids);
  expect(times(ended.slice(0, 3), 'generated')).toBe(1);
  expect(times(ended.slice(3, 7), 'generated')).toBe(2);
  expect(ended.slice(7)).toEqual(['generated', 'generated']);
  expect(times(ended, 'BudgetReached')).toBe(4);
  expect(one.submits()).toHaveLength(5);
  const bought = one.submits().find((prompt) => prompt.startsWith('film')) ?? '';
  await stack.client.workflow.start(WorkflowType.videoGenerate, {
    ...{ workflowId: `${one.name}/again`, taskQueue: one.config.taskQueues.generate },
    args: [{ ...stack.request(`${one.name} ${bought}`), tenant: 'film' }],
  });
  expect(await outcomes(one, [`${one.name}/again`])).toEqual(['cache']);
  await stop();
});

test('slots that were terminated know from the ledger what was spent and what is under way', async () => {
  const one = account(2, { slotAskAgainMs: 1_000, slotAckMs: 20_000 });
  await one.startWorker(2, await money(one, { day: '1.20' }));
  expect(await outcomes(one, [await one.start('spent')])).toEqual(['generated']);
  stack.emulator.settings({ slots: 0 });
  const held = await one.start('under way');
  await until(() => one.submits().length, 2);
  await stack.client.workflow.getHandle(one.slotsId).terminate('a test');
  const more = await Promise.all(['more 1', 'more 2', 'more 3'].map((prompt) => one.start(prompt)));
  await until(
    async () => (await one.slots()).budgets,
    [{ scope: 'day', name: null, limit: 1.2, spent: 0.4, reserved: 0.8 }],
  );
  stack.emulator.settings({ slots: 5 });
  const ended = await outcomes(one, [held, ...more]);
  expect([times(ended, 'generated'), times(ended, 'BudgetReached')]).toEqual([2, 2]);
  expect(one.submits()).toHaveLength(3);
});

test('with budgets nothing is bought while the slots do not answer, which the run says, and it goes on when they are back', async () => {
  const one = account(1, { slotAckMs: 300 });
  const files = await money(one, { day: 1 });
  await one.startWorker(1, files);
  await stack.client.workflow.start(WorkflowType.accountSlots, {
    ...{ workflowId: one.slotsId, taskQueue: 'nobody-polls-this' },
    args: [{ limit: 1, times: stepTimesOf(one.config.times) }],
  });
  const id = await one.start('waits');
  await until(async () => (await one.videos.progress(id)).waiting_for.includes('slots to answer'), true);
  expect(one.submits()).toEqual([]);
  await stack.client.workflow.getHandle(one.slotsId).terminate('a test');
  expect(await outcomes(one, [id])).toEqual(['generated']);
});

test('a budget that is raised while runs wait for it is spent by them', async () => {
  const one = account(3);
  const stop = await one.startWorker(3, await money(one, { day: '0.50' }));
  stack.emulator.settings({ slots: 0 });
  const ids = await Promise.all([1, 2, 3].map((at) => one.start(`item ${at}`)));
  await until(async () => {
    const { holders, waiting } = await one.slots();
    return [holders.length, waiting.length];
  }, [1, 2]);
  await stop();
  await one.startWorker(3, await money(one, { day: '1.2' }));
  await until(() => one.submits().length, 3);
  stack.emulator.settings({ slots: 5 });
  expect(await outcomes(one, ids)).toEqual(['generated', 'generated', 'generated']);
});
