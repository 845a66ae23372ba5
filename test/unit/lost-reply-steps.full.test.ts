import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MockActivityEnvironment } from '@temporalio/testing';
import { expect, onTestFinished, test } from 'vitest';
import { type ActivityDeps, createActivities } from '../../activities/index.js';
import { systemClock } from '../../src/async/clock.js';
import { DEFAULT_TIMES } from '../../src/config/times.js';
import { DashScopeClient } from '../../src/dashscope/client.js';
import type { DriftChange } from '../../src/emulator/index.js';
import { startEmulator } from '../../src/emulator/server.js';
import { Ledger } from '../../src/ledger/ledger.js';
import { RecentImages } from '../../src/media/recent-images.js';
import { stageImage } from '../../src/media/stage-image.js';
import { ResultLinks } from '../../src/polling/result-links.js';
import { MemoryStore } from '../property/memory-store.js';
import { QUICK_LEDGER } from '../support/quick-times.js';
import { ROOT } from '../support/root.js';
import { turned } from './image-samples.js';

const HOUR_MS = 3_600_000;

/** The steps of one run, whose submit's reply is lost, against an emulator: what the provider has and what they say. */
async function loseReply({ orientation = 1, list = [] as DriftChange[], times = null as number | null } = {}) {
  const rules = list.length === 0 ? [] : [{ on: 'list' as const, changes: list, ...(times !== null && { times }) }];
  const emulator = await startEmulator({ settings: { speed: 1_000, drift: rules } });
  onTestFinished(() => emulator.close());
  const spoolDir = await mkdtemp(join(tmpdir(), 'wan-video-lost-'));
  onTestFinished(() => rm(spoolDir, { recursive: true, force: true }));
  const store = new MemoryStore();
  const photo = await readFile(join(ROOT, 'assets', 'sample.jpg'));
  const staged = await stageImage(orientation === 1 ? photo : turned(photo, orientation), store);
  const steps = createActivities({
    dashscope: new DashScopeClient({ baseUrl: emulator.baseUrl, apiKey: async () => 'sk-test' }),
    providerBaseUrl: emulator.baseUrl,
    store,
    storeId: 'one',
    ledger: new Ledger({ store, scope: { provider: 'emulator', account: 'default' }, now: Date.now }),
    links: new ResultLinks(),
    images: new RecentImages(),
    allowPrivateUrls: ['127.0.0.1'],
    spoolDir,
    publicBaseUrl: undefined,
    times: { ...DEFAULT_TIMES, ...QUICK_LEDGER },
    clock: systemClock,
    knowsAttributes: async () => true,
    slots: { workflowId: 'slots', budget: undefined, requestSlot: async () => {}, releaseSlot: async () => {} },
    metrics: { detected: () => undefined, outcomeUnknown: () => undefined, undecided: () => undefined },
  } as unknown as ActivityDeps);
  const info = { workflowExecution: { workflowId: 'w', runId: 'r' }, attempt: 1 };
  const run = <I, O>(step: (input: I) => Promise<O>, input: I): Promise<O> =>
    new MockActivityEnvironment(info).run(step as never, input) as Promise<O>;
  const request = {
    prompt: 'a boat',
    duration: 4,
    fps: 24,
    size: '1280*720',
    reference_image: `asset:${staged.asset.key}`,
  };
  const buyer = { workflowId: 'w', firstRunId: 'r' };
  const prepared = await run(steps.prepareRequest, { request, buyer, startedAtMs: 0, batchId: null });
  if (prepared.cached !== null) throw new Error('cached');
  const input = { prepared, unrestorable: [] };
  const ready = await run(steps.uploadReference, input);
  if (ready.kind !== 'requested') throw new Error(ready.kind);
  emulator.queueFaults({ on: 'submit', fault: 'drop-reply' });
  const { imgUrl, slot } = ready;
  const step = await run(steps.submitTask, { ...input, imgUrl, afterPurchase: slot.afterPurchase });
  if (step.kind !== 'unknown') throw new Error(step.kind);
  const end = await run(steps.reconcileSubmit, { purchase: step.purchase });
  return { end, tasks: emulator.state().tasks.map(({ task_id }) => task_id) };
}

test("a phone's portrait photo whose reply was lost is found: one purchase", async () => {
  const { end, tasks } = await loseReply({ orientation: 6 });
  expect(tasks).toHaveLength(1);
  expect(end).toMatchObject({ kind: 'task', task: { taskId: tasks[0] } });
});

const NO_ROWS: DriftChange[] = [
  { kind: 'set', path: 'data', value: [] },
  { kind: 'set', path: 'total', value: 0 },
  { kind: 'set', path: 'total_page', value: 0 },
];

test.each<[string, DriftChange[], number | null]>([
  ['with the time of UTC+8', [{ kind: 'shift', path: 'data[*].gmt_create', by: 8 * HOUR_MS }], null],
  ['with one time', [{ kind: 'set', path: 'data[*].gmt_create', value: '2026-01-01 00:00:00' }], null],
  ['with a version', [{ kind: 'set', path: 'data[*].model_name', value: 'wan2.6-i2v-flash-2026-01-15' }], null],
  ['empty with a code at first', [{ kind: 'set', path: 'code', value: 'InternalError' }, ...NO_ROWS], 12],
  ['empty with a message at first', [{ kind: 'set', path: 'message', value: 'it timed out' }, ...NO_ROWS], 12],
])('a lost reply is found in a list %s', async (_what, list, times) => {
  const { end, tasks } = await loseReply({ list, times });
  expect(tasks).toHaveLength(1);
  expect(end).toMatchObject({ kind: 'task', task: { taskId: tasks[0] } });
});
