import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { WanBatchClient } from '../../src/client/batch-client.js';
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
  const runs: Record<'parked' | 'running' | 'batch', Run> = { parked: NONE, running: NONE, batch: NONE };

  beforeAll(async () => {
    stack = await startStack({ ui: true, settings: { speed: 20, slots: 20 }, times: QUICK_LEDGER });
    const { client, store, config, emulator, videos } = stack;
    const reaches = ({ id }: Run, stage: string) =>
      vi.waitUntil(async () => (await videos.progress(id)).stage === stage, { timeout: 60_000, interval: 100 });
    // Two runs whose lost replies cannot be matched to one task each: both are parked.
    emulator.queueFaults({ on: 'submit', fault: 'drop-reply', match: 'storm', times: 2 });
    const storm = stack.request('A storm over the harbour');
    const file = join(stack.outputDir, 'other.bmp');
    await writeTestImage(file, { width: 1280, height: 720 });
    const other = `asset:${(await stageImage(file, store)).asset.key}`;
    const twins = await Promise.all([videos.start(storm), videos.start({ ...storm, reference_image: other })]);
    runs.parked = twins[0];
    await Promise.all(twins.map((run) => reaches(run, 'needs_attention')));
    // What starts from here on renders for as long as the test lasts.
    emulator.changeSettings({ render_seconds: 100_000 });
    runs.running = await videos.start({ ...stack.request('Gulls circle above the pier'), duration: 15 });
    const batches = new WanBatchClient({ client, store, taskQueue: config.taskQueues.generate });
    const lines = [{ ...stack.request('Boats rock in the breeze'), item_id: 'boats' }];
    const { id } = await batches.start({ lines }, { id: 'harbour', window: 2 });
    runs.batch = { id, runId: (await client.workflow.getHandle(id).describe()).runId };
    await reaches(runs.running, 'rendering');
    ui = await WebUi.open(chromium ?? '', stack.uiUrl ?? '');
  });
  afterAll(async () => {
    await ui?.close();
    await stack?.close();
  });

  const pause = expect.objectContaining({ reason: 'by hand' });
  test.each<[keyof typeof runs, string, object | undefined, object]>([
    ['batch', 'pause', { reason: 'by hand' }, { answer: { pause, window: 2 } }],
    ['batch', 'resume', undefined, { answer: { pause: null, window: 2 } }],
    ['batch', 'setWindow', { window: 3 }, { answer: { pause: null, window: 3 } }],
    ['batch', 'setWindow', { window: 0 }, { refused: expect.stringContaining('a whole number from 1 to 500') }],
    ['running', 'resolveSubmit', { buy_again: true }, { refused: 'The run waits for no decision' }],
    ['parked', 'resolveSubmit', { task_id: 7 }, { refused: expect.stringContaining('names no task') }],
    ['parked', 'resolveSubmit', { buy_again: true }, { answer: { decision: { buy_again: true }, task_id: null } }],
    ['running', 'cancel', { reason: 'by hand' }, { answer: { billed: null, reason: 'by hand' } }],
  ])(
    'an operator who sends an Update reads the answer, or why it is refused: %s %s %o',
    async (which, name, data, expected) => {
      const ended = name === 'cancel' ? () => stack.videos.result(runs[which].id).catch(() => undefined) : undefined;
      expect(await ui.sendUpdate(runs[which], name, data, ended)).toMatchObject(expected);
    },
  );
});
