import { randomUUID } from 'node:crypto';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { WanScheduleClient } from '../../src/client/schedule-client.js';
import { batchItemWorkflowId, batchScheduleId, batchWorkflowId } from '../../src/contract/names.js';
import { schedulesPort } from '../../src/worker/schedules.js';
import { command } from '../support/command.js';
import { startWorkerProcess } from '../support/processes.js';
import { ROOT, type Stack, startStack } from '../support/stack.js';
import { startReceiver, type WebhookReceiver, webhookFile } from '../support/webhook-receiver.js';

let stack: Stack;
let folder: string;
let schedules: WanScheduleClient;
let receiver: WebhookReceiver;
let withWebhook: Record<string, string>;
beforeAll(async () => {
  receiver = await startReceiver();
  stack = await startStack({ settings: { speed: 100 }, worker: false });
  folder = join(stack.outputDir, 'manifests');
  await mkdir(join(folder, 'images'), { recursive: true });
  await copyFile(join(ROOT, 'assets', 'sample.jpg'), join(folder, 'images', 'boat.jpg'));
  const prices = { silent: 0.15, sound: 0.3 };
  await writeFile(
    join(folder, 'prices.json'),
    JSON.stringify({ currency: 'CNY', per_second: { '720P': prices, '1080P': prices } }),
  );
  withWebhook = { WAN_VIDEO_WEBHOOK: await webhookFile(folder, receiver) };
  const { client, store, config } = stack;
  schedules = new WanScheduleClient({ client, store, taskQueue: config.taskQueues.generate });
});
afterAll(async () => {
  await stack?.close();
  await receiver?.close();
});

const run = (...args: string[]) =>
  command(args, { env: { ...stack.env, WAN_VIDEO_PRICES: join(folder, 'prices.json') }, cwd: folder });
const json = async (...args: string[]) => JSON.parse((await run(...args, '--json')).stdout);
const request = (prompt: string) => ({ ...stack.request(prompt), reference_image: 'images/boat.jpg' });
const manifest = async (name: string, lines: readonly object[]) => {
  await writeFile(join(folder, name), lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  return name;
};
const WAIT = { timeout: 60_000, interval: 100 };

/** A manifest in the store; the lines that are named `bad` fail for their content, once for each run. */
async function manifestOf(names: readonly string[], runs = 1): Promise<string> {
  const prompt = randomUUID();
  const refusal = { on: 'submit', fault: 'status', status: 400, code: 'DataInspectionFailed' } as const;
  const bad = names.filter((name) => name.startsWith('bad'));
  for (const name of bad) stack.emulator.queueFaults({ ...refusal, match: `${prompt} ${name}`, times: runs });
  const lines = names.map((name) => `${JSON.stringify({ item_id: name, ...stack.request(`${prompt} ${name}`) })}\n`);
  const key = `lists/${prompt}.jsonl`;
  await stack.store.put(key, Buffer.from(lines.join('')));
  return key;
}

async function scheduled(names: readonly string[], share: number, more: { readonly cron?: string } = {}) {
  const id = `careful-${randomUUID().slice(0, 8)}`;
  const manifest = { key: await manifestOf(names) };
  await schedules.create({ id, cron: '30 2 1 1 *', timezone: 'UTC', manifest, pauseWhenFailedAbove: share, ...more });
  onTestFinished(() => schedules.delete(id).catch(() => undefined));
  return id;
}

const ended = async (id: string) => {
  await expect
    .poll(async () => (await schedules.show(id)).runs.at(-1)?.summary ?? null, { ...WAIT, message: 'a report' })
    .not.toBeNull();
  const details = await schedules.show(id);
  return { details, latest: details.runs.at(-1) };
};

/** Waits until the step is in the history of the schedule's latest run. */
async function reaches(id: string, step: string): Promise<void> {
  await expect
    .poll(
      async () => {
        const [latest] = (await schedules.show(id)).runs;
        if (latest === undefined) return [];
        const { events } = await stack.client.workflow.getHandle(batchWorkflowId(latest.batch_id)).fetchHistory();
        return (events ?? []).map((event) => event.activityTaskScheduledEventAttributes?.activityType?.name);
      },
      { ...WAIT, interval: 10 },
    )
    .toContain(step);
}

describe('a schedule that bears a share of failures', () => {
  test('goes on after as much, is paused by more, and schedule, batch and webhook say why and what to do', async () => {
    const worker = await startWorkerProcess(stack, {}, { env: withWebhook });
    onTestFinished(() => void worker.end('SIGKILL'));
    const key = await manifestOf(['good', 'bad-1', 'bad-2'], 2);
    const create = ['schedule', 'create', 'careful', '--cron', '30 2 * * *', '--timezone', 'UTC', '--manifest', key];
    onTestFinished(() => schedules.delete('careful').catch(() => undefined));
    await run(...create, '--pause-when-failed-above', '70%');
    await run('schedule', 'trigger', 'careful');
    expect((await ended('careful')).details).toMatchObject({ paused: false, pause_when_failed_above: 0.7 });
    expect((await ended('careful')).latest?.summary?.schedule_pause).toBeUndefined();

    const made = await run(...create, '--pause-when-failed-above', '66.6%');
    expect(made.stdout).toMatch(/pauses {4}when more than 66\.6 % of a run failed/);
    await run('schedule', 'trigger', 'careful');
    await expect.poll(async () => (await schedules.show('careful')).runs.length, WAIT).toBe(2);
    const { latest } = await ended('careful');
    const reason = '2 of 3 items failed, 66.7 %, more than 66.6 %; above all ContentRejected';
    expect(latest?.summary).toMatchObject({
      outcome: 'completed',
      schedule_pause: { schedule_id: 'careful', done: 'paused', reason },
    });
    const batch = latest?.batch_id ?? '';
    expect((await run('schedule', 'show', 'careful')).stdout.split('\n')[0]).toBe(
      `schedule  careful, paused: ${batch}: ${reason}. ` +
        `See "wan-video batch report ${batch}", fix the cause, then "wan-video schedule resume careful"`,
    );
    expect((await run('batch', 'status', batch)).stdout).toMatch(
      /\nschedule {2}Its schedule careful is paused: 2 of 3 .*\nnext {6}fix the cause, then resume with "wan-video schedule/,
    );
    await expect.poll(() => receiver.taken(batch).length, WAIT).toBe(1);
    expect(receiver.taken(batch)[0]?.event).toMatchObject({
      type: 'batch.ended',
      data: { batch_id: batch, schedule_pause: { done: 'paused' }, text: expect.stringMatching(/careful is paused/) },
    });

    // The run is a batch of its own, under its own id, wherever somebody looks for it.
    const { memo } = await stack.client.workflow.getHandle(batchWorkflowId(batch)).describe();
    expect(memo).toEqual({ schedule_id: 'careful' });
    const item = await stack.client.workflow.getHandle(batchItemWorkflowId(batch, 'good')).describe();
    expect(item.memo).toMatchObject({ batch_id: batch, item_id: 'good' });
    const first = (await schedules.show('careful')).runs[0]?.batch_id;
    const { rows } = await json('cost', '--by', 'batch');
    expect(rows).toEqual(expect.arrayContaining([expect.objectContaining({ group: first })]));
    expect(rows).not.toEqual(expect.arrayContaining([expect.objectContaining({ group: 'careful' })]));
    const listed = (await json('list', '--batch', batch)).runs as { id: string }[];
    expect(listed.map(({ id }) => id)).toContain(batchItemWorkflowId(batch, 'bad-1'));
    expect(await json('batch', 'retry', batch, '--cause', 'all', '--wait')).toMatchObject({
      batch_id: `${batch}.retry-1`,
      retry_of: batch,
      counts: { total: 2, generated: 2 },
    });
    await worker.end('SIGTERM');
  });

  test('a run that waits for the end of the one that pauses it does not start', async () => {
    const id = await scheduled(['bad'], 0, { cron: '* * * * *' });
    const waiting = async () => {
      const { raw } = await stack.client.schedule.getHandle(batchScheduleId(id)).describe();
      return Number(raw.info?.bufferSize ?? 0);
    };
    // Without a worker the first run does not end, and the next minute's is due behind it.
    await expect.poll(waiting, { timeout: 150_000, interval: 500 }).toBe(1);
    const worker = await startWorkerProcess(stack);
    onTestFinished(() => void worker.end('SIGKILL'));
    await expect.poll(async () => (await schedules.show(id)).paused, WAIT).toBe(true);
    await expect.poll(waiting, WAIT).toBe(0);
    expect((await schedules.show(id)).runs).toHaveLength(1);
    await worker.end('SIGTERM');
  }, 240_000);

  test('is paused once by a run whose worker dies on the way', async () => {
    const first = await startWorkerProcess(stack);
    onTestFinished(() => void first.end('SIGKILL'));
    const id = await scheduled(['good', 'bad'], 0.25);
    await schedules.trigger(id);
    await reaches(id, 'findSchedule');
    await first.end('SIGKILL');
    const second = await startWorkerProcess(stack);
    onTestFinished(() => void second.end('SIGKILL'));
    const { details, latest } = await ended(id);
    expect(details).toMatchObject({ paused: true, note: expect.stringContaining(latest?.batch_id ?? '-') });
    expect(latest?.summary?.schedule_pause).toMatchObject({ done: 'paused' });
    await second.end('SIGTERM');
  });

  /** Backfills six nights, and waits until Temporal knows of all of them. */
  async function backfillSix(id: string) {
    await schedules.backfill(id, { from: new Date('2026-01-01T00:00:00Z'), to: new Date('2026-01-07T00:00:00Z') });
  }
  const nights = ['01', '02', '03', '04', '05', '06'].map((day) => `2026-01-${day}T02:30:00.000Z`);
  /** The outcome of each of a schedule's runs, once there are so many and all have ended. */
  const outcomes = async (id: string, runs: number) => {
    const all = async () => (await schedules.show(id)).runs.map((run) => [run.nominal_time, run.summary?.outcome]);
    const done = async () => (await all()).filter(([, outcome]) => outcome !== undefined).length;
    await expect.poll(done, { ...WAIT, message: 'all have ended' }).toBe(runs);
    return all();
  };

  test.each([false, true])('ends a backfill with its first run; paused before by a person: %s', async (isPaused) => {
    const worker = await startWorkerProcess(stack);
    onTestFinished(() => void worker.end('SIGKILL'));
    const id = await scheduled(['bad', 'good'], 0.25, { cron: '30 2 * * *' });
    if (isPaused) await schedules.pause(id, 'holidays');
    await backfillSix(id);
    const ended = await outcomes(id, 6);
    expect(ended).toEqual(nights.map((night, n) => [night, n === 0 ? 'completed' : 'schedule_paused']));
    const note = expect.stringMatching(
      isPaused ? /^holidays\. careful-\S+: 1 of 2 items failed/ : /^careful-\S+: 1 of 2/,
    );
    expect(await schedules.show(id)).toMatchObject({ paused: true, note });
    expect((await run('schedule', 'show', id)).stdout).toMatch(
      /: not started: the schedule was paused before its turn/,
    );
    // What was stopped stays so; a trigger and a new backfill run, also while it is paused.
    await schedules.trigger(id);
    expect((await outcomes(id, 7)).at(-1)?.[1]).toBe('completed');
    await schedules.backfill(id, { from: new Date('2026-02-01T00:00:00Z'), to: new Date('2026-02-02T00:00:00Z') });
    expect((await outcomes(id, 8)).at(-1)).toEqual(['2026-02-01T02:30:00.000Z', 'completed']);
    await worker.end('SIGTERM');
  });

  test('a backfill is stopped by a pause, and what was stopped is not started by a resume', async () => {
    const id = await scheduled(['good'], 0.5, { cron: '30 2 * * *' });
    await backfillSix(id);
    // Without a worker its first run does not end.
    await expect.poll(async () => (await schedules.show(id)).runs.length, WAIT).toBe(1);
    const stopped = await run('schedule', 'pause', id, '--reason', 'the wrong month');
    expect(stopped.code).toBe(0);
    expect(await run('schedule', 'backfill', id, '--from', '2026-03-01T00:00:00Z', '--to', '2026-03-02T00:00:00Z'))
      // Those that wait would be started as well.
      .toMatchObject({ code: 2, stderr: expect.stringMatching(/has 5 runs that wait since its pause/) });
    await run('schedule', 'resume', id);
    const worker = await startWorkerProcess(stack);
    onTestFinished(() => void worker.end('SIGKILL'));
    expect(await outcomes(id, 6)).toEqual(nights.map((night, n) => [night, n === 0 ? 'completed' : 'schedule_paused']));
    await worker.end('SIGTERM');
  });

  test('ends well when the schedule was deleted, and says nothing of it', async () => {
    const worker = await startWorkerProcess(stack);
    onTestFinished(() => void worker.end('SIGKILL'));
    const id = await scheduled(['bad'], 0);
    await schedules.trigger(id);
    await expect.poll(async () => (await schedules.show(id)).runs.length, WAIT).toBe(1);
    const [first] = (await schedules.show(id)).runs;
    await schedules.delete(id);
    const summary = await stack.client.workflow.getHandle(batchWorkflowId(first?.batch_id ?? '')).result();
    expect(summary).toMatchObject({ outcome: 'completed', counts: { failed: 1 } });
    expect(summary).not.toHaveProperty('schedule_pause');
    await worker.end('SIGTERM');
  });
});

describe('a pause whose answer is lost', () => {
  const port = () => schedulesPort(stack.client);
  const made = async () => {
    const id = await scheduled(['good'], 0.5);
    const { version } = await port().find(id);
    if (version === null) throw new Error('a new schedule goes on');
    return { id, pause: { scheduleId: id, version, note: 'failed' } };
  };

  test('is found done by the next attempt', async () => {
    const { id, pause } = await made();
    expect(await port().pause(pause)).toBe('paused');
    expect(await port().pause(pause)).toBe('paused');
    expect(await schedules.show(id)).toMatchObject({ paused: true, note: 'failed' });
    expect(await port().find(id)).toEqual({ version: null });
  });

  test('is not repeated once somebody has resumed the schedule', async () => {
    const { id, pause } = await made();
    await port().pause(pause);
    await schedules.resume(id);
    expect(await port().pause(pause)).toBe('changed');
    expect(await schedules.show(id)).toMatchObject({ paused: false });
  });

  test('leaves what somebody has paused or changed meanwhile, but a run that was started is no change', async () => {
    const { id, pause } = await made();
    await schedules.pause(id, 'holidays');
    expect(await port().pause(pause)).toBe('changed');
    expect(await schedules.show(id)).toMatchObject({ paused: true, note: 'holidays' });
    const other = await made();
    await schedules.trigger(other.id);
    await expect.poll(async () => (await schedules.show(other.id)).runs.length, WAIT).toBe(1);
    expect(await port().pause(other.pause)).toBe('paused');
  });

  test('is no error when the schedule is gone', async () => {
    const { id, pause } = await made();
    await schedules.delete(id);
    expect(await port().pause(pause)).toBe('gone');
    expect(await port().find(id)).toEqual({ version: null });
  });
});

describe('an estimate', () => {
  test('its estimate shows cost and end of the next run in its zone, warns when that passes the run after it, and makes nothing', async () => {
    const staged = await json('stage', 'images/boat.jpg');
    const lines = Array.from({ length: 200 }, (_, n) =>
      JSON.stringify({ ...request(`estimate ${n}`), duration: 15, reference_image: staged.reference_image }),
    );
    await stack.store.put('lists/many.jsonl', Buffer.from(lines.join('\n')));
    const create = (cron: string, key = 'lists/many.jsonl') => [
      ...['schedule', 'create', 'planned', '--cron', cron, '--timezone', 'Asia/Kolkata', '--manifest', key],
    ];
    const plan = await json(...create('30 2 * * *'), '--dry-run');
    expect(plan).toMatchObject({ dry_run: true, overlaps_next_run: false, manifest_key: 'lists/many.jsonl' });
    expect(plan.estimate).toMatchObject({ counts: { total: 200, buy: 200 }, price: { amount: 450, currency: 'CNY' } });
    expect(plan.next[0]).toMatch(/ 02:30$/);
    const utcOf = (time: string) => Date.parse(`${time.replace(' ', 'T')}:00+05:30`);
    const { earliest_seconds, latest_seconds } = plan.estimate.duration;
    const taken = [plan.expected.earliest_at, plan.expected.latest_at].map(
      (time) => (utcOf(time) - utcOf(plan.next[0])) / 60_000,
    );
    expect(taken).toEqual([earliest_seconds, latest_seconds].map((seconds) => Math.floor(seconds / 60)));
    expect(await run('schedule', 'show', 'planned')).toMatchObject({ code: 1 });
    const scheduled: string[] = [];
    for await (const { scheduleId } of stack.client.schedule.list()) scheduled.push(scheduleId);
    expect(scheduled.filter((id) => id.includes('probe'))).toEqual([]);

    // 200 videos in five slots take more than a minute, also at the pace of this emulator.
    const often = await run(...create('* * * * *'), '--dry-run');
    expect(often.stdout).toMatch(
      /amount {4}at most 450\.00 CNY[\s\S]*warning {3}it may not be done when the next run is due/,
    );
    expect(await json(...create('30 2 * * *', 'none/{date}.jsonl'), '--dry-run')).toMatchObject({
      estimate: null,
      expected: null,
      manifest_key: expect.stringMatching(/^none\/\d{4}-\d\d-\d\d\.jsonl$/),
    });
    const local = await manifest('planned.jsonl', [request('estimate 0')]);
    expect(await json(...create('30 2 * * *', local), '--dry-run')).toMatchObject({
      manifest_key: null,
      estimate: { counts: { buy: 1 } },
    });
    expect((await run(...create('99 2 * * *'), '--dry-run')).code).toBe(2);

    expect(await json(...create('0 3 1 1 *'))).toMatchObject({ done: 'created' });
    expect(await json('schedule', 'show', 'planned', '--estimate')).toMatchObject({
      estimate: { overlaps_next_run: false },
    });
    await run('schedule', 'delete', 'planned');
  });
});
