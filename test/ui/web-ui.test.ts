import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { WanBatchClient } from '../../src/client/batch-client.js';
import { batchItemWorkflowId, slotsWorkflowId } from '../../src/contract/names.js';
import { stageImage } from '../../src/media/stage-image.js';
import { findChromium } from '../structure/parts.js';
import { writeTestImage } from '../support/images.js';
import { QUICK_LEDGER } from '../support/quick-times.js';
import { type Stack, startStack } from '../support/stack.js';
import { type Run, WebUi } from './web-ui.js';

const chromium = findChromium();

describe.skipIf(chromium === undefined)("in Temporal's Web UI", () => {
  let stack: Stack;
  let ui: WebUi;
  const NONE = { id: '', runId: '' };
  const runs = { completed: NONE, failed: NONE, parked: NONE, cancelled: NONE, running: NONE };
  const batch = { ...NONE, id: 'batch/harbour-spring' };
  const BATCH_ID = 'harbour-spring';
  const VIDEOS = 'https://videos.example.com';
  const RUNBOOK = 'https://docs.example.com/operations';
  const ended = { ...NONE, id: 'batch/evening' };
  const itemRun = (n: number) => batchItemWorkflowId(BATCH_ID, `shot-${n}`);
  const runIdOf = async (id: string) => (await stack.client.workflow.getHandle(id).describe()).runId;
  const taskOf = async ({ id }: Run) => (await stack.videos.progress(id)).task_id ?? '';

  beforeAll(async () => {
    stack = await startStack({
      ui: true,
      settings: { speed: 20, slots: 20 },
      times: QUICK_LEDGER,
      env: { ASSET_PUBLIC_BASE_URL: VIDEOS, WAN_VIDEO_RUNBOOK_URL: RUNBOOK },
    });
    const start = (request: Parameters<Stack['videos']['start']>[0]) => stack.videos.start(request);
    const reaches = ({ id }: Run, stage: string) =>
      vi.waitUntil(async () => (await stack.videos.progress(id)).stage === stage, { timeout: 60_000, interval: 100 });

    stack.emulator.queueFaults([
      { on: 'submit', fault: 'task-failed', code: 'DataInspectionFailed', match: 'crowd' },
      { on: 'submit', fault: 'drop-reply', match: 'storm', times: 2 },
    ]);
    runs.completed = await start({
      ...stack.request('Waves roll towards a lighthouse at dawn, the camera rises slowly'),
      tenant: 'studio-a',
      labels: { film: 'harbour', shot: '12' },
    });
    runs.failed = await start({ ...stack.request('A crowd cheers in the harbour'), tenant: 'studio-b' });
    // Two runs whose lost replies cannot be matched to one task each: both are parked.
    const storm = stack.request('A storm over the harbour, lightning in the distance');
    const file = join(stack.outputDir, 'other.bmp');
    await writeTestImage(file, { width: 1280, height: 720 });
    const other = `asset:${(await stageImage(file, stack.store)).asset.key}`;
    const twins = await Promise.all([start(storm), start({ ...storm, reference_image: other })]);
    runs.parked = twins[0];
    await Promise.all([
      stack.videos.result(runs.completed.id),
      stack.videos.result(runs.failed.id).catch(() => undefined),
      ...twins.map((run) => reaches(run, 'needs_attention')),
    ]);
    await endBatch();
    // What starts from here on renders for as long as the test lasts.
    stack.emulator.changeSettings({ render_seconds: 100_000 });
    const batchIsThere = startBatch();
    runs.cancelled = await start(stack.request('A fishing boat leaves the harbour'));
    runs.running = await start({ ...stack.request('Gulls circle above the pier'), duration: 15 });
    await Promise.all([runs.cancelled, runs.running].map((run) => reaches(run, 'rendering')));
    await stack.videos.cancel(runs.cancelled.id, 'wrong picture');
    await stack.videos.result(runs.cancelled.id).catch(() => undefined);
    await batchIsThere;
    ui = await WebUi.open(chromium ?? '', stack.uiUrl ?? '');
  });
  /** Five lines, two at a time: one has its video, one has failed, two are in progress and one waits. */
  async function startBatch(): Promise<void> {
    const { client, store, config, emulator } = stack;
    const batches = new WanBatchClient({ client, store, taskQueue: config.taskQueues.generate });
    const lines = [1, 2, 3, 4, 5].map((n) => ({
      ...stack.request(`Boats rock in the spring breeze, shot ${n}`),
      item_id: `shot-${n}`,
      tenant: 'studio-c',
      labels: { film: 'spring' },
    }));
    await batches.start({ lines }, { id: BATCH_ID, window: 2 });
    const task = async (n: number) => {
      const ofLine = () => emulator.state().tasks.find(({ prompt }) => prompt.endsWith(`shot ${n}`));
      return vi.waitUntil(() => ofLine()?.task_id, { timeout: 60_000, interval: 50 });
    };
    emulator.changeTask(await task(1), { status: 'SUCCEEDED' });
    // One after the other: two ends at one moment are no rate yet.
    const hasFirst = async () => (await batches.progress(BATCH_ID)).counts.generated === 1;
    await vi.waitUntil(hasFirst, { timeout: 60_000, interval: 50 });
    emulator.changeTask(await task(2), { status: 'FAILED', code: 'IPInfringementSuspect' });
    await Promise.all([task(3), task(4)]);
    await vi.waitUntil(
      async () => {
        const { counts, in_flight, waiting } = await batches.progress(BATCH_ID);
        return counts.generated === 1 && counts.failed === 1 && in_flight === 2 && waiting === 1;
      },
      { timeout: 60_000, interval: 100 },
    );
    batch.runId = await runIdOf(batch.id);
  }
  /** A batch that has ended: one of its lines was bought before. */
  async function endBatch(): Promise<void> {
    const { client, store, config } = stack;
    const batches = new WanBatchClient({ client, store, taskQueue: config.taskQueues.generate });
    const prompts = ['Waves roll towards a lighthouse at dawn, the camera rises slowly', 'Nets dry in the sun'];
    const lines = prompts.map((prompt, n) => ({ ...stack.request(prompt), item_id: `repeat-${n}` }));
    await batches.start({ lines }, { id: 'evening' });
    await batches.result('evening');
    ended.runId = await runIdOf(ended.id);
  }
  afterAll(async () => {
    await ui?.close();
    await stack?.close();
  });

  test('a completed run says where its video is and what it was made from', async () => {
    const taskId = await taskOf(runs.completed);
    const run = await ui.read(runs.completed, /^done\n/, 'completed');
    expect(run.status).toMatch(/completed/i);
    expect(run.summary).toBe('4 s 1280*720: Waves roll towards a lighthouse at dawn, the camera rises slowly');
    expect(run.details).toMatch(/tenant: studio-a[\s\S]*label film: harbour/);
    expect(run.currentDetails).toContain(`${VIDEOS}/videos/${taskId}.mp4`);
    const links = await ui.links(runs.completed, /^done\n/);
    expect(links).toContain(`${VIDEOS}/videos/${taskId}.mp4`);
    expect(links).toContainEqual(expect.stringMatching(/^https:\/\/videos.example.com\/references\/\w+\.\w+$/));
    expect(run.currentDetails).toContain('4 s, 1280x720, generated, 4 s billed');
    for (const value of ['generated', taskId, 'studio-a', 'film=harbour']) {
      expect(run.searchAttributes).toContain(`"${value}"`);
    }
  });

  test('the timeline of a run names each step and its task', async () => {
    const taskId = await taskOf(runs.completed);
    const text = await ui.timeline(runs.completed, `pollTask • task ${taskId}`, 'timeline');
    for (const step of ['check the request, upload its image, request a slot', 'buy one task']) {
      expect(text).toContain(step);
    }
  });

  test('a failed run says why, whether it is billed and what to do', async () => {
    const run = await ui.read(runs.failed, /^failed\n/, 'failed');
    expect(run.status).toMatch(/failed/i);
    expect(run.currentDetails).toMatch(/ContentRejected: .*DataInspectionFailed/);
    expect(run.currentDetails).toContain('Nothing is billed.');
    expect(run.currentDetails).toMatch(/next: .*prompt/);
    expect(run.searchAttributes).toContain('"DataInspectionFailed"');
  });

  test('a cancelled run says what became of its task, what is billed and why', async () => {
    const run = await ui.read(runs.cancelled, /had started; it is billed/, 'cancelled');
    expect(run.status).toMatch(/cancel/i);
    expect(run.currentDetails).toContain(
      `Task ${await taskOf(runs.cancelled)} had started; it is billed if it succeeds`,
    );
    expect(run.currentDetails).toMatch(/salvage\/\S+ archives its video/);
    expect(run.currentDetails).toContain('reason: wrong picture');
    expect(run.searchAttributes).toContain('"cancelled"');
  });

  test('a parked run shows the evidence and the command that decides', async () => {
    const run = await ui.read(runs.parked, /^needs_attention\n/, 'needs-attention');
    expect(run.status).toMatch(/running/i);
    expect(run.currentDetails.match(/candidate /g)).toHaveLength(2);
    expect(run.currentDetails).toContain(`wan-video resolve ${runs.parked.id} --task `);
    const [, taskId = ''] = /decide: Update resolveSubmit with \{"task_id":"([^"]+)"\}/.exec(run.currentDetails) ?? [];
    expect(run.currentDetails).toContain('decide: Update resolveSubmit with {"buy_again":true}');
    const links = await ui.links(runs.parked, /^needs_attention\n/);
    expect(links).toContain(`${VIDEOS}/candidates/${taskId}.mp4`);
    expect(links).toContain(`${RUNBOOK}#a-run-waits-for-a-person`);
    expect(run.searchAttributes).toContain('"needs_attention"');
  });

  test('a running run says its stage, its task and what it waits for', async () => {
    const taskId = await taskOf(runs.running);
    const run = await ui.read(runs.running, /^rendering\n\s*waiting for the provider to finish the task/, 'running');
    expect(run.status).toMatch(/running/i);
    expect(run.summary).toBe('15 s 1280*720: Gulls circle above the pier');
    expect(run.currentDetails).toContain(taskId);
    expect(run.searchAttributes).toContain(`"${taskId}"`);
  });

  test("an account's slots say who holds one, and since when", async () => {
    const id = slotsWorkflowId(stack.config.provider.providerId, stack.config.provider.account);
    const currentDetails = await ui.currentDetails({ id, runId: await runIdOf(id) }, /slots are held/);
    expect(currentDetails).toMatch(/^[1-5] of 5 slots are held, 0 wait/);
    const since = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d`;
    expect(currentDetails).toMatch(new RegExp(`holds\\s+${runs.running.id}\\s+${since}`));
    expect(currentDetails).toMatch(new RegExp(`holds\\s+${itemRun(3)}\\s+studio-c\\s+${BATCH_ID}\\s+${since}`));
  });

  test('a batch says how far it is and what it has cost, and leads to its items and back', async () => {
    const run = await ui.read(batch, /^running\n/, 'batch');
    expect(run.status).toMatch(/running/i);
    expect(run.summary).toBe('5 items');
    expect(run.details).toMatch(/manifest_key: batches\/harbour-spring\/manifest.jsonl\s+window: 2/);
    expect(run.currentDetails).toContain('5 lines: 1 generated, 1 failed, 2 in progress, 1 waiting; window 2');
    expect(run.currentDetails).toContain('billed 4 s at 720P, silent');
    expect(run.currentDetails).toMatch(/items per minute; done about \d{4}-/);
    expect(run.searchAttributes).toContain('"harbour-spring"');
    const family = await ui.family(batch, itemRun(4));
    for (const n of [1, 2, 3, 4]) expect(family).toContain(itemRun(n));
    expect(family).not.toContain(itemRun(5));
    const item = { id: itemRun(2), runId: await runIdOf(itemRun(2)) };
    expect(await ui.family(item, 'videoBatch')).toContain(batch.id);
    expect(await ui.links(item, /^failed\n/)).toContainEqual(
      expect.stringMatching(new RegExp(`/namespaces/default/workflows/${batch.id}$`)),
    );
  });

  test('a batch that has ended says no rate and no expected end, and leads to its report', async () => {
    const run = await ui.read(ended, /^done\n/);
    expect(run.status).toMatch(/completed/i);
    expect(run.currentDetails).toContain('2 lines: 1 generated, 1 cache, 0 in progress, 0 waiting');
    expect(run.currentDetails).not.toMatch(/per minute|done about/);
    expect(await ui.links(ended, /^done\n/)).toContain(`${VIDEOS}/batches/evening/report.json`);
  });

  test('the list shows the items of a batch with their ends, and only its failures when asked for those', async () => {
    const ofBatch = `VideoBatchId="${BATCH_ID}"`;
    const rows = await ui.find(ofBatch, 5, 'batch-items');
    for (const [id, ...texts] of [
      [itemRun(1), 'Completed', 'generated', 'studio-c'],
      [itemRun(2), 'Failed', 'failed', 'IPInfringementSuspect', 'studio-c'],
      [itemRun(3), 'Running', 'studio-c'],
      [itemRun(4), 'Running', 'studio-c'],
      [batch.id, 'Running'],
    ]) {
      const row = rows.find((text) => text.includes(`${id}\t`));
      for (const text of texts) expect(row?.toLowerCase(), `${id}: ${row}`).toContain(text.toLowerCase());
    }
    const [failure] = await ui.find(`${ofBatch} AND VideoOutcome="failed"`, 1);
    expect(failure).toContain(itemRun(2));
  });

  test.each([
    { by: 'task id', query: async () => `VideoTaskId="${await taskOf(runs.running)}"`, found: ['running'] },
    { by: 'tenant', query: () => 'VideoTenant="studio-a"', found: ['completed'] },
    { by: 'label', query: () => 'VideoLabels="film=harbour"', found: ['completed'] },
    { by: 'outcome', query: () => 'VideoOutcome="cancelled"', found: ['cancelled'] },
    { by: 'error code', query: () => 'VideoErrorCode="DataInspectionFailed"', found: ['failed'] },
    {
      by: 'what needs a person',
      query: () => `VideoOutcome="needs_attention" AND WorkflowId="${runs.parked.id}"`,
      found: ['parked'],
    },
  ] as const)('a run is found by $by', async ({ query, found }) => {
    const rows = await ui.find(await query(), found.length);
    for (const [n, run] of found.entries()) expect(rows[n]).toContain(runs[run].id);
  });

  test('the list distinguishes the runs by outcome, error code and tenant', async () => {
    // Two of them are parked.
    const rows = (await ui.find('WorkflowType="videoGenerate" AND VideoBatchId IS NULL', 6, 'list')).join('\n');
    for (const text of ['generated', 'failed', 'cancelled', 'needs_attention', 'DataInspectionFailed', 'studio-b']) {
      expect(rows).toContain(text);
    }
  });
});
