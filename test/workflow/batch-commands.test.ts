import { randomUUID } from 'node:crypto';
import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dateIn } from '../../src/batch/manifest-key.js';
import { batchWorkflowId } from '../../src/contract/names.js';
import { command, startOnTerminal } from '../support/command.js';
import { ROOT, type Stack, startStack } from '../support/stack.js';

let stack: Stack;
let folder: string;
beforeAll(async () => {
  stack = await startStack({ settings: { speed: 100 }, times: { retryInitialMs: 100 } });
  folder = join(stack.outputDir, 'manifests');
  await mkdir(join(folder, 'images'), { recursive: true });
  await copyFile(join(ROOT, 'assets', 'sample.jpg'), join(folder, 'images', 'boat.jpg'));
  const prices = { silent: 0.15, sound: 0.3 };
  await writeFile(
    join(folder, 'prices.json'),
    JSON.stringify({ currency: 'CNY', per_second: { '720P': prices, '1080P': prices } }),
  );
});
afterAll(() => stack?.close());

const run = (...args: string[]) =>
  command(args, { env: { ...stack.env, WAN_VIDEO_PRICES: join(folder, 'prices.json') }, cwd: folder });
const json = async (...args: string[]) => JSON.parse((await run(...args, '--json')).stdout);
const manifest = async (name: string, lines: readonly object[]) => {
  await writeFile(join(folder, name), lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  return name;
};
const request = (prompt: string) => ({
  prompt,
  duration: 4,
  fps: 24,
  size: '1280*720',
  reference_image: 'images/boat.jpg',
});

describe('batch', () => {
  test('start, status, report, failed, retry and export lead from a file to named videos and their list', async () => {
    const prompt = randomUUID();
    const file = await manifest('spring.jsonl', [
      { ...request(`${prompt} a`), item_id: 'a', labels: { team: 'film, "x"' } },
      { ...request(`${prompt} b`), item_id: 'b' },
      { ...request(`${prompt} a`), item_id: 'again' },
    ]);
    stack.emulator.queueFaults({
      on: 'submit',
      fault: 'task-failed',
      code: 'InternalError',
      match: `${prompt} b`,
      times: 3,
    });
    const started = await run('batch', 'start', file, '--id', 'spring', '--window', '3', '--wait');
    expect(started).toMatchObject({ code: 1 }); // an item failed
    expect(started.stdout).toMatch(
      /lines {5}3: 1 generated, 1 failed, 1 duplicate\nfailed {4}1 TaskFailed\nbilled {4}4 s at 720P, silent\namount {4}0.6/,
    );

    const again = await run('batch', 'start', file, '--id', 'spring');
    expect(again).toMatchObject({ code: 0, stdout: expect.stringMatching(/exists; nothing was started/) });
    const waited = await run('batch', 'start', file, '--id', 'spring', '--wait');
    expect(waited).toMatchObject({ code: 1, stdout: expect.stringMatching(/outcome {3}completed/) });
    const other = await manifest('other.jsonl', [{ ...request(`${prompt} other`), item_id: 'a' }]);
    expect(await run('batch', 'start', other, '--id', 'spring')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('belongs to another manifest: spring'),
    });
    expect((await run('batch', 'status', 'spring')).stdout).toMatch(/outcome {3}completed/);
    expect(await json('batch', 'status', 'spring')).toMatchObject({
      status: 'completed',
      summary: { counts: { generated: 1 } },
    });

    const table = (await run('batch', 'report', 'spring')).stdout;
    expect(table).toMatch(/^LINE {2}ITEM {3}OUTCOME/);
    expect(table).toMatch(/\n3 +again +generated \(as a\) +- +0 s/);
    const csv = (await run('batch', 'report', 'spring', '--format', 'csv')).stdout.split('\r\n');
    expect(csv).toHaveLength(5);
    expect(csv[0]).toMatch(/^\ufeffline,item_id/); // a spreadsheet knows by it that names are UTF-8
    expect(csv[1]).toContain('"team=film, ""x"""');
    const report = await json('batch', 'report', 'spring');
    expect(report).toMatchObject({
      money: { amount: 0.6, currency: 'CNY' },
      items: [{ item_id: 'a' }, { item_id: 'b' }, {}],
    });

    const page = (await run('batch', 'report', 'spring', '--format', 'html')).stdout;
    expect(page).toContain(`data-src="${(report['items'] as { video_url: string }[])[0]?.video_url}"`);
    expect(page.match(/<img alt="reference" loading="lazy" src="file:/g)).toHaveLength(3);

    const failed = (await run('batch', 'failed', 'spring')).stdout;
    expect((await json('batch', 'failed', 'spring'))['lines']).toEqual(
      failed
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
    );
    expect(JSON.parse(failed)).toMatchObject({
      item_id: 'b',
      comment: expect.stringMatching(/^TaskFailed/),
      duration: 4,
    });
    const retried = await json('batch', 'retry', 'spring', '--wait');
    expect(retried).toMatchObject({
      batch_id: 'spring.retry-1',
      retry_of: 'spring',
      counts: { total: 1, generated: 1 },
    });
    expect((await json('batch', 'retry', 'spring.retry-1')).error).toMatchObject({ type: 'NotRetried' });

    const exported = await run('batch', 'export', 'spring', '--to', 'out', '--name', '{line}-{item_id}.mp4');
    expect(exported).toMatchObject({ code: 0, stdout: expect.stringMatching(/^2 videos/) });
    expect((await readdir(join(folder, 'out'))).sort()).toEqual(['1-a.mp4', '3-again.mp4', 'index.csv']);
    const [one, three] = await Promise.all(
      ['1-a.mp4', '3-again.mp4'].map((name) => readFile(join(folder, 'out', name))),
    );
    expect(one?.equals(three as Buffer)).toBe(true);
    expect((await readFile(join(folder, 'out', 'index.csv'), 'utf8')).split('\r\n')[1]).toMatch(
      /^1-a\.mp4,1,a,generated/,
    );
    const lines = [request(`${prompt} a`), request(`${prompt} c`), { ...request(`${prompt} c`), item_id: 'twin' }];
    const { submits } = stack.emulator.state();
    const plan = await manifest('plan.jsonl', [
      ...lines,
      { ...request('web'), reference_image: 'https://e.com/a.png' },
    ]);
    expect(await json('batch', 'start', plan, '--dry-run')).toMatchObject({
      dry_run: true,
      batch_id: null,
      already_existed: false,
      price: { amount: 1.2, currency: 'CNY' },
      counts: { total: 4, cached: 1, buy: 1, duplicate: 1, refuse: 0, fetch: 1, adopt: 0, invalid: 0 },
      slots: { limit: 5, ahead: 0 },
    });
    const text = (await run('batch', 'start', plan, '--dry-run', '--id', 'spring')).stdout;
    expect(text).toMatch(
      /^The batch spring exists; nothing would be started\.\nlines {5}4\n {10}1 answered from the cache\n/,
    );
    expect(text).toMatch(
      /amount {4}at most 1\.20 CNY\nslots {5}5 at a time\ntakes .*\ndone {6}about .*Nothing was sent\.\n$/s,
    );
    expect(stack.emulator.state().submits).toBe(submits);
    expect(await run('batch', 'status', 'plan')).toMatchObject({ code: 1 });

    const cost = await json('cost', '--by', 'batch');
    expect(cost.rows).toEqual(expect.arrayContaining([expect.objectContaining({ group: 'spring', seconds: 4 })]));
  });

  test('on a terminal batch watch has a bar, and Ctrl-C leaves the batch running', async () => {
    const prompt = randomUUID();
    const file = await manifest('watched.jsonl', [
      { ...request(`${prompt} a`), item_id: 'a' },
      { ...request(`${prompt} b`), item_id: 'b' },
    ]);
    // The second video cannot be downloaded, so the batch does not end by itself.
    stack.emulator.queueFaults({ on: 'download', fault: 'stall', match: `${prompt} b`, times: null });
    const env = { ...stack.env, WAN_VIDEO_PRICES: join(folder, 'prices.json') };
    const started = startOnTerminal(['batch', 'start', file, '--id', 'watched', '--wait'], env, { cwd: folder });
    await started.said(/\[#{10}-{10}\].*1 of 2, 0\.60 CNY, 1 generated, 1 running/, 'stdout');
    started.stdin.write('\x03');
    const left = await started.ended;
    expect(left).toMatchObject({ code: 130, stdout: expect.stringMatching(/the batch watched continues/) });
    expect(await json('batch', 'status', 'watched')).toMatchObject({ status: 'running' });

    const watching = startOnTerminal(['batch', 'watch', 'watched', '--quiet'], env, { cwd: folder });
    await run('batch', 'cancel', 'watched');
    expect(await watching.ended).toMatchObject({ code: 130, stdout: expect.not.stringContaining('[#') });
  });

  test('a manifest with faults is refused by line with exit code 2, and nothing is sent', async () => {
    const { submits } = stack.emulator.state();
    const file = await manifest('faulty.jsonl', [
      request('x'),
      { ...request('y'), reference_image: 'gone.jpg' },
      { ...request('z'), fps: 0 },
    ]);
    const { code, stderr } = await run('batch', 'start', file);
    expect(code).toBe(2);
    expect(stderr).toMatch(/line 2, reference_image: .*gone\.jpg does not exist/);
    expect(stderr).toMatch(/line 3, fps: must be frames per second/);
    expect(await run('batch', 'start', 'nowhere.jsonl')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/does not exist/),
    });
    expect(await run('batch', 'start', file, '--window', '0')).toMatchObject({ code: 2 });
    expect(await run('batch', 'status', 'nowhere')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/There is no batch/),
    });
    expect(stack.emulator.state().submits).toBe(submits);
  });

  test('pause, resume and cancel steer it', async () => {
    const prompt = randomUUID();
    const lines = Array.from({ length: 3 }, (_, n) => ({ ...request(`${prompt} ${n}`), duration: 15 }));
    await run('batch', 'start', await manifest('long.jsonl', lines), '--id', 'long', '--window', '1');
    expect((await run('batch', 'pause', 'long', '--reason', 'lunch')).code).toBe(0);
    await expect
      .poll(async () => (await run('batch', 'status', 'long')).stdout, { timeout: 20_000 })
      .toMatch(/status {4}paused[\s\S]*lunch/);
    expect((await run('batch', 'resume', 'long', '--window', '2')).code).toBe(0);
    const cancelled = await run('batch', 'cancel', 'long');
    expect(cancelled).toMatchObject({ code: 0, stdout: expect.stringMatching(/outcome {3}cancelled/) });
    expect((await run('batch', 'resume', 'long')).code).toBe(1);
  });

  test('what a cancel kept from running is counted and named', async () => {
    const prompt = randomUUID();
    const lines = Array.from({ length: 5 }, (_, n) => ({ ...request(`${prompt} ${n}`), duration: 15 }));
    await run('batch', 'start', await manifest('cut.jsonl', lines), '--id', 'cut', '--window', '1');
    // A batch that is cancelled while it opens its manifest knows no lines yet.
    await expect.poll(async () => (await run('batch', 'status', 'cut')).stdout).toMatch(/lines {5}5/);
    expect((await run('batch', 'cancel', 'cut')).stdout).toMatch(/lines {5}5: (.*, )?\d not run\n/);
    expect((await run('batch', 'report', 'cut')).stdout).toMatch(/\n5 +line-00005 +not run +- /);
  });

  test('terminated, it says so and names what goes on with it, and no video is bought twice', async () => {
    const prompt = randomUUID();
    const items = ['a', 'b', 'c'];
    const file = await manifest(
      'terminated.jsonl',
      items.map((item_id) => ({ ...request(`${prompt} ${item_id}`), duration: 15, item_id })),
    );
    const tasks = () => stack.emulator.state().tasks.filter((task) => task.prompt.startsWith(prompt));
    await run('batch', 'start', file, '--id', 'ended', '--window', '1');
    await expect.poll(() => tasks().length, { timeout: 30_000 }).toBe(1);
    await stack.client.workflow.getHandle(batchWorkflowId('ended')).terminate('a test');

    const { stdout } = await run('batch', 'status', 'ended');
    expect(stdout).toMatch(/^status {4}terminated$/m);
    expect(stdout).toMatch(/^ended {5}the batch was terminated in Temporal and wrote no report/m);
    expect(stdout).not.toMatch(/^(running|rate|done) /m);
    expect(await json('batch', 'status', 'ended')).toMatchObject({ status: 'terminated', summary: null });
    const waited = await run('batch', 'start', file, '--id', 'ended', '--wait');
    expect(waited).toMatchObject({ code: 1, stderr: expect.stringContaining('terminated') });

    // What the text says leads to all videos; the item in progress is not bought again.
    const next = /^next {6}wan-video (batch failed ended) > rest\.jsonl/m.exec(stdout)?.[1] ?? '';
    const rest = await run(...next.split(' '));
    expect(rest.stdout.trimEnd().split('\n')).toHaveLength(items.length);
    await writeFile(join(folder, 'rest.jsonl'), rest.stdout);
    expect(await run('batch', 'start', 'rest.jsonl', '--id', 'rest', '--wait')).toMatchObject({ code: 0 });
    expect(await json('batch', 'status', 'rest')).toMatchObject({
      summary: { counts: { total: items.length, failed: 0 } },
    });
    expect(tasks()).toHaveLength(items.length);
  });
});

describe('a batch that any client starts with its items in the input', () => {
  const start = (input: unknown, batchId: string = randomUUID()) =>
    stack.client.workflow.start('videoBatch', {
      workflowId: `batch/${batchId}`,
      taskQueue: stack.config.taskQueues.generate,
      args: [input],
    });
  const faultOf = async (input: unknown, batchId?: string) =>
    (await start(input, batchId)).result().catch((error: { cause?: unknown }) => error.cause);

  test('runs them as a manifest of its own, over several runs, and reports them under their ids', async () => {
    const batchId = randomUUID();
    const items = ['a', 'b', 'a'].map((name, n) => ({
      ...stack.request(`${batchId} ${name}`),
      item_id: `${name}-${n}`,
    }));
    const faulty = { ...stack.request('too long'), duration: 99 };
    const run1 = await start({ items: [...items, faulty], allow_invalid: true, page_items: 1, window: null }, batchId);
    expect(await run1.result()).toMatchObject({ counts: { total: 4, generated: 2, duplicate: 1, invalid: 1 } });
    expect((await json('batch', 'report', batchId)).items.map((row: { item_id: string }) => row.item_id)).toEqual([
      ...['a-0', 'b-1', 'a-2', 'line-00004'],
    ]);
    // The same again is that batch; others would not be run under its id.
    expect(await (await start({ items: [...items, faulty], allow_invalid: true }, batchId)).result()).toMatchObject({
      counts: { total: 4, generated: 2, duplicate: 1 }, // the runs of its items are there
    });
    expect(await faultOf({ items: items.slice(1) }, batchId)).toMatchObject({
      details: [{ type: 'InvalidRequest', billed: false, issues: [{ path: 'workflow id' }] }],
    });
  });

  test('fails as InvalidRequest with every fault of the input, of its items and of its key', async () => {
    const { submits } = stack.emulator.state();
    const good = stack.request('good');
    const items = [good, { ...good, fps: 0, size: '1*1' }, 7, { ...good, reference_image: 'boat.jpg' }];
    const pathsOf = async (input: unknown) => {
      const fault = (await faultOf(input)) as {
        type: string;
        message: string;
        details: { issues: { path: string }[] }[];
      };
      expect(fault).toMatchObject({ type: 'InvalidRequest', message: expect.stringMatching(/^The batch cannot be /) });
      return fault.details[0]?.issues.map(({ path }) => path);
    };
    const ofItems = ['items.1.fps', 'items.1.size', 'items.2', 'items.3.reference_image'];
    expect(await pathsOf({ items })).toEqual(ofItems);
    expect(await pathsOf({ items, window: 0, manifest_key: 'a/{day}' })).toEqual([
      ...['window', 'items', ...ofItems, 'manifest_key'],
    ]);
    expect(await pathsOf(undefined)).toEqual(['']);
    expect(await pathsOf({})).toEqual(['manifest_key']);
    expect(await pathsOf({ items: new Array(101).fill(7) })).toEqual(['items']);
    expect(stack.emulator.state().submits).toBe(submits);
  });
});

describe('schedule', () => {
  const at = ['--cron', '30 2 * * *', '--timezone', 'Europe/Berlin'];

  test('created twice it is updated; triggered it runs the manifest that its key names for the day; then it is deleted', async () => {
    const staged = await json('stage', 'images/boat.jpg');
    const lineOf = (prompt: string) =>
      Buffer.from(`${JSON.stringify({ ...request(prompt), reference_image: staged.reference_image })}\n`);
    const create = ['schedule', 'create', 'nightly', ...at, '--manifest', 'lists/{date}.jsonl'];
    expect(await json(...create)).toMatchObject({ done: 'created' });
    expect((await run('schedule', 'pause', 'nightly', '--reason', 'holidays')).code).toBe(0);
    expect(await json(...create, '--window', '7', '--jitter', '30s', '--overlap', 'skip')).toMatchObject({
      done: 'updated',
    });
    const shown = await json('schedule', 'show', 'nightly');
    expect(shown).toMatchObject({
      cron: '30 2 * * *',
      timezone: 'Europe/Berlin',
      paused: true,
      note: 'holidays',
      window: 7,
      overlap: 'skip',
      manifest_key: 'lists/{date}.jsonl',
      jitter_seconds: 30,
      catchup_seconds: 86_400,
      runs: [],
    });
    expect(shown.next[0]).toMatch(/^\d{4}-\d\d-\d\d 02:3[01]$/);
    expect((await json('schedule', 'list')).schedules).toMatchObject([{ id: 'nightly', paused: true }]);

    await stack.store.put(`lists/${dateIn('Europe/Berlin', new Date())}.jsonl`, lineOf(randomUUID()));
    expect((await run('schedule', 'trigger', 'nightly')).code).toBe(0);
    await expect
      .poll(async () => (await json('schedule', 'show', 'nightly')).runs, { timeout: 30_000, interval: 200 })
      .toMatchObject([
        { batch_id: expect.stringMatching(/^nightly-20/), summary: { counts: { total: 1, generated: 1 } } },
      ]);
    const yesterday = new Date(Date.now() - 86_400_000).toISOString();
    expect(
      (await run('schedule', 'backfill', 'nightly', '--from', yesterday, '--to', new Date().toISOString())).code,
    ).toBe(0);
    await expect
      .poll(async () => (await run('schedule', 'show', 'nightly')).stdout, { timeout: 30_000, interval: 200 })
      .toMatch(/run .*: completed, 1 of 1 lines, 0 failed/);
    expect((await run('schedule', 'resume', 'nightly')).code).toBe(0);
    expect(await json('schedule', 'show', 'nightly')).toMatchObject({ paused: false });
    expect((await run('schedule', 'delete', 'nightly')).code).toBe(0);
    expect(await run('schedule', 'show', 'nightly')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/no schedule nightly/),
    });
  });

  test('names the nights without 02:30 and those with two, starts a run later there if asked, and plans a backfill across them', async () => {
    const create = ['schedule', 'create', 'berlin', ...at, '--manifest', 'lists/{date}.jsonl'];
    const made = await run(...create);
    expect(made.stdout).toMatch(/warning {3}\d{4}-03-\d\d 02:30 does not exist in Europe\/Berlin: no run then/);
    expect(made.stdout).toMatch(/warning {3}\d{4}-10-\d\d 02:30 comes twice in Europe\/Berlin; one run starts/);
    const spring = ['--from', '2027-03-26T00:00:00Z', '--to', '2027-03-31T00:00:00Z', '--dry-run'];
    const autumn = ['--from', '2027-10-30T00:00:00Z', '--to', '2027-11-01T00:00:00Z', '--dry-run'];
    // Temporal itself lists these runs.
    expect(await json('schedule', 'backfill', 'berlin', ...spring)).toMatchObject({
      dry_run: true,
      runs: ['26T01', '27T01', '29T00', '30T00'].map((hour) => `2027-03-${hour}:30:00.000Z`),
      clock_changes: [{ local: '2027-03-28 02:30', kind: 'missing', runs_at: null }],
    });
    expect(await json('schedule', 'backfill', 'berlin', ...autumn)).toMatchObject({
      runs: ['30T00', '31T01'].map((hour) => `2027-10-${hour}:30:00.000Z`),
      clock_changes: [{ local: '2027-10-31 02:30', kind: 'twice', runs: 1 }],
    });

    const west = ['--cron', '30 1 * * *', '--timezone', 'America/New_York', '--manifest', 'lists/{date}.jsonl'];
    await run('schedule', 'create', 'york', ...west);
    const november = ['--from', '2027-11-07T00:00:00Z', '--to', '2027-11-08T00:00:00Z', '--dry-run'];
    expect(await json('schedule', 'backfill', 'york', ...november)).toMatchObject({
      runs: ['2027-11-07T05:30:00.000Z', '2027-11-07T06:30:00.000Z'],
      clock_changes: [{ local: '2027-11-07 01:30', kind: 'twice', runs: 2 }],
    });
    expect((await run('schedule', 'delete', 'york')).code).toBe(0);

    const london = ['--cron', '30 0 * * *', '--timezone', 'Europe/London', '--manifest', 'lists/{date}.jsonl'];
    await run('schedule', 'create', 'london', ...london);
    expect(await json('schedule', 'backfill', 'london', ...autumn)).toMatchObject({
      runs: ['2027-10-30T23:30:00.000Z', '2027-10-31T00:30:00.000Z'],
      clock_changes: [{ local: '2027-10-31 01:30', kind: 'extra', runs: 1 }],
    });
    expect((await run('schedule', 'delete', 'london')).code).toBe(0);

    await run(...create, '--dst', 'shift');
    const shifted = await json('schedule', 'backfill', 'berlin', ...spring);
    expect(shifted).toMatchObject({
      runs: ['26T01', '27T01', '28T01', '29T00', '30T00'].map((hour) => `2027-03-${hour}:30:00.000Z`),
      clock_changes: [{ local: '2027-03-28 02:30', kind: 'shifted', runs_at: '2027-03-28 03:30' }],
    });
    expect(await json('schedule', 'show', 'berlin')).toMatchObject({ cron: '30 2 * * *', missed: 0 });

    const long = ['--from', '2026-01-01T00:00:00Z', '--to', '2026-02-01T00:00:00Z'];
    expect(await run('schedule', 'backfill', 'berlin', ...long)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('is needed to start 31 runs without asking'),
    });
    expect((await run('schedule', 'delete', 'berlin')).code).toBe(0);
  });

  test('is paused by a run of which more failed than it bears, and says why and how it goes on', async () => {
    const prompt = randomUUID();
    stack.emulator.queueFaults({
      on: 'submit',
      fault: 'status',
      status: 400,
      code: 'DataInspectionFailed',
      match: prompt,
    });
    await stack.store.put('lists/bad.jsonl', Buffer.from(JSON.stringify(stack.request(prompt))));
    const create = ['schedule', 'create', 'careful', ...at, '--manifest', 'lists/bad.jsonl'];
    const made = (await run(...create, '--pause-when-failed-above', '99.9%')).stdout;
    expect(made).toMatch(/Europe\/Berlin\nmanifest .*\n.* caught up within 1 d\npauses {4}when more than 99\.9 %/);
    await run('schedule', 'trigger', 'careful');
    await expect
      .poll(async () => (await run('schedule', 'show', 'careful')).stdout, { timeout: 30_000, interval: 200 })
      .toMatch(
        /^schedule {2}careful, paused: careful-\S+: 1 of 1 items failed, 100 %.*"wan-video schedule resume careful"/,
      );
    await run('schedule', 'delete', 'careful');
    for (const share of ['100%', '25', '-1%', '0.25', '5.55%']) {
      expect((await run(...create, '--pause-when-failed-above', share)).code).toBe(2);
    }
  });

  test('a run whose manifest is not there ends with an outcome of its own', async () => {
    await run('schedule', 'create', 'missing', ...at, '--manifest', 'nothing/{date}.jsonl');
    await run('schedule', 'trigger', 'missing');
    await expect
      .poll(async () => (await json('schedule', 'show', 'missing')).runs, { timeout: 20_000, interval: 200 })
      .toMatchObject([{ summary: { outcome: 'manifest_missing', counts: { total: 0 } } }]);
    await run('schedule', 'delete', 'missing');
  });

  test('a file is checked and staged when the schedule is made', async () => {
    const file = await manifest('weekly.jsonl', [request(randomUUID())]);
    const plan = await json('schedule', 'create', 'weekly', ...at, '--manifest', file, '--dry-run');
    expect(plan).toMatchObject({
      dry_run: true,
      manifest_key: null,
      overlaps_next_run: false,
      estimate: { counts: { buy: 1 } },
    });
    expect(plan.next[0]).toMatch(/ 02:30$/);
    expect((await run('schedule', 'show', 'weekly')).code).toBe(1);
    expect((await run('schedule', 'create', 'weekly', ...at, '--manifest', file)).stdout).toMatch(
      /manifest {2}manifests\/[0-9a-f]{64}\.jsonl/,
    );
    await run('schedule', 'delete', 'weekly');
  });

  test.each([
    {
      what: 'a cron expression',
      flags: ['--cron', '99 2 * * *', '--timezone', 'UTC', '--manifest', 'a/{date}.jsonl'],
      fault: /cron/,
    },
    {
      what: 'a cron expression of six fields',
      flags: ['--cron', '0 0 2 * * *', '--timezone', 'UTC', '--manifest', 'a/{date}.jsonl'],
      fault: /cron: must have five fields/,
    },
    {
      what: 'a zone',
      flags: ['--cron', '0 2 * * *', '--timezone', 'Mars/Base', '--manifest', 'a/{date}.jsonl'],
      fault: /timezone/,
    },
    {
      what: 'a key',
      flags: ['--cron', '0 2 * * *', '--timezone', 'UTC', '--manifest', 'nothing.jsonl'],
      fault: /neither a file nor a key/,
    },
    {
      what: 'everything',
      flags: ['--cron', '0 2', '--timezone', 'Mars/Base', '--manifest', 'a', '--window', '7'],
      id: 'not an id',
      fault: /id: must be 1 to 80 [\s\S]*timezone: is not [\s\S]*cron: must have five fields/,
    },
    {
      what: 'a placeholder',
      flags: ['--cron', '0 2 * * *', '--timezone', 'UTC', '--manifest', 'a/{day}.jsonl'],
      fault: /no other placeholder/,
    },
  ])('$what that cannot be is refused, and no schedule is made', async ({ flags, fault, id = 'refused' }) => {
    const { code, stderr } = await run('schedule', 'create', id, ...flags);
    expect(stderr).toMatch(fault);
    expect(code).toBe(2);
    expect((await run('schedule', 'show', 'refused')).code).toBe(1);
  });
});
