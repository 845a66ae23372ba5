// What a worker needs to take over the account's slots, by how many requests wait: CPU time of taking in the queue and
// replaying 4,000 messages in Temporal's sandbox, without a server.
//   node bench/slots-replay.mjs [--json FILE]
// Exit code 1: it takes more than a quarter of the ten seconds of a workflow task.
import '../scripts/require-node.mjs';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { defaultPayloadConverter } from '@temporalio/common';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { STEP_TIMES } from '../dist/src/contract/times.js';
import { packQueue } from '../dist/workflows/slots/carried-queue.js';
import { WaitingQueue } from '../dist/workflows/slots/waiting-queue.js';

const { values } = parseArgs({ options: { json: { type: 'string' } } });
const MESSAGES = 4_000;
const CPU_MS_MAX = 2_500;
const bundle = { codePath: fileURLToPath(new URL('../dist/workflow-bundle.js', import.meta.url)) };
const AT = '2026-11-30T10:00:00Z';

/** A replay whose workflow task fails ends without an error; only the log says so. */
let failed;
const onLog = ({ message }) => {
  if (message.includes('Failing workflow task')) failed = message;
};
Runtime.install({
  logger: new DefaultLogger('WARN', onLog),
  telemetryOptions: { logging: { forward: {}, filter: 'WARN' } },
});

const base64 = (bytes) => Buffer.from(bytes).toString('base64');
function payload(value) {
  const { metadata, data } = defaultPayloadConverter.toPayload(value);
  return { metadata: { encoding: base64(metadata.encoding) }, data: base64(data) };
}

const requestOf = (at) => ({
  key: at.toString(16).padStart(64, '0'),
  afterPurchase: 0,
  tenant: `tenant-${at % 1_000}`,
  batch: `batch-${at % 3}`,
  priority: 'batch',
});

/** The history of slots that take over a queue, and find that many messages. */
function historyOf(waiting, messages) {
  const queue = new WaitingQueue();
  for (let at = 0; at < waiting; at += 1) {
    const request = requestOf(at);
    const notified = { position: at + 1, isProvisional: false, isDue: false };
    queue.add({ ...request, requesters: [`video/${request.key}`], sinceMs: 0, notified });
  }
  const state = { limit: 5, holders: [], budget: null, spending: null, unsettled: [] };
  const none = { due: [], keepers: [], backlog: [], spendingReadAtMs: 0, ignoredSignals: 0 };
  const input = { limit: 5, times: STEP_TIMES, carried: { state, ...none, auditedAtMs: Date.parse(AT) } };
  // One page of any size: the bounds of Temporal's server do not hold here.
  const [page = new Uint8Array()] = packQueue(queue, Number.POSITIVE_INFINITY);
  const events = [];
  const add = (type, attributes) => {
    const words = type.toLowerCase().split('_');
    const name = words.map((word, at) => (at === 0 ? word : word[0].toUpperCase() + word.slice(1))).join('');
    const eventId = `${events.length + 1}`;
    events.push({ eventId, eventTime: AT, eventType: `EVENT_TYPE_${type}`, [`${name}EventAttributes`]: attributes });
  };
  add('WORKFLOW_EXECUTION_STARTED', {
    workflowType: { name: 'accountSlots' },
    taskQueue: { name: 'queue' },
    input: { payloads: [payload(input), payload(page)] },
    firstExecutionRunId: 'run',
    originalExecutionRunId: 'run',
    attempt: 1,
    workflowTaskTimeout: '10s',
  });
  for (let at = 0; at < messages; at += 1) {
    const request = requestOf(waiting + at);
    const message = { ...request, requesterId: `video/${request.key}`, limit: 5 };
    add('WORKFLOW_EXECUTION_SIGNALED', { signalName: 'requestSlot', input: { payloads: [payload(message)] } });
  }
  add('WORKFLOW_TASK_SCHEDULED', { taskQueue: { name: 'queue' }, startToCloseTimeout: '10s', attempt: 1 });
  add('WORKFLOW_TASK_STARTED', { scheduledEventId: `${events.length}`, requestId: 'request' });
  return { events };
}

/** Milliseconds of CPU. */
async function replay(waiting, messages) {
  const history = historyOf(waiting, messages);
  const before = process.cpuUsage();
  await Worker.runReplayHistory({ workflowBundle: bundle }, history, 'slots/provider/account');
  if (failed !== undefined) throw new Error(failed);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000;
}

await replay(0, 100); // compiles everything
const rows = [];
for (const waiting of [0, 1_000, 10_000, 50_000]) {
  const row = { waiting, take_over_ms: await replay(waiting, 0), replay_ms: await replay(waiting, MESSAGES) };
  rows.push(row);
  const shown = Object.entries(row).map(([name, value]) => `${name} ${Math.round(value)}`);
  process.stdout.write(`${shown.join(', ')}\n`);
}
const most = Math.max(...rows.map(({ replay_ms }) => replay_ms));
const held = most <= CPU_MS_MAX;
process.stdout.write(`${held ? 'held' : 'NOT HELD'}: ${MESSAGES} messages take ${Math.round(most)} ms of CPU\n`);
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify({ rows }, null, 2)}\n`);
process.exit(held ? 0 : 1);
