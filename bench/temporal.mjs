// What a generation costs through Temporal: real server, real worker processes, emulators behind recorders, one run:
//   node bench/temporal.mjs [--only overhead,overhead-s3,throughput,memory,actions,workers,batch] [--full] [--runs 30]
//       [--polls 10,100,500] [--throughput-in-flight 50] [--seconds 180]
//                           [--in-flight 100] [--fleet 150] [--items 60] [--batch-seconds 30] [--json FILE]
// Needs the build (dist/). `actions`, `workers` and `batch` are real time and mostly wait, so they run side by side;
// the others come before them, alone, one after the other. Exit code 1: a bound is not kept.
import '../scripts/require-node.mjs';
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { WanBatchClient } from '../dist/src/client/batch-client.js';
import { slotsWorkflowId } from '../dist/src/contract/names.js';
import { DashScopeClient } from '../dist/src/dashscope/client.js';
import { Ledger } from '../dist/src/ledger/ledger.js';
import { openStore } from '../dist/src/storage/open-store.js';
import { actionsOf } from './actions.mjs';
import { busiestSecond, cpuMsOf, figuresOf, median } from './figures.mjs';
import { generate, measureOwnTime, WARM_UP } from './own-time.mjs';
import { IMAGE, PROMPT, SCOPE } from './plan.mjs';
import { startSlowS3 } from './s3.mjs';
import { slotsBusy } from './slots-busy.mjs';
import { ask, at, startStack } from './stack.mjs';

const QUIET = ['overhead', 'overhead-s3', 'throughput', 'memory'];
const SIDE_BY_SIDE = ['actions', 'workers', 'batch'];
const { values } = parseArgs({
  options: {
    only: { type: 'string', default: [...QUIET, ...SIDE_BY_SIDE].join(',') },
    full: { type: 'boolean', default: false },
    runs: { type: 'string', default: '30' },
    polls: { type: 'string', default: '10,100,500' },
    'throughput-in-flight': { type: 'string' },
    seconds: { type: 'string', default: '180' },
    'in-flight': { type: 'string', default: '100' },
    fleet: { type: 'string' },
    items: { type: 'string', default: '60' },
    'batch-seconds': { type: 'string', default: '30' },
    json: { type: 'string' },
  },
});
const [runs, seconds, inFlight, items, batchSeconds] = [
  ...[values.runs, values.seconds, values['in-flight'], values.items, values['batch-seconds']].map(Number),
];
const fleetRuns = Number(values.fleet ?? (values.full ? 300 : 150));
const only = values.only.split(',');
const unknown = only.filter((name) => ![...QUIET, ...SIDE_BY_SIDE].includes(name));
if (unknown.length > 0) throw new Error(`--only: there is no ${unknown.join(', ')}`);

const KIB = 1024;
const ACCOUNT_SLOTS = 5;
/** The shipped `WAN_VIDEO_QUERY_RATE` of each worker. */
const BUDGET = 10;
/** Own time of a generation, as a multiple of the plain workflow's, on a local store and on S3. */
const OWN_TIME_MOST = 1.4;
const OWN_TIME_S3_MOST = 2;
/** Runs of which the history is read after a measurement of throughput. */
const SAMPLED = 40;
/** What a request to an S3 server in the same region takes at least. */
const S3_LATENCY_MS = 10;
/**
 * As in the image (`Dockerfile`): without it glibc keeps what a burst of starts has used, some 200 KiB for each of
 * them.
 */
const MALLOC = { MALLOC_ARENA_MAX: '2', MALLOC_TRIM_THRESHOLD_: '131072', MALLOC_MMAP_THRESHOLD_: '131072' };
const rows = [];

/** Prints a figure; one with `most` or `least` is judged. */
function show(cell, what, value, { unit = '', digits = 0, most, least, note = '' } = {}) {
  const held = (most === undefined || value <= most) && (least === undefined || value >= least);
  rows.push({ cell, what, value, unit, most, least, held, note });
  const bound = most !== undefined ? `at most ${most}` : least !== undefined ? `at least ${least}` : '';
  const judged = bound === '' ? '' : held ? `${bound}: held` : `${bound}: NOT HELD`;
  const text = `${cell.padEnd(9)} ${what.padEnd(58)} ${value.toFixed(digits).padStart(8)} ${unit.padEnd(5)} ${judged}`;
  process.stdout.write(`${text}${note === '' ? '' : `   (${note})`}\n`);
}

/** Alternately a generation and the plain workflow, which does the same real work; on one store. */
async function overhead(stack, cell, { store, most }) {
  const product = await stack.product(cell, store?.env);
  const worker = await product.startWorker(`sk-${cell}`);
  const plain = await stack.plain(cell, { key: `sk-${cell}`, store });
  const storeRequests = () => store?.counter.requests ?? 0;
  /** One run of either, and what it asked others. */
  const measured = async (run) => {
    const before = storeRequests();
    const { ownMs, id, shownAtMs, transfers } = await measureOwnTime(stack, cell, run);
    const events = await stack.events(id);
    return {
      ownMs,
      events: events.length,
      stored: storeRequests() - before,
      steps: stepsOf(events, shownAtMs, transfers),
    };
  };
  const generation = () => measured(() => generate(product));
  const byHand = () => measured(() => plain.generate(randomUUID()));
  for (let i = 0; i < WARM_UP; i += 1) {
    await generation();
    await byHand();
  }
  const [ours, theirs] = [[], []];
  for (let i = 0; i < runs; i += 1) {
    ours.push(await generation());
    theirs.push(await byHand());
  }
  const ofBoth = (what, of, options) => {
    for (const [whose, list] of [
      ['plain workflow', theirs],
      ['generation', ours],
    ]) {
      show(cell, `${whose}: ${what}, median`, median(list.map(of)), options);
    }
  };
  ofBoth('own time', ({ ownMs }) => ownMs, { unit: 'ms' });
  ofBoth('events', ({ events }) => events);
  if (store !== undefined) ofBoth('requests to the store', ({ stored }) => stored);
  const own = (list) => median(list.map(({ ownMs }) => ownMs));
  show(cell, 'own time of a generation by the plain workflow', own(ours) / own(theirs), { digits: 2, unit: 'x', most });
  for (const step of ours[0].steps.keys()) {
    show(cell, `of that, ${step}`, median(ours.map(({ steps }) => steps.get(step))), { unit: 'ms' });
  }
  for (const child of [worker, plain.worker]) child.kill('SIGKILL');
}

/** Generations at the emulator's top speed with so many in flight, and the plain workflow likewise. */
async function throughput(stack) {
  const product = await stack.product('throughput', {
    WAN_VIDEO_MAX_RUNNING: '1000',
    WAN_VIDEO_SUBMIT_RATE: '1000',
    WAN_VIDEO_QUERY_RATE: '1000',
  });
  const worker = await product.startWorker('sk-throughput');
  const plain = await stack.plain('throughput', { key: 'sk-throughput' });
  const kinds = [
    ['plain workflow', plain.worker, () => plain.generate(randomUUID())],
    ['generation', worker, () => generate(product)],
  ];
  const perMinute = new Map();
  const counts = values['throughput-in-flight'] ?? (values.full ? '50,200,500' : '50');
  for (const count of counts.split(',').map(Number)) {
    for (const [whose, child, run] of kinds) {
      await Promise.all(Array.from({ length: 20 }, run)); // compiled, and the render times learned
      const [cpuBefore, startedMs] = [cpuMsOf(child), performance.now()];
      const total = Math.max(300, 2 * count);
      const [tookMs, ids] = [[], []];
      let begun = 0;
      const lane = async () => {
        while (begun < total) {
          begun += 1;
          const fromMs = performance.now();
          ids.push(await run());
          tookMs.push(performance.now() - fromMs);
        }
      };
      await Promise.all(Array.from({ length: count }, lane));
      const minutes = (performance.now() - startedMs) / 60_000;
      const sorted = tookMs.toSorted((a, b) => a - b);
      const [p50, p95] = [0.5, 0.95].map((q) => sorted[Math.floor(q * (sorted.length - 1))]);
      perMinute.set(`${whose} ${count}`, { rate: total / minutes, cpuMs: (cpuMsOf(child) - cpuBefore) / total });
      show('throughput', `${whose}, ${count} in flight`, total / minutes, { unit: '/min' });
      show('throughput', `${whose}, ${count} in flight: p95 by p50`, p95 / p50, {
        digits: 2,
        unit: 'x',
        note: `p50 ${(p50 / 1000).toFixed(1)} s`,
      });
      const sample = ids.slice(-SAMPLED);
      const histories = await Promise.all(sample.map((id) => stack.events(id)));
      const timedOut = histories.flat().filter((event) => event.workflowTaskTimedOutEventAttributes != null);
      show(
        'throughput',
        `${whose}, ${count} in flight: events, median`,
        median(histories.map(({ length }) => length)),
        {
          note: `${timedOut.length} workflow tasks of ${sample.length} runs timed out`,
        },
      );
    }
    const [ours, theirs] = ['generation', 'plain workflow'].map((whose) => perMinute.get(`${whose} ${count}`));
    show('throughput', `${count} in flight: CPU of a generation by the plain workflow's`, ours.cpuMs / theirs.cpuMs, {
      digits: 2,
      unit: 'x',
      note: `${ours.cpuMs.toFixed(0)} ms by ${theirs.cpuMs.toFixed(0)} ms`,
    });
  }
}

/**
 * Where a generation's own time went, in milliseconds: each step from its start to its end, and the workflow tasks
 * between them.
 */
function stepsOf(events, shownAtMs, transfers) {
  const byId = new Map(events.map((event) => [String(event.eventId), event]));
  const msOf = ({ eventTime }) => Number(eventTime.seconds) * 1000 + eventTime.nanos / 1e6;
  const spent = new Map([['workflow tasks', 0]]);
  for (const event of events) {
    const task = event.workflowTaskCompletedEventAttributes;
    if (task != null) {
      const tookMs = msOf(event) - msOf(byId.get(String(task.scheduledEventId)));
      spent.set('workflow tasks', spent.get('workflow tasks') + tookMs);
    }
    const done = event.activityTaskCompletedEventAttributes;
    if (done == null) continue;
    const { activityType } = byId.get(String(done.scheduledEventId)).activityTaskScheduledEventAttributes;
    const [fromMs, toMs] = [msOf(byId.get(String(done.startedEventId))), msOf(event)];
    const within = transfers.filter(({ atMs }) => atMs >= fromMs - 1 && atMs <= toMs);
    const transferMs = within.reduce((sum, { atMs, endMs }) => sum + endMs - atMs, 0);
    if (activityType.name !== 'pollTask') spent.set(activityType.name, toMs - fromMs - transferMs);
    // The first one, until the task starts, lies within the render.
    else if (toMs > shownAtMs) spent.set('pollTask, from the end seen', toMs - shownAtMs - transferMs);
  }
  return spent;
}

/** The memory of a process that only watches, with so many tasks. */
async function memory(stack) {
  const counts = values.polls.split(',').map(Number);
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const connection = await NativeConnection.connect({ address: stack.address });
  const workflows = await Worker.create({
    connection,
    taskQueue: 'bench-poll',
    workflowsPath: at('poll-workflow.mjs'),
  });
  const running = workflows.run();
  const baseUrl = `${stack.origin('memory')}/api/v1`;
  const folder = join(stack.folder, 'memory');
  const ledger = new Ledger({ store: openStore({ kind: 'file', path: folder }), scope: SCOPE, now: Date.now });
  const arguments_ = [stack.address, baseUrl, 'sk-memory', folder];
  const watcher = await stack.start('poll-worker.mjs', arguments_, {
    execArgv: ['--expose-gc'],
    env: { ...process.env, ...MALLOC },
  });
  const provider = new DashScopeClient({ baseUrl, apiKey: () => 'sk-memory' });
  const watch = async () => {
    const { taskId } = await provider.createTask({
      model: 'wan2.6-i2v-flash',
      input: { prompt: PROMPT, img_url: IMAGE },
      parameters: { resolution: '720P', duration: 5, audio: false },
    });
    const render = { resolution: '720P', seconds: 5, audio: false };
    const purchase = { key: taskId.replaceAll('-', ''), n: 1 };
    const answer = { requestId: null, key_fingerprint: '', seed: 1 };
    await ledger.openIntent(purchase, {
      cache_key: purchase.key,
      workflow_id: `poll/${taskId}`,
      first_run_id: taskId,
      attempt: 1,
      tenant: null,
      seed: 1,
      key_fingerprint: '',
      expects: { ...render, prompt: PROMPT, duration: 5, image: null },
      memo: { request: { prompt: PROMPT, duration: 5, fps: 30, size: '1280*720' }, warnings: [], labels: {} },
    });
    await ledger.claim(purchase, { task_id: taskId, request_id: null, key_fingerprint: '', found_by: 'submit' });
    const task = { taskId, intentAtMs: Date.now(), claim: 'claimed', render, purchase, ...answer };
    await stack.client.workflow.start('pollOnly', {
      workflowId: `poll/${taskId}`,
      taskQueue: 'bench-poll',
      args: [task],
    });
  };
  const measured = [];
  let watched = 0;
  for (const count of counts) {
    for (; watched < count; watched += 1) await watch();
    measured.push({ count, ...(await ask(watcher, count)) });
  }
  for (const { count, rss, kept, heap } of measured) {
    show('memory', `${count} in flight`, rss / KIB / KIB, {
      unit: 'MiB',
      note: `${(kept / KIB / KIB).toFixed(1)} MiB without V8's nursery, ${(heap / KIB / KIB).toFixed(1)} MiB of heap`,
    });
  }
  const [from, to] = measured.slice(-2);
  const slope = (part) => (to[part] - from[part]) / (to.count - from.count) / KIB;
  const note = `${slope('rss').toFixed(1)} KiB with the nursery, ${slope('heap').toFixed(1)} KiB of heap`;
  show('memory', `each more, from ${from.count} to ${to.count}`, slope('kept'), {
    unit: 'KiB',
    digits: 1,
    most: 64,
    note,
  });
  watcher.kill('SIGKILL');
  workflows.shutdown();
  await running;
  await connection.close();
}

/** One generation in real time: its history, its part of the slots' history, and the heartbeats that were sent. */
async function actions(stack) {
  const product = await stack.product('actions');
  const worker = await product.startMetered('sk-actions');
  const slotsId = slotsWorkflowId(product.config.provider.providerId, 'actions');
  await stack.control('actions', 'settings', { speed: 200 });
  await product.videos.generate(product.request('starts the slots', { duration: 2 }));
  await stack.control('actions', 'settings', { speed: 1 });
  const heartbeats = async () => {
    const lines = (await worker.metrics()).split('\n');
    const sent = lines.filter(
      (line) => line.startsWith('temporal_request{') && line.includes('"RecordActivityTaskHeartbeat"'),
    );
    return sent.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  };
  const before = { heartbeats: await heartbeats(), slots: actionsOf(await stack.events(slotsId)) };
  const { id } = await product.videos.start(product.request('in real time'));
  await product.videos.result(id);
  const events = await stack.events(id);
  const run = actionsOf(events, { heartbeats: (await heartbeats()) - before.heartbeats });
  const slots = actionsOf(await stack.events(slotsId)).total - before.slots.total;
  const counted = Object.entries(run).filter(([kind, count]) => count > 0 && kind !== 'total');
  const note = `${counted.map(([kind, count]) => `${kind} ${count}`).join(', ')}, at the slots ${slots}`;
  show('actions', `events of one ${seconds} s generation`, events.length, { most: 40 });
  show('actions', `Cloud Actions of one ${seconds} s generation`, run.total + slots, { most: 22, note });
}

/** Two workers as they are shipped, on one account whose slots are raised. */
async function workers(stack) {
  const product = await stack.product('workers', { WAN_VIDEO_MAX_RUNNING: '1000' });
  const keys = ['sk-workers-1', 'sk-workers-2'];
  await Promise.all(keys.map((key) => product.startWorker(key)));
  const gapMs = (seconds * 1000) / inFlight;
  const startedMs = Date.now();
  await Promise.all(
    Array.from({ length: fleetRuns }, async (_, n) => {
      await sleep(n * gapMs);
      await product.videos.generate(product.request(`${n} of many`));
    }),
  );
  const log = await stack.log('workers');
  const asked = log.filter(({ kind }) => kind === 'query' || kind === 'list');
  const settled = asked.filter(({ atMs }) => atMs > startedMs + 60_000);
  const { requests, p95Ms, noticed } = figuresOf(log);
  const busiest = (of) => busiestSecond(of.map(({ atMs }) => atMs));
  const refused = settled.filter(({ status }) => status === 429).length / Math.max(1, settled.length);
  const what = `${inFlight} in flight, two workers:`;
  show('workers', `${what} answered 429 after the first minute`, 100 * refused, { unit: '%', digits: 2, most: 2 });
  show('workers', `${what} most requests of both in a second`, busiest(asked), { most: 2 * BUDGET });
  for (const key of keys) {
    const own = asked.filter((entry) => entry.key === key);
    // Not judged: an archive's one query comes on top of the watcher's budget.
    show('workers', `${what} most requests of ${key.slice(3)} in a second`, busiest(own), {
      note: `budget ${BUDGET}`,
    });
  }
  show('workers', `${what} requests per generation, archive's included`, requests, { digits: 1 });
  show('workers', `${what} 95 % of the ends noticed within`, p95Ms / 1000, { unit: 's', digits: 2 });
  show('workers', `${what} generations`, noticed, { least: fleetRuns });
}

/** A batch on the account's five slots, two workers, nothing disturbed. */
async function batch(stack) {
  const product = await stack.product('batch');
  const { store, taskQueue } = product;
  await Promise.all(['sk-batch-1', 'sk-batch-2'].map((key) => product.startWorker(key)));
  const batches = new WanBatchClient({ client: stack.client, store, taskQueue });
  const lines = Array.from({ length: items }, (_, n) => product.request(`item ${n}`));
  const { batch_id } = await batches.start({ lines });
  const { counts } = await batches.result(batch_id);
  const { tasks } = await stack.control('batch', 'state');
  const { share, most, spanMs } = slotsBusy(tasks, ACCOUNT_SLOTS);
  const note = `${(spanMs / 1000).toFixed(0)} s until the last one started`;
  show('batch', `${items} items of ${batchSeconds} s: slots busy until the tail`, 100 * share, {
    unit: '%',
    digits: 1,
    least: 95,
    note,
  });
  show('batch', 'most tasks at once', most, { most: ACCOUNT_SLOTS });
  show('batch', 'videos', counts.generated, { least: items });
  show('batch', 'tasks bought', tasks.length, { most: items });
}

const jitter = 0.05;
const cells = [
  { name: 'overhead', seconds: 25, jitter, settings: { speed: 100 } },
  { name: 'overhead-s3', seconds: 25, jitter, settings: { speed: 100 } },
  { name: 'throughput', seconds: 25, jitter, settings: { speed: 1_000 } },
  { name: 'memory', seconds: 36_000, jitter, settings: {} },
  { name: 'actions', seconds, jitter, settings: {} },
  {
    name: 'workers',
    seconds,
    jitter,
    settings: {},
    accounts: { 'sk-workers-1': 'workers', 'sk-workers-2': 'workers' },
  },
  {
    name: 'batch',
    seconds: batchSeconds,
    jitter,
    settings: { slots: ACCOUNT_SLOTS, submit_rate: 5 },
    accounts: { 'sk-batch-1': 'batch', 'sk-batch-2': 'batch' },
  },
].map((cell) => ({ accounts: { [`sk-${cell.name}`]: cell.name }, ...cell }));
const parts = {
  overhead: (stack) => overhead(stack, 'overhead', { most: OWN_TIME_MOST }),
  'overhead-s3': async (stack) => {
    const store = await startSlowS3(stack.folder, S3_LATENCY_MS);
    try {
      await overhead(stack, 'overhead-s3', { store, most: OWN_TIME_S3_MOST });
    } finally {
      store.close();
    }
  },
  throughput,
  memory,
  actions,
  workers,
  batch,
};
const stack = await startStack(cells.filter(({ name }) => only.includes(name)));
try {
  for (const name of QUIET.filter((one) => only.includes(one))) await parts[name](stack);
  await Promise.all(SIDE_BY_SIDE.filter((one) => only.includes(one)).map((name) => parts[name](stack)));
} finally {
  await stack.close();
}
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(rows, null, 2)}\n`);
process.exit(rows.every(({ held }) => held) ? 0 : 1);
