import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { WanBatchClient } from '../../src/client/batch-client.js';
import type { Times } from '../../src/config/times.js';
import {
  RELEASE_SLOT_SIGNAL,
  REQUEST_SLOT_SIGNAL,
  SET_SLOT_LIMIT_SIGNAL,
  SLOT_SIGNAL,
  WITHDRAW_SLOT_REQUEST_SIGNAL,
  WorkflowType,
} from '../../src/contract/names.js';
import type { VideoProgress } from '../../src/contract/result.js';
import { stepTimesOf } from '../../src/contract/times.js';
import { type Account, type Accounts, startAccounts } from '../support/account.js';
import { moneyOf } from '../support/money.js';
import { startWorkerProcess } from '../support/processes.js';
import { QUICK_LEDGER } from '../support/quick-times.js';
import type { Stack } from '../support/stack.js';

let accounts: Accounts;
let stack: Stack;
beforeAll(async () => {
  accounts = await startAccounts(100);
  stack = accounts.stack;
});
afterAll(() => accounts?.close());

function account(maxRunning: number, times: Partial<Times> = {}): Account {
  return accounts.account(maxRunning, {
    slotAskAgainMs: 2_000,
    slotAckMs: 10_000,
    slotCheckMs: 2_000,
    heartbeatTimeoutMs: 2_000,
    heartbeatThrottleMs: 500,
    ...times,
  });
}

/** The files of an account whose budgets are these. */
const money = (one: Account, budgets: unknown) => moneyOf(stack, one.name, budgets);
const until = (is: () => unknown, expected: unknown) =>
  expect.poll(is, { timeout: 45_000, interval: 50 }).toEqual(expected);
const count = (all: readonly string[], outcome: string) => all.filter((one) => one === outcome).length;

test('fifty runs at once on a budget for seven videos buy exactly seven, with any number of free slots', async () => {
  const one = account(50);
  await one.startWorker(50, await money(one, { day: '3.00' }));
  const ids = await Promise.all(Array.from({ length: 50 }, (_, at) => one.start(`item ${at}`)));
  const ended = await one.outcomes(ids);
  expect([count(ended, 'generated'), count(ended, 'BudgetReached')]).toEqual([7, 43]);
  expect(one.submits()).toHaveLength(7);
  expect((await one.slots()).budgets).toEqual([{ scope: 'day', name: null, limit: 3, spent: 2.8, reserved: 0 }]);
}, 180_000);

test('fifty runs at once buy no more than the budget while the slots are terminated and their worker is killed', async () => {
  // A submit that was on the wire when its worker was killed is bought or given up after the step's time, the submit's
  // bound and, where nothing was created, the empty listings: 30, 60 and 60 s as shipped, and the others wait for its
  // money meanwhile.
  const one = account(10, { ...QUICK_LEDGER, submitHttpMs: 2_000, submitStartToCloseMs: 10_000 });
  const files = await money(one, { day: '4.00' });
  const env = {
    ...stack.env,
    WAN_VIDEO_ACCOUNT: one.name,
    WAN_VIDEO_TASK_QUEUE: one.name,
    WAN_VIDEO_MAX_RUNNING: '10',
    WAN_VIDEO_PRICES: files.pricesFile,
    WAN_VIDEO_BUDGETS: files.budgetsFile,
  };
  const killed = await startWorkerProcess({ ...stack, env }, one.config.times);
  const ids = await Promise.all(Array.from({ length: 50 }, (_, at) => one.start(`item ${at} of fifty`)));
  await expect.poll(() => one.submits().length, { timeout: 60_000, interval: 20 }).toBeGreaterThanOrEqual(2);
  await stack.client.workflow.getHandle(one.slotsId).terminate('a test');
  await expect.poll(() => one.submits().length, { timeout: 60_000, interval: 20 }).toBeGreaterThanOrEqual(4);
  await killed.end('SIGKILL');
  const survivor = await startWorkerProcess({ ...stack, env }, one.config.times);
  try {
    const ended = await one.outcomes(ids);
    expect([count(ended, 'generated'), count(ended, 'BudgetReached')]).toEqual([10, 40]);
    expect(one.submits()).toHaveLength(10);
  } finally {
    await survivor.end('SIGTERM');
  }
}, 300_000);

test('a batch whose money is spent counts the rest as budget_reached, and its retry buys them once there is more', async () => {
  const one = account(5);
  const stop = await one.startWorker(5, await money(one, { day: '1.20' }));
  const { client, store } = stack;
  const batches = new WanBatchClient({ client, store, taskQueue: one.config.taskQueues.generate });
  const lines = Array.from({ length: 8 }, (_, at) => ({
    ...stack.request(`${one.name} line ${at}`),
    item_id: `item-${at}`,
  }));
  const { batch_id } = await batches.start({ lines }, { id: randomUUID() });
  const { outcome, counts } = await batches.result(batch_id);
  expect({ outcome, ...counts }).toMatchObject({ outcome: 'completed', generated: 3, budget_reached: 5, failed: 0 });
  expect(one.submits()).toHaveLength(3);
  await stop();
  await one.startWorker(5, await money(one, { day: '20.00' }));
  const again = await batches.retry(batch_id);
  expect((await batches.result(again.batch_id)).counts).toMatchObject({ total: 5, generated: 5, budget_reached: 0 });
  expect(one.submits()).toHaveLength(8);
}, 180_000);

test('slots that were terminated know from the ledger what was spent and what is under way', async () => {
  const one = account(2, { slotAskAgainMs: 1_000, slotAckMs: 20_000 });
  await one.startWorker(2, await money(one, { day: '1.20' }));
  expect(await one.outcomes([await one.start('spent')])).toEqual(['generated']);
  stack.emulator.changeSettings({ slots: 0 });
  const held = await one.start('under way');
  await until(() => one.submits().length, 2);
  await stack.client.workflow.getHandle(one.slotsId).terminate('a test');
  const more = await Promise.all(['more 1', 'more 2', 'more 3'].map((prompt) => one.start(prompt)));
  await until(
    async () => (await one.slots()).budgets,
    [{ scope: 'day', name: null, limit: 1.2, spent: 0.4, reserved: 0.8 }],
  );
  stack.emulator.changeSettings({ slots: 5 });
  const ended = await one.outcomes([held, ...more]);
  expect([count(ended, 'generated'), count(ended, 'BudgetReached')]).toEqual([2, 2]);
  expect(one.submits()).toHaveLength(3);
}, 180_000);

test('with budgets nothing is bought while the slots do not answer, which the run says, and it goes on when they are back', async () => {
  const one = account(1, { slotAckMs: 300 });
  const files = await money(one, { day: 1 });
  await one.startWorker(1, files);
  await stack.client.workflow.start(WorkflowType.accountSlots, {
    workflowId: one.slotsId,
    taskQueue: 'nobody-polls-this',
    args: [{ limit: 1, times: stepTimesOf(one.config.times) }],
  });
  const id = await one.start('waits');
  await until(async () => (await one.videos.progress(id)).waiting_for.includes('slots to answer'), true);
  expect(one.submits()).toEqual([]);
  await stack.client.workflow.getHandle(one.slotsId).terminate('a test');
  expect(await one.outcomes([id])).toEqual(['generated']);
}, 180_000);

const waitsForMoney = ({ slot, waiting_for }: VideoProgress): boolean =>
  slot?.budget === 'day' && waiting_for.startsWith("room in the day's budget");

test('a budget that is raised while runs wait for it, as they say, is spent by them', async () => {
  const one = account(3);
  const stop = await one.startWorker(3, await money(one, { day: '0.50' }));
  stack.emulator.changeSettings({ slots: 0 });
  const ids = await Promise.all([1, 2, 3].map((at) => one.start(`item ${at}`)));
  await until(async () => {
    const { holders, waiting } = await one.slots();
    return [holders.length, waiting.length];
  }, [1, 2]);
  const says = async () => (await Promise.all(ids.map((id) => one.videos.progress(id)))).map(waitsForMoney).sort();
  await until(says, [false, true, true]);
  await stop();
  await one.startWorker(3, await money(one, { day: '1.2' }));
  await until(() => one.submits().length, 3);
  stack.emulator.changeSettings({ slots: 5 });
  expect(await one.outcomes(ids)).toEqual(['generated', 'generated', 'generated']);
}, 180_000);

/**
 * A run whose submit lost its reply and whose task nothing proves to be its own: it waits for a person and holds all of
 * the money.
 */
async function parked(one: Account): Promise<string> {
  await one.startWorker(5, await money(one, { day: '0.40' }));
  stack.emulator.changeSettings({ orig_prompt: 'absent' });
  onTestFinished(() => {
    stack.emulator.changeSettings({ orig_prompt: 'sent' });
  });
  stack.emulator.queueFaults({ on: 'submit', fault: 'drop-reply', match: `${one.name} parked` });
  const id = await one.start('parked');
  await until(async () => (await one.videos.progress(id)).stage, 'needs_attention');
  return id;
}
const PARKED_TIMES: Partial<Times> = { ...QUICK_LEDGER, slotAskAgainMs: 1_000 };
const dayOf = async (one: Account) => (await one.slots()).budgets?.map(({ spent, reserved }) => [spent, reserved]);

test('money of a run that waits for a person stays reserved when the run is cancelled and the slots are terminated, until it is decided', async () => {
  const one = account(5, PARKED_TIMES);
  const id = await parked(one);
  const waits = await one.start('waits');
  await until(async () => (await one.videos.progress(waits)).slot?.budget, 'day');
  expect((await one.slots()).holders).toEqual([]); // nobody is kept from a slot by it
  await one.videos.cancel(id);
  expect(await one.outcomes([id])).toEqual(['Cancelled']);
  await stack.client.workflow.getHandle(one.slotsId).terminate('a test');
  await until(() => dayOf(one), [[0, 0.4]]);
  const salvage = /salvage\/[^\s;]+\d/.exec((await one.videos.progress(id)).cancel?.outcome ?? '')?.[0] ?? '';
  const [task] = stack.emulator.state().tasks.filter(({ prompt }) => prompt === `${one.name} parked`);
  await until(async () => (await one.videos.progress(salvage)).stage, 'needs_attention');
  await one.videos.resolve(salvage, { task_id: task?.task_id ?? '' });
  expect(await one.outcomes([waits])).toEqual(['BudgetReached']);
  await until(() => dayOf(one), [[0.4, 0]]);
  expect(one.submits()).toEqual(['parked']);
}, 180_000);

test('money of a run that waits for a person is free once that decides to buy again, for one of those who want it', async () => {
  const one = account(5, PARKED_TIMES);
  const id = await parked(one);
  const waits = await one.start('waits');
  await until(async () => (await one.videos.progress(waits)).slot?.budget, 'day');
  await one.videos.resolve(id, { buy_again: true });
  expect((await one.outcomes([id, waits])).sort()).toEqual(['BudgetReached', 'generated']);
  await until(() => dayOf(one), [[0.4, 0]]);
  expect(one.submits()).toHaveLength(2);
}, 180_000);

test('budgets that are taken away hold nobody up, and when they come back they count what was bought meanwhile', async () => {
  const one = account(3, { slotAskAgainMs: 1_000 });
  const budgets = { day: '0.40' };
  const stop = await one.startWorker(3, await money(one, budgets));
  stack.emulator.changeSettings({ slots: 0 });
  onTestFinished(() => {
    stack.emulator.changeSettings({ slots: 5 });
  });
  const bought = await one.start('bought');
  await until(() => one.submits().length, 1);
  const waits = await one.start('waits');
  await until(async () => (await one.videos.progress(waits)).slot?.budget, 'day');
  await stop();
  const stopFree = await one.startWorker(3);
  await until(() => one.submits().length, 2);
  await stopFree();
  await one.startWorker(3, await money(one, budgets));
  await until(() => dayOf(one), [[0, 0.8]]);
  const late = await one.start('late');
  await until(async () => (await one.videos.progress(late)).slot?.budget, 'day');
  stack.emulator.changeSettings({ slots: 5 });
  expect(await one.outcomes([bought, waits, late])).toEqual(['generated', 'generated', 'BudgetReached']);
  await until(() => dayOf(one), [[0.8, 0]]);
  expect(one.submits()).toHaveLength(2);
}, 180_000);

test('malformed messages stop neither the slots nor a run that waits, and are counted', async () => {
  const one = account(2, { slotAskAgainMs: 1_000 });
  await one.startWorker(2, await money(one, { day: '5' }));
  stack.emulator.changeSettings({ slots: 0 });
  onTestFinished(() => {
    stack.emulator.changeSettings({ slots: 5 });
  });
  const held = await Promise.all(['held 1', 'held 2'].map((prompt) => one.start(prompt)));
  await until(() => one.submits().length, 2);
  const waits = await one.start('waits');
  await until(async () => (await one.slots()).waiting.length, 1);
  const key = (await one.slots()).holders[0]?.purchase_key;
  const prices = { '720P': { silent: 1, sound: 1 }, '1080P': { silent: 1, sound: 1 } };
  const limits = { day: 1, tenants: {}, batches: {} };
  const request = {
    key: 'k',
    afterPurchase: 0,
    requesterId: 'nobody',
    tenant: null,
    batch: null,
    priority: 'interactive',
    limit: 2,
  };
  const bill = { seconds: 4, resolution: '720P', audio: false, day: '2026-11-25', tenant: null, batch: null };
  const malformed = [
    ...[null, 'x', 7, [], {}, { key: 1, n: '1' }],
    ...[{}, 'x', { seconds: '4', resolution: '8K', audio: 1 }, { ...bill, seconds: Number.NaN }].flatMap((cost) => [
      { ...request, cost },
      { key, n: 1, settled: { billed: cost } },
    ]),
    ...[
      { tenant: 1 },
      { batch: {} },
      { priority: 'urgent' },
      // Each of these would be a command that Temporal refuses, again and again.
      { requesterId: '' },
      { requesterId: 'x'.repeat(1_001) },
      { requesterId: 'half a pair \ud83d' },
    ].map((wrong) => ({ ...request, ...wrong })),
    ...[
      { key, n: 1, settled: 'x' },
      { key, n: 1, settled: {} },
    ],
  ];
  const wrongBudgets = [
    { currency: 'CNY', prices: {}, limits },
    { currency: 'CNY', prices: { ...prices, '1080P': { silent: '1' } }, limits },
    { currency: 'CNY', prices, limits: { ...limits, day: '1' } },
    { currency: 'CNY', prices, limits: { ...limits, tenants: { a: 'b' } } },
    { currency: 'CNY', prices, limits: { ...limits, batches: null } },
  ].map((budget) => ({ limit: 2, budget }));
  const slots = stack.client.workflow.getHandle(one.slotsId);
  for (const message of malformed) {
    await slots.signal(REQUEST_SLOT_SIGNAL, message);
    await slots.signal(RELEASE_SLOT_SIGNAL, message);
    await stack.client.workflow.getHandle(waits).signal(SLOT_SIGNAL, message);
  }
  for (const message of malformed.slice(0, 6)) await slots.signal(WITHDRAW_SLOT_REQUEST_SIGNAL, message);
  for (const message of wrongBudgets) await slots.signal(SET_SLOT_LIMIT_SIGNAL, message);
  const { currentDetails } = await slots.query<{ currentDetails: string }>('__temporal_workflow_metadata');
  expect(currentDetails).toContain(`Malformed signals ignored: ${2 * malformed.length + 6 + wrongBudgets.length}.`);
  expect(await dayOf(one)).toEqual([[0, 0.8]]);
  stack.emulator.changeSettings({ slots: 5 });
  expect(await one.outcomes([...held, waits])).toEqual(['generated', 'generated', 'generated']);
  await until(() => dayOf(one), [[1.2, 0]]);
}, 180_000);
