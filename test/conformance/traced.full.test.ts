import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Worker } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WanBatchClient } from '../../src/client/batch-client.js';
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from '../support/otlp-receiver.js';
import { startWorkerProcess, type WorkerProcess } from '../support/processes.js';
import { findPython, PYTHON_PART } from '../support/python.js';
import { BUNDLE, ROOT, type Stack, startStack, TEST_KEY } from '../support/stack.js';
import { tracedBundle } from '../support/traced-bundle.js';

// One trace through every process, at a receiver that decodes what is sent.

const python = await findPython('opentelemetry.exporter.otlp');
if (python === undefined) console.warn(`The test of the traced Python caller is skipped: ${PYTHON_PART}`);

let stack: Stack;
let receiver: OtlpReceiver;
const running = new Set<ChildProcess>();
beforeAll(async () => {
  receiver = await startOtlpReceiver();
  stack = await startStack({ settings: { speed: 4 }, worker: false });
});
afterAll(async () => {
  for (const child of running) child.kill('SIGKILL');
  await stack?.close();
  await receiver?.close();
});

// The shipped heartbeat time-out of 30 s, shortened, as in test/e2e/worker-kill.test.ts.
const times = { heartbeatTimeoutMs: 2_000, heartbeatThrottleMs: 500 };

const startTraced = async (service: string, onLog?: (text: string) => void): Promise<WorkerProcess> => {
  const worker = await startWorkerProcess(stack, times, {
    env: {
      OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint,
      OTEL_BSP_SCHEDULE_DELAY: '50',
      OTEL_SERVICE_NAME: service,
      ...(onLog && { LOG_LEVEL: 'debug', LOG_FORMAT: 'json' }),
    },
    ...(onLog && { onLog }),
  });
  running.add(worker.process);
  return worker;
};

const spansOf = (traceId: string) => receiver.spans.filter((span) => span.traceId === traceId);
const named = (spans: readonly ReceivedSpan[], name: string) => spans.filter((span) => span.name === name);
/** Names from a span up to its root. */
const ancestry = (spans: readonly ReceivedSpan[], from: ReceivedSpan | undefined): string[] => {
  if (from === undefined) return [];
  return [
    from.name,
    ...ancestry(
      spans,
      spans.find(({ spanId }) => spanId === from.parentSpanId),
    ),
  ];
};

/** Whether a history replays on workflow code that traces, and on code that does not. */
async function expectReplays(workflowId: string): Promise<void> {
  const history = await stack.client.workflow.getHandle(workflowId).fetchHistory();
  for (const code of [readFileSync(BUNDLE, 'utf8'), await tracedBundle()]) {
    await Worker.runReplayHistory({ workflowBundle: { code } }, history, workflowId);
  }
}

describe.skipIf(python === undefined)('a caller in Python', () => {
  test('has one trace to the POST and on to the archive, although the worker was killed in between', async () => {
    const prompt = `a secret prompt ${randomUUID()}`;
    const log: string[] = [];
    const first = await startTraced('first');
    const caller = spawn(
      python ?? '',
      [join(ROOT, 'docs', 'examples', 'traced_from_python.py'), JSON.stringify(stack.request(prompt))],
      {
        env: {
          PATH: process.env['PATH'],
          TEMPORAL_ADDRESS: stack.env['TEMPORAL_ADDRESS'],
          OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint,
          NO_PROXY: '127.0.0.1',
        },
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    running.add(caller);
    const lines = createInterface({ input: caller.stdout })[Symbol.asyncIterator]();
    const { id, trace_id: traceId } = JSON.parse((await lines.next()).value) as { id: string; trace_id: string };
    const submits = () => named(spansOf(traceId), 'provider submit');
    // By then the spans of the submit have been sent: a killed process takes those of its last moments with it.
    await expect.poll(() => named(spansOf(traceId), 'provider query').length, { timeout: 60_000 }).toBeGreaterThan(0);
    await first.end('SIGKILL');
    await startTraced('second', (text) => log.push(text));
    const ended = once(caller, 'close');
    const result = JSON.parse((await lines.next()).value) as { task_id: string };
    expect(await ended).toEqual([0, null]);
    await expect.poll(() => named(spansOf(traceId), 'RunWorkflow:videoGenerate').length).toBe(1);
    await expect.poll(() => named(spansOf(traceId), 'order').length).toBe(1);

    const spans = spansOf(traceId);
    const [submit] = submits();
    const toCaller = ['RunWorkflow:videoGenerate', 'StartWorkflow:videoGenerate', 'order'];
    expect(ancestry(spans, submit)).toEqual([
      'provider submit',
      'RunActivity:submitTask',
      'StartActivity:submitTask',
      ...toCaller,
    ]);
    expect(submit?.attributes).toMatchObject({
      'wan_video.operation': 'submit',
      'wan_video.model': 'wan2.6-i2v-flash',
      'wan_video.task_id': result.task_id,
      'wan_video.outcome': 'accepted',
    });
    expect(submit?.resource).toMatchObject({ 'service.name': 'first' });
    const download = named(spans, 'provider download').at(-1);
    expect(download?.resource).toMatchObject({ 'service.name': 'second' });
    expect(ancestry(spans, download)).toEqual([
      'provider download',
      'RunActivity:pollTask',
      'StartActivity:pollTask',
      ...toCaller,
    ]);
    const queries = named(spans, 'provider query');
    expect(queries.at(-1)?.attributes).toMatchObject({
      'wan_video.task_id': result.task_id,
      'wan_video.outcome': 'ok',
    });
    // Bought once, and everything has a parent in the trace but what the killed worker had not sent yet.
    expect(stack.emulator.state().tasks.filter((task) => task.prompt === prompt)).toHaveLength(1);
    const ids = new Set(spans.map(({ spanId }) => spanId));
    expect(
      spans
        .filter(({ name, parentSpanId }) => name !== 'order' && !ids.has(parentSpanId))
        .map(({ name, resource }) => `${resource['service.name']}: ${name}`)
        .filter((name) => !name.startsWith('first: ')),
    ).toEqual([]);
    // What belongs to all runs is in nobody's trace.
    expect(spans.filter(({ name }) => /RunWorkflow:(accountSlots|sweepPurchases|keepSlotsPage)/.test(name))).toEqual(
      [],
    );
    const text = receiver.text();
    for (const secret of [prompt, TEST_KEY, stack.emulator.baseUrl, 'http://', 'oss://', 'Signature']) {
      expect(text.includes(secret), secret).toBe(false);
    }
    // All that is logged of it, by its steps and by the run itself.
    const logged = () =>
      log
        .join('')
        .split('\n')
        .filter((line) => line.includes(`"trace_id":"${traceId}"`))
        .join('\n');
    await expect.poll(logged).toMatch(/"msg":"Activity completed"/);
    await expect.poll(logged).toMatch(/"msg":"Workflow completed"/);
    await expectReplays(id);
  }, 180_000);
});

test('each item of a batch has a trace of its own, linked with the batch in both directions', async () => {
  await startTraced('batch');
  const { client, store, config } = stack;
  const batches = new WanBatchClient({ client, store, taskQueue: config.taskQueues.generate });
  const lines = [1, 2].map((n) => stack.request(`item ${n} ${randomUUID()}`));
  const { batch_id, id } = await batches.start({ lines });
  await batches.result(batch_id);
  await expect.poll(() => named(receiver.spans, 'RunWorkflow:videoBatch').length).toBe(1);
  const [batch] = named(receiver.spans, 'RunWorkflow:videoBatch');
  const starts = named(receiver.spans, 'StartChildWorkflow:videoGenerate').filter(
    ({ traceId }) => traceId === batch?.traceId,
  );
  const items = named(receiver.spans, 'BatchItem');
  expect([starts.length, items.length]).toEqual([2, 2]);
  expect(new Set([batch, ...items].map((span) => span?.traceId)).size).toBe(3);
  for (const item of items) {
    expect(item.parentSpanId).toBe('');
    const start = starts.find(({ spanId }) => spanId === item.links[0]?.spanId);
    expect(start?.links).toEqual([{ traceId: item.traceId, spanId: item.spanId }]);
    expect(ancestry(spansOf(item.traceId), named(spansOf(item.traceId), 'provider submit')[0])).toEqual([
      'provider submit',
      'RunActivity:submitTask',
      'StartActivity:submitTask',
      'RunWorkflow:videoGenerate',
      'BatchItem',
    ]);
  }
  await expectReplays(id);
}, 120_000);
