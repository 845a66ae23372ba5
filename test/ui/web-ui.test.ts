import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { stageImageFile } from '../../src/media/stage-image.js';
import { findPart, partIsMissing } from '../structure/parts.js';
import { writeTestImage } from '../support/images.js';
import { QUICK_LEDGER } from '../support/quick-times.js';
import { type Stack, startStack } from '../support/stack.js';
import { type Run, WebUi } from './web-ui.js';

const chromium = process.env['CHROMIUM_PATH'] || findPart('chromium');
if (chromium === undefined) partIsMissing('Chromium', 'scripts/parts/chromium.sh installs it, or set CHROMIUM_PATH');

describe.skipIf(chromium === undefined)("in Temporal's Web UI", () => {
  let stack: Stack;
  let ui: WebUi;
  const NONE: Run = { id: '', runId: '' };
  const runs = { completed: NONE, failed: NONE, parked: NONE, cancelled: NONE, running: NONE };
  const taskOf = async ({ id }: Run) => (await stack.videos.progress(id)).task_id ?? '';

  beforeAll(async () => {
    stack = await startStack({
      ui: true,
      settings: { speed: 20, slots: 20 },
      times: QUICK_LEDGER,
      env: { ASSET_PUBLIC_BASE_URL: 'https://videos.example.com' },
    });
    const start = (request: Parameters<Stack['videos']['start']>[0]) => stack.videos.start(request);
    const reaches = ({ id }: Run, stage: string) =>
      vi.waitUntil(async () => (await stack.videos.progress(id)).stage === stage, { timeout: 60_000, interval: 100 });

    stack.emulator.faults([
      { on: 'submit', fault: 'task-failed', code: 'DataInspectionFailed', match: 'crowd' },
      { on: 'submit', fault: 'drop-reply', match: 'storm', times: 2 },
    ]);
    runs.completed = await start({
      ...stack.request('Waves roll towards a lighthouse at dawn, the camera rises slowly'),
      ...{ tenant: 'studio-a', labels: { film: 'harbour', shot: '12' } },
    });
    runs.failed = await start({ ...stack.request('A crowd cheers in the harbour'), tenant: 'studio-b' });
    // Two runs whose lost replies nothing tells apart: both are parked.
    const storm = stack.request('A storm over the harbour, lightning in the distance');
    const file = join(stack.outputDir, 'other.bmp');
    await writeTestImage(file, { width: 1280, height: 720 });
    const other = `asset:${(await stageImageFile(file, stack.store)).asset.key}`;
    const twins = await Promise.all([start(storm), start({ ...storm, reference_image: other })]);
    runs.parked = twins[0];
    await Promise.all([
      stack.videos.result(runs.completed.id),
      stack.videos.result(runs.failed.id).catch(() => undefined),
      ...twins.map((run) => reaches(run, 'needs_attention')),
    ]);
    // What starts from here on renders for as long as the test lasts.
    stack.emulator.settings({ render_seconds: 100_000 });
    runs.cancelled = await start(stack.request('A fishing boat leaves the harbour'));
    runs.running = await start({ ...stack.request('Gulls circle above the pier'), duration: 15 });
    await Promise.all([runs.cancelled, runs.running].map((run) => reaches(run, 'rendering')));
    await stack.videos.cancel(runs.cancelled.id, 'wrong picture');
    await stack.videos.result(runs.cancelled.id).catch(() => undefined);
    ui = await WebUi.open(chromium ?? '', stack.uiUrl ?? '');
  });
  afterAll(async () => {
    await ui?.close();
    await stack?.close();
  });

  test('a completed run says where its video is and what it was made from', async () => {
    const taskId = await taskOf(runs.completed);
    const run = await ui.read(runs.completed, 'completed');
    expect(run.status).toMatch(/completed/i);
    expect(run.summary).toBe('4 s 1280*720: Waves roll towards a lighthouse at dawn, the camera rises slowly');
    expect(run.details).toMatch(/tenant: studio-a[\s\S]*label film: harbour/);
    expect(run.currentDetails).toMatch(/^done\n/);
    expect(run.currentDetails).toContain(`https://videos.example.com/videos/${taskId}.mp4`);
    expect(run.currentDetails).toContain('4 s, 1280x720, generated, 4 s billed');
    for (const value of ['generated', taskId, 'studio-a', 'film=harbour']) {
      expect(run.searchAttributes).toContain(`"${value}"`);
    }
  });

  test('the timeline of a run names each step and its task', async () => {
    const taskId = await taskOf(runs.completed);
    const text = await ui.timeline(runs.completed, `archiveVideo • task ${taskId}`, 'timeline');
    for (const step of ['check the request and its image', 'bring the image to the provider', 'buy one task']) {
      expect(text).toContain(step);
    }
  });

  test('a failed run says why, whether it is billed and what to do', async () => {
    const run = await ui.read(runs.failed, 'failed');
    expect(run.status).toMatch(/failed/i);
    expect(run.currentDetails).toMatch(/^failed\n/);
    expect(run.currentDetails).toMatch(/ContentRejected: .*DataInspectionFailed/);
    expect(run.currentDetails).toContain('Nothing is billed.');
    expect(run.currentDetails).toMatch(/next: .*prompt/);
    expect(run.searchAttributes).toContain('"DataInspectionFailed"');
  });

  test('a cancelled run says what became of its task, what is billed and why', async () => {
    const run = await ui.read(runs.cancelled, 'cancelled');
    expect(run.status).toMatch(/cancel/i);
    expect(run.currentDetails).toContain(
      `Task ${await taskOf(runs.cancelled)} had started; it is billed if it succeeds`,
    );
    expect(run.currentDetails).toMatch(/salvage\/\S+ archives its video/);
    expect(run.currentDetails).toContain('reason: wrong picture');
    expect(run.searchAttributes).toContain('"cancelled"');
  });

  test('a parked run shows the evidence and the command that decides', async () => {
    const run = await ui.read(runs.parked, 'needs-attention');
    expect(run.status).toMatch(/running/i);
    expect(run.currentDetails).toMatch(/^needs_attention\n/);
    expect(run.currentDetails.match(/candidate /g)).toHaveLength(2);
    expect(run.currentDetails).toContain(`wan-video resolve ${runs.parked.id} --task T`);
    expect(run.searchAttributes).toContain('"needs_attention"');
  });

  test('a running run says its stage, its task and what it waits for', async () => {
    const taskId = await taskOf(runs.running);
    const run = await ui.read(runs.running, 'running');
    expect(run.status).toMatch(/running/i);
    expect(run.summary).toBe('15 s 1280*720: Gulls circle above the pier');
    expect(run.currentDetails).toMatch(/^rendering\n\s*waiting for the provider to finish the task/);
    expect(run.currentDetails).toContain(taskId);
    expect(run.searchAttributes).toContain(`"${taskId}"`);
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

  test('the list tells the runs apart by outcome, error code and tenant', async () => {
    // Two parked runs, and the salvage of the cancelled one besides the four.
    const rows = (await ui.find('WorkflowType="videoGenerate"', 6, 'list')).join('\n');
    for (const text of ['generated', 'failed', 'cancelled', 'needs_attention', 'DataInspectionFailed', 'studio-b']) {
      expect(rows).toContain(text);
    }
  });
});
