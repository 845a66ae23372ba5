import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { salvageWorkflowId, WorkflowType } from '../../src/contract/names.js';
import type { AccountSlotsView } from '../../src/contract/slots.js';
import { stepTimesOf } from '../../src/contract/times.js';
import { type Account, type Accounts, startAccounts } from '../support/account.js';
import { command } from '../support/command.js';
import { historyText } from '../support/history.js';
import type { Stack } from '../support/stack.js';

let accounts: Accounts;
let stack: Stack;
beforeAll(async () => {
  accounts = await startAccounts(50);
  stack = accounts.stack;
});
afterAll(() => accounts?.close());

const results = (one: Account, ids: readonly string[]) => Promise.all(ids.map((id) => one.videos.result(id)));
const until = (is: () => unknown, expected: unknown) =>
  expect.poll(is, { timeout: 45_000, interval: 50 }).toEqual(expected);
const runsOf = (slots: readonly { runs: readonly string[] }[]) => slots.flatMap(({ runs }) => runs);
const counts = async (one: Account) => {
  const { holders, waiting } = await one.slots();
  return [holders.length, waiting.length];
};
/** Tasks that are submitted meanwhile stay at the provider until `use` has ended. */
async function whileNothingRenders<T>(use: () => Promise<T>): Promise<T> {
  stack.emulator.changeSettings({ slots: 0 });
  try {
    return await use();
  } finally {
    stack.emulator.changeSettings({ slots: 5 });
  }
}

test('twelve runs on five slots never have more than five tasks at the provider, and none of them waits there', async () => {
  const one = accounts.account(5);
  await one.startWorker();
  // Held there until all five slots are used: on a busy machine a task might end before the fifth is submitted.
  const ids = await whileNothingRenders(async () => {
    const started = await Promise.all(Array.from({ length: 12 }, (_, at) => one.start(`item ${at}`)));
    await until(() => counts(one), [5, 7]);
    await until(() => one.submits().length, 5);
    return started;
  });
  await results(one, ids);
  expect(one.submits()).toHaveLength(12);
  expect(one.mostAtOnce()).toBe(5);
  // What the provider itself takes to begin; a task behind five others would wait for a whole render.
  expect(Math.max(...one.queuedMs().slice(5))).toBeLessThan(100);
  await until(() => counts(one), [0, 0]);
});

test('a generation with free slots keeps to 40 events, a run shows its place, and the command shows who holds and who waits', async () => {
  const one = accounts.account(1);
  await one.startWorker();
  const { first, second } = await whileNothingRenders(async () => {
    const held = await one.start('first', { tenant: 'film' });
    await until(() => one.submits(), ['first']);
    const waits = await one.start('second', { batch: 'nightly' });
    await until(async () => (await one.videos.progress(waits)).slot?.position, 1);
    const { stage, slot, waiting_for } = await one.videos.progress(waits);
    expect({ stage, waiting_for }).toEqual({
      stage: 'waiting_for_slot',
      waiting_for: expect.stringMatching(/^a slot:/),
    });
    expect(slot).toMatchObject({ ahead_interactive: 0, ahead_batch: 0, running: 1, limit: 1 });
    const env = { ...stack.env, WAN_VIDEO_ACCOUNT: one.name };
    const json = JSON.parse((await command(['slots', '--json'], { env })).stdout) as AccountSlotsView;
    expect(json).toMatchObject({
      limit: 1,
      holders: [{ runs: [held], tenant: 'film', batch: null, priority: 'interactive' }],
      waiting: [{ runs: [waits], tenant: null, batch: 'nightly', priority: 'batch' }],
    });
    const { stdout } = await command(['slots'], { env });
    expect(stdout).toMatch(/1 of 1 slots are held, 1 wait/);
    expect(stdout).toMatch(new RegExp(`waits, 1 +${waits} +- +nightly +\\d+ s`));
    return { first: held, second: waits };
  });
  await results(one, [first, second]);
  const { historyLength } = await stack.client.workflow.getHandle(first).describe();
  expect(historyLength).toBeLessThanOrEqual(40);
});

test('an interactive request goes on the next free slot, and two batches that wait advance evenly', async () => {
  const one = accounts.account(2);
  await one.startWorker();
  const ids = await whileNothingRenders(async () => {
    const blocks = await Promise.all(['block 1', 'block 2'].map((prompt) => one.start(prompt)));
    await until(() => one.submits().length, 2);
    const items: string[] = [];
    // All of one batch before all of the other.
    for (const batch of ['a', 'b']) {
      const started = [1, 2, 3, 4, 5, 6].map((at) => one.start(`${batch} ${at}`, { batch }));
      items.push(...(await Promise.all(started)));
      await until(async () => (await counts(one))[1], items.length);
    }
    const person = await one.start('person');
    await until(async () => (await one.videos.progress(person)).slot?.position, 1);
    return [...blocks, ...items, person];
  });
  await results(one, ids);
  const order = one.submits().slice(2);
  // Two slots come free at about the same time, and their two submits may overtake each other.
  expect(order.slice(0, 2)).toContain('person');
  let ahead = 0;
  for (const prompt of order) {
    ahead += prompt.startsWith('a') ? 1 : prompt.startsWith('b') ? -1 : 0;
    expect(Math.abs(ahead)).toBeLessThanOrEqual(2);
  }
  expect(one.mostAtOnce()).toBe(2);
});

test('a worker that starts with another limit changes it while runs wait', async () => {
  const one = accounts.account(2);
  const stop = await one.startWorker();
  const ids = await whileNothingRenders(async () => {
    const started = await Promise.all([1, 2, 3, 4, 5, 6].map((at) => one.start(`item ${at}`)));
    await until(() => counts(one), [2, 4]);
    await stop();
    await one.startWorker(4);
    await until(() => one.submits().length, 4);
    expect(await counts(one)).toEqual([4, 2]);
    return started;
  });
  await results(one, ids);
  expect(one.mostAtOnce()).toBe(4);
});

test('a run that is cancelled while it waits buys nothing and leaves its place to the next; another account does not wait', async () => {
  const one = accounts.account(1);
  const other = accounts.account(1);
  await Promise.all([one.startWorker(), other.startWorker()]);
  const ids = await whileNothingRenders(async () => {
    const held = await one.start('held');
    await until(() => one.submits(), ['held']);
    const leaves = await one.start('leaves');
    await until(async () => (await one.slots()).waiting.length, 1);
    const stays = await one.start('stays');
    await until(async () => (await one.videos.progress(stays)).slot?.position, 2);
    await one.videos.cancel(leaves, 'a test');
    await expect(one.videos.result(leaves)).rejects.toMatchObject({ cancelled: true });
    expect((await one.videos.progress(leaves)).cancel).toMatchObject({ billed: false, outcome: 'Nothing was bought.' });
    await until(async () => (await one.videos.progress(stays)).slot?.position, 1);
    const free = await other.start('free');
    await until(() => other.submits(), ['free']);
    return { one: [held, stays], other: [free] };
  });
  await results(one, ids.one);
  await results(other, ids.other);
  expect(one.submits()).toEqual(['held', 'stays']);
});

test('a run that is cancelled before the step that requests its slot has returned leaves no slot held', async () => {
  const one = accounts.account(1);
  await one.startWorker();
  await results(one, [await one.start('before it')]);
  stack.emulator.queueFaults([
    { on: 'policy', fault: 'status', status: 503, code: 'ModelUnavailable' },
    { on: 'policy', fault: 'delay', delay_ms: 4_000 },
  ]);
  const id = await one.start('cancelled early');
  await until(async () => (await one.videos.progress(id)).stage, 'uploading');
  const text = await historyText(stack.client, id);
  const key = /"purchaseKey":"([0-9a-f]+)"/.exec(text)?.[1] ?? '';
  // The request of the step arrives, and its answer is on the way.
  const request = {
    key,
    afterPurchase: 0,
    requesterId: id,
    tenant: null,
    batch: null,
    priority: 'interactive',
    limit: 1,
  };
  await stack.client.workflow.getHandle(one.slotsId).signal('requestSlot', request);
  await until(() => counts(one), [1, 0]);
  await one.videos.cancel(id);
  await until(() => counts(one), [0, 0]);
  await expect(one.videos.result(id)).rejects.toMatchObject({ cancelled: true });
});

test('runs that are cancelled at any moment of their first half second leave no slot held', async () => {
  const one = accounts.account(5);
  await one.startWorker();
  await results(one, [await one.start('before them')]);
  const ids = await Promise.all(
    Array.from({ length: 20 }, async (_, at) => {
      const id = await one.start(`cancelled after ${at * 25} ms`);
      await sleep(at * 25);
      await (at % 2 === 0 ? one.videos.cancel(id) : stack.client.workflow.getHandle(id).cancel());
      return id;
    }),
  );
  for (const id of ids) await one.videos.result(id).catch(() => undefined);
  await until(() => counts(one), [0, 0]);
});

test('slots that were terminated are started again, take the open purchases as held, and those who wait keep waiting', async () => {
  // No run asks again by itself: a worker finds the slots ended, and the new ones ask the runs.
  const one = accounts.account(2, { slotCheckMs: 1_000, slotAckMs: 20_000 });
  await one.startWorker();
  const ids = await whileNothingRenders(async () => {
    const held = await Promise.all(['held 1', 'held 2'].map((prompt) => one.start(prompt)));
    await until(() => one.submits().length, 2);
    const tasksOf = () => Promise.all(held.map(async (id) => (await one.videos.progress(id)).task_id !== null));
    await until(tasksOf, [true, true]);
    const waits = await Promise.all(['waits 1', 'waits 2'].map((prompt) => one.start(prompt)));
    await until(() => counts(one), [2, 2]);
    // Answered, too: who has no answer waits for it, and then goes on without the slots.
    const arePlaced = () => Promise.all(waits.map(async (id) => (await one.videos.progress(id)).slot !== null));
    await until(arePlaced, [true, true]);
    await stack.client.workflow.getHandle(one.slotsId).terminate('a test');
    await until(() => counts(one), [2, 2]);
    const { holders, waiting } = await one.slots();
    expect(runsOf(holders).sort()).toEqual(held.sort());
    expect(runsOf(waiting).sort()).toEqual(waits.sort());
    // Only those without a task are asked to request again.
    const areWoken = async () => {
      const texts = await Promise.all([...held, ...waits].map((id) => historyText(stack.client, id)));
      return texts.map((text) => text.includes('"slotsRestarted"'));
    };
    await until(areWoken, [false, false, true, true]);
    return [...held, ...waits];
  });
  await results(one, ids);
  expect(one.mostAtOnce()).toBe(2);
});

test('a run that is terminated while its task renders keeps no slot for long: the audit starts the salvage', async () => {
  const one = accounts.account(1, { slotCheckMs: 500 });
  await one.startWorker();
  const { held, next } = await whileNothingRenders(async () => {
    const lost = await one.start('lost');
    await until(() => one.submits(), ['lost']);
    const [holder] = (await one.slots()).holders;
    await stack.client.workflow.getHandle(lost).terminate('a test');
    const waits = await one.start('next');
    return { held: holder?.purchase_key ?? '', next: waits };
  });
  await results(one, [next]);
  const salvage = stack.client.workflow.getHandle(salvageWorkflowId(held, 1));
  expect(await salvage.result()).toMatchObject({ task_id: expect.any(String) });
  expect(one.submits()).toEqual(['lost', 'next']);
});

test.concurrent('slots that do not answer stop nobody, and the slot of a run that was terminated is found', async () => {
  const deaf = accounts.account(1, { slotAckMs: 500 });
  await deaf.startWorker();
  await stack.client.workflow.start(WorkflowType.accountSlots, {
    workflowId: deaf.slotsId,
    taskQueue: 'nobody-polls-this',
    args: [{ limit: 1, times: stepTimesOf(deaf.config.times) }],
  });
  const asked = command(['slots'], { env: { ...stack.env, WAN_VIDEO_ACCOUNT: deaf.name } });
  const one = accounts.account(1, { slotCheckMs: 500 });
  await one.startWorker();
  // Throttled for as long as it lives: it has a slot and nothing at the provider.
  const throttled = { fault: 'status', status: 429, code: 'Throttling.RateQuota', times: 1_000 } as const;
  stack.emulator.queueFaults({ on: 'submit', match: `${one.name} lost`, ...throttled });
  await Promise.all([
    results(deaf, await Promise.all([1, 2].map((at) => deaf.start(`item ${at}`)))),
    (async () => {
      const lost = await one.start('lost');
      await until(async () => runsOf((await one.slots()).holders), [lost]);
      await stack.client.workflow.getHandle(lost).terminate('a test');
      await results(one, [await one.start('next')]);
    })(),
  ]);
  expect(deaf.submits()).toHaveLength(2);
  // Temporal is there; it is the worker that is not.
  const report = new RegExp(
    `account ${deaf.name} do not answer: no worker polls the queue nobody-polls-this, .*\\nStart a worker`,
  );
  expect(await asked).toMatchObject({ code: 3, stdout: '', stderr: expect.stringMatching(report) });
});

test.concurrent('runs keep waiting for slots that are late, and say so: overload is not absence', async () => {
  const one = accounts.account(1, { slotAckMs: 300 });
  await one.startWorker();
  const queue = `${one.name}-overloaded`;
  await stack.client.workflow.start(WorkflowType.accountSlots, {
    workflowId: one.slotsId,
    taskQueue: queue,
    args: [{ limit: 1, times: stepTimesOf(one.config.times) }],
  });
  // A worker that has taken the workflow task and does not get round to it.
  const { namespace } = stack.client.options;
  await stack.client.withDeadline(Date.now() + 30_000, () =>
    stack.client.workflowService.pollWorkflowTaskQueue({ namespace, taskQueue: { name: queue }, identity: 'late' }),
  );
  const ids = await Promise.all([1, 2, 3].map((at) => one.start(`item ${at}`)));
  const waitingFor = () => Promise.all(ids.map(async (id) => (await one.videos.progress(id)).waiting_for));
  const busy = "the account's slots to answer: they are busy, and have the request";
  await until(waitingFor, [busy, busy, busy]);
  const requests = async () =>
    ((await stack.client.workflow.getHandle(ids[0] ?? '').fetchHistory()).events ?? []).filter(
      ({ activityTaskScheduledEventAttributes: step }) => step?.activityType?.name === 'requestSlot',
    ).length;
  await expect.poll(requests, { timeout: 20_000 }).toBeGreaterThanOrEqual(3);
  expect(one.submits()).toEqual([]);
  await stack.client.workflow.getHandle(one.slotsId).terminate('a test');
  await results(one, ids);
  expect(one.mostAtOnce()).toBe(1);
});

test.concurrent('forced to continue as new again and again, the slots forget neither holders nor who waits', async () => {
  const one = accounts.account(2);
  await one.startWorker();
  const first = await stack.client.workflow.start(WorkflowType.accountSlots, {
    workflowId: one.slotsId,
    taskQueue: one.config.taskQueues.generate,
    args: [{ limit: 2, times: stepTimesOf(one.config.times), eventsMax: 30 }],
  });
  const ids = await Promise.all(Array.from({ length: 10 }, (_, at) => one.start(`item ${at}`)));
  await results(one, ids);
  expect(one.submits()).toHaveLength(10);
  expect(one.mostAtOnce()).toBe(2);
  const { runId, historyLength } = await stack.client.workflow.getHandle(one.slotsId).describe();
  expect(runId).not.toBe(first.firstExecutionRunId);
  expect(historyLength).toBeLessThan(100);
});
