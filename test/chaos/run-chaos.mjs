import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { auditPlanted } from './audit.mjs';
import { copyBuild } from './build.mjs';
import { DOCUMENTS, filesOf, misdelivered, misnotified, patternOf } from './deliveries.mjs';
import { sendHostility, withHostility } from './hostility.mjs';
import { hashesOf, REFUSED, verdict } from './judge.mjs';
import { batchIdOf, budgetFileOf, dayOf, limitsOf, overspent, PRICES, slotsBelieve } from './money.mjs';
import { BATCHES, DRIFT, faultForAnybody, planOf } from './plan.mjs';
import { end, endAll, startEmulator, startS3, startWorker } from './processes.mjs';
import { randomOf } from './random.mjs';
import { startReceiver } from './receiver.mjs';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const KEY = 'sk-chaos';
/** Generations at once: more than the provider's slots, so that some wait and some render. */
const IN_FLIGHT = 16;
/** Items of a batch at once. */
const BATCH_WINDOW = 6;
/** How an item ends that has its video. */
const VIDEO_OUTCOMES = new Set(['generated', 'cache', 'adopted']);
/** Tasks that render at once; the account's five would make it wait most of the time. */
const SLOTS = 12;
/** What must end; the account's slots are kept by a run that never does. */
const RUNNING =
  'ExecutionStatus = "Running" AND WorkflowType IN ("videoGenerate", "salvageVideo", "videoBatch", "deliverWebhook")';
/** Messages that were not delivered. */
const UNDELIVERED = 'WorkflowType = "deliverWebhook" AND ExecutionStatus != "Completed"';
/** Longest freeze of a worker. What a longer one can do is said in docs/guarantees.md. */
const FREEZE_MS = 4_000;
/** What is left of the time for the runs to end once nothing disturbs them any more, at most. */
const END_SHARE = 0.4;

/**
 * The shipped times, shortened in proportion. A worker may freeze for FREEZE_MS between its last check and the socket,
 * and the provider may take the task 5 s after that: 1.5 s + 4 s + 5 s lie below the bound of 12 s after which a silent
 * submit is reconciled.
 */
const timesOf = (ledger) => ({
  submitHttpMs: 4_000,
  submitStartToCloseMs: 8_000,
  submitGraceMs: 9_000,
  submitForceMs: 12_000,
  readHttpMs: 3_000,
  downloadIdleMs: 3_000,
  mainGraceMs: 500,
  mainForceMs: 15_000,
  heartbeatTimeoutMs: 5_000,
  heartbeatThrottleMs: 1_000,
  retryInitialMs: 200,
  retryMaximumMs: 2_000,
  slotAckMs: 10_000,
  slotAskAgainMs: 5_000,
  slotCheckMs: 2_000,
  ledger: {
    ...ledger,
    postWithinMs: 1_500,
    postMs: 4_000,
    claimMs: 1_500,
    submitBoundMs: 12_000,
    followEveryMs: 300,
    parkedEveryMs: 1_000,
    listEveryMs: 1_000,
    emptySpanMs: 4_000,
    clockSkewMs: 8_000,
  },
});

/**
 * Generates under random faults while workers are killed, stopped, frozen and started, and judges by the provider's
 * books.
 * @param options.say - Gets lines about the progress.
 * @returns what `verdict` says, and what was done.
 */
export async function runChaos({ seed, generations, minutes, workers: workersMax, store: storeKind, broken, say }) {
  const deadlineMs = Date.now() + minutes * 60_000;
  const disturbUntilMs = Date.now() + minutes * 60_000 * (1 - END_SHARE);
  const home = await mkdtemp(join(tmpdir(), 'wan-video-chaos-'));
  const build = await copyBuild(broken);
  let server;
  try {
    const load = (file) => import(pathToFileURL(join(build.dist, file)).href);
    const [
      { connectClient },
      { registerSearchAttributes },
      { WanVideoClient },
      { WanBatchClient },
      { loadConfig },
      { openStore },
      { stageImage },
      { findTemporalCli },
      { freePort, startDevServer },
      { Ledger },
      { DEFAULT_LEDGER_TIMES },
      { readAccountSlots },
      { slotsWorkflowId },
    ] = await Promise.all(
      [
        ...['client/connect', 'client/setup', 'client/video-client', 'client/batch-client'],
        ...['config/config', 'storage/open-store'],
        ...['media/stage-image', 'dev/temporal-cli', 'dev/temporal-server', 'ledger/ledger', 'ledger/times'],
        ...['client/account-slots', 'contract/names'],
      ].map((file) => load(`src/${file}.js`)),
    );
    const cliPath = await findTemporalCli(process.env);
    server = await startDevServer({ cliPath, port: await freePort(), searchAttributes: {} });
    const emulator = await startEmulator(build.dist, await freePort(), join(home, 'emulator.json'), {
      speed: 15,
      slots: SLOTS,
      seed,
      drift: DRIFT,
    });
    const storeEnv = storeKind === 's3' ? await startS3(join(home, 's3'), await freePort()) : {};
    // The store of this process reads the AWS SDK's own environment.
    Object.assign(process.env, storeEnv);
    const outputDir = join(home, 'output');
    await mkdir(outputDir);
    const plan = withHostility(planOf(seed, generations), randomOf(seed + 3));
    const limits = limitsOf(plan);
    const [pricesFile, budgetsFile] = [join(home, 'prices.json'), join(home, 'budgets.json')];
    await writeFile(pricesFile, JSON.stringify(PRICES));
    await writeFile(budgetsFile, JSON.stringify(budgetFileOf(limits)));
    const receiver = await startReceiver(home, randomOf(seed + 4), () => Date.now() < disturbUntilMs);
    const env = {
      DASHSCOPE_HTTP_BASE_URL: emulator.baseUrl,
      DASHSCOPE_API_KEY: KEY,
      WAN_VIDEO_WEBHOOK: receiver.file,
      OUTPUT_DIR: outputDir,
      TEMPORAL_ADDRESS: server.address,
      HOME: home,
      WAN_VIDEO_MAX_RUNNING: String(SLOTS),
      WAN_VIDEO_PRICES: pricesFile,
      WAN_VIDEO_BUDGETS: budgetsFile,
      ...storeEnv,
    };
    const config = loadConfig(env, { cwd: ROOT, homeDir: home });
    const store = openStore(config.store);
    const client = await connectClient({ namespace: 'default', connection: { address: server.address } });
    await registerSearchAttributes(client);
    const taskQueue = config.taskQueues.generate;
    const videos = new WanVideoClient({ client, taskQueue });
    const batches = new WanBatchClient({ client, store, taskQueue });
    const staged = await stageImage(join(ROOT, 'assets', 'sample.jpg'), store);
    const times = timesOf(DEFAULT_LEDGER_TIMES);

    const { providerId, account } = config.provider;
    const terminateSlots = () =>
      client.workflow
        .getHandle(slotsWorkflowId(providerId, account))
        .terminate('chaos')
        .then(
          () => true,
          () => false, // there are none yet
        );
    const random = randomOf(seed + 1);
    const done = { killed: 0, stopped: 0, frozen: 0, started: 0, restarts: 0, slots: 0 };
    const runs = [];
    const effects = [];
    const hostility = async (generation, request, workflowId) => {
      const workflowIds = [workflowId, slotsWorkflowId(providerId, account)];
      effects.push(...(await sendHostility(generation, request, { client, taskQueue, workflowIds })));
    };
    const state = { over: false, broken: false };

    const start = () => startWorker(build.dist, times, env);
    const crew = new Crew({ random, done, workersMax, start, terminateSlots });
    await crew.fill();
    const disturbing = Promise.all([
      crew.disturb(() => state.over || Date.now() > disturbUntilMs),
      disturbEverybody(emulator, randomOf(seed + 2), done, () => state.over || Date.now() > disturbUntilMs),
      watch(emulator, state, { broken, deadlineMs, plan, limits, say, runs, videos, client }),
    ]);

    const sweep = () =>
      client.workflow.execute('sweepPurchases', { workflowId: `sweep/${randomUUID()}`, taskQueue, args: [] });
    // A terminated run's money stays reserved until a sweep has seen to its task, and others may wait for just that
    // money.
    void sweepNowAndThen(sweep, state);

    const image = `asset:${staged.asset.key}`;
    const lone = plan.filter(({ batch }) => batch === undefined);
    const running = BATCHES.map((name) => {
      const generations = plan.filter(({ batch }) => batch === name);
      return runBatch(batchIdOf(name, seed), generations, {
        batches,
        emulator,
        crew,
        runs,
        image,
        deadlineMs,
        state,
        hostility,
      });
    });
    let next = 0;
    const lane = async () => {
      while (next < lone.length && !state.broken && Date.now() < disturbUntilMs) {
        const generation = lone[next++];
        await generate(generation, { videos, client, emulator, runs, image, deadlineMs, state, hostility });
      }
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
    const ended = await Promise.all(running);
    const reports = ended.flatMap((batch) => batch.reports);
    const summaries = ended.flatMap(({ summary }) => summary ?? []);
    const deliveries = ended.flatMap(({ delivered }) => delivered ?? []);
    state.over = true;
    await disturbing;
    const started = [...lone.slice(0, next), ...plan.filter(({ batch }) => batch !== undefined)];
    if (broken !== undefined && state.broken) {
      const { tasks } = await emulator.control('state');
      // The runs were left in the middle, so only what was bought twice says anything.
      const early = verdict({ ...EMPTY, tasks, generations: started, limits, runs: [] });
      const { bought, above } = early;
      return { done, started: started.length, ...early, losses: 0, violations: [...bought, ...above] };
    }

    say('every run has ended; sweeping the purchases of terminated ones');
    await crew.fill();
    await sweep();
    const open = await openRuns(client, videos, deadlineMs);
    const beliefs = async () => {
      const { tasks } = await emulator.control('state');
      const view = await readAccountSlots(client, providerId, account).catch(() => undefined);
      const books = { tasks, generations: started, limits, nowMs: Date.now() };
      return view === undefined ? [] : slotsBelieve(view, books);
    };
    const { tasks } = await emulator.control('state');
    const ledger = new Ledger({ store, scope: { provider: providerId, account }, now: Date.now });
    const openPurchases = (await ledger.listOpen()).open.map(({ purchase }) => `${purchase.key}/${purchase.n}`);
    // The judge reads the provider's answers as documented, and its videos as every download gets them.
    await emulator.control('settings', { drift: [] });
    const dropped = await emulator.dropLeftFaults();
    if (dropped > 0) say(`${dropped} faults met no request`);
    const hashes = await hashesOf(tasks, { baseUrl: emulator.baseUrl, key: KEY, store });
    const judged = verdict({
      tasks,
      hashes,
      generations: started,
      limits,
      runs,
      open,
      openPurchases,
      reports,
      summaries,
      booked: await bookedOf(ledger, tasks),
      beliefs: await settled(beliefs),
    });
    const hostile = started.filter((generation) => generation.hostile !== undefined).length;
    const undelivered = [];
    for await (const { workflowId } of client.workflow.list({ query: UNDELIVERED })) undelivered.push(workflowId);
    const misplaced = [];
    for (const batch of deliveries)
      misplaced.push(...misdelivered({ ...batch, files: await filesOf(store, batch.id) }));
    say('auditing the account, with an orphan that was planted');
    const isPlain = ({ prompt, batch, leave, hostile: what }) =>
      what === undefined && leave === undefined && batch === undefined && isBoughtOnce(tasks, prompt);
    const unexplained = await auditPlanted({
      generation: started.find(isPlain),
      emulator,
      ledger,
      client,
      dist: build.dist,
      env,
    });
    const violations = [
      ...judged.violations,
      ...effects,
      ...misnotified({ runs, taken: receiver.taken, undelivered }),
      ...misplaced,
      ...unexplained,
    ];
    const files = deliveries.reduce((sum, { videos }) => sum + videos.length, 0);
    const explained = `${tasks.length} tasks explained, ${unexplained.length} wrongly`;
    const delivered = `${files} named files of ${deliveries.length} batches; ${receiver.taken.length} messages taken`;
    return { done, started: started.length, hostile, ...judged, delivered, audited: explained, violations };
  } finally {
    // The client stays open: what still waits in it would throw from its timers, and this process ends anyway.
    await endAll();
    await server?.stop();
    await build.remove();
    await rm(home, { recursive: true, force: true });
  }
}

const EMPTY = {
  hashes: new Map(),
  open: [],
  openPurchases: [],
  reports: [],
  summaries: [],
  beliefs: [],
  booked: [],
};

const isBoughtOnce = (tasks, prompt) => {
  const own = tasks.filter((task) => task.prompt === prompt);
  return own.length === 1 && own[0].billed_seconds > 0;
};

/**
 * A lost settlement is found by the look at the holders, every 20 s while nobody waits; two of them, and a killed
 * worker's time.
 */
const BELIEFS_MS = 60_000;

/** Asks until nothing is left to report, or until `untilMs`. */
async function settled(beliefs) {
  for (const untilMs = Date.now() + BELIEFS_MS; ; await delay(500)) {
    const found = await beliefs();
    if (found.length === 0 || Date.now() > untilMs) return found;
  }
}

/** The ledger's day records of the days on which a task ended, or its end was noticed. */
async function bookedOf(ledger, tasks) {
  const ends = tasks.flatMap(({ end_ms }) => (end_ms === null ? [] : [end_ms]));
  const booked = [];
  for (const day of new Set([...ends, Date.now()].map(dayOf))) {
    for await (const { task_id, billed_seconds, estimated } of ledger.listBills(day)) {
      booked.push({ task_id, seconds: billed_seconds, estimated: estimated === true });
    }
  }
  return booked;
}

/** In the shipped schedule hourly. */
const SWEEP_EVERY_MS = 60_000;

async function sweepNowAndThen(sweep, state) {
  while (!state.over && !state.broken) {
    await delay(SWEEP_EVERY_MS);
    // One that fails is followed by another, and the last one, when every run has ended, is not to fail.
    if (!state.over && !state.broken) await sweep().catch(() => undefined);
  }
}

/** The worker processes: never more than the crew, never fewer than one that works. */
class Crew {
  constructor({ random, done, workersMax, start, terminateSlots }) {
    Object.assign(this, { random, done, workersMax, start, terminateSlots, members: [], frozen: new Set() });
  }

  async fill() {
    while (this.members.length < this.workersMax) await this.hire();
  }

  async hire() {
    const worker = await this.start();
    this.done.started += 1;
    this.members.push(worker);
  }

  /** Kills all of them at once, so that the one that ran a certain workflow is among them. */
  async killEverybody() {
    const all = this.members;
    this.members = [];
    this.done.killed += all.length;
    await Promise.all(all.map((worker) => end(worker, 'SIGKILL')));
    await this.fill();
  }

  /**
   * Kills, stops and freezes members at random and starts others, until `over`; and terminates the account's slots. Not
   * while a member is frozen: slots that are terminated while a worker is between its last question and the socket are
   * a race that stays (docs/slots.md).
   */
  async disturb(over) {
    while (!over()) {
      await delay(this.random.between(1_000, 3_500));
      if (this.members.length < this.workersMax) {
        await this.hire();
        continue;
      }
      const worker = this.random.pick(this.members);
      const what = this.random.pick(['kill', 'kill', 'stop', 'freeze', 'freeze', 'slots']);
      if (what === 'slots') {
        if (await this.terminateSlots()) this.done.slots += 1;
        continue;
      }
      if (what === 'freeze') {
        this.done.frozen += 1;
        worker.kill('SIGSTOP');
        await delay(this.random.between(300, FREEZE_MS));
        worker.kill('SIGCONT');
        continue;
      }
      this.members = this.members.filter((one) => one !== worker);
      if (what === 'kill') {
        this.done.killed += 1;
        await end(worker, 'SIGKILL');
      } else {
        this.done.stopped += 1;
        await end(worker, 'SIGTERM');
      }
    }
    await this.fill();
  }
}

/** Faults at requests that carry no prompt, and a task list that lags and pages. */
async function disturbEverybody(emulator, random, done, over) {
  let restartAtMs = Date.now() + random.between(10_000, 30_000);
  while (!over()) {
    await delay(random.between(500, 2_000));
    if (Date.now() >= restartAtMs) {
      await emulator.restart();
      done.restarts += 1;
      restartAtMs = Date.now() + random.between(60_000, 120_000);
    }
    const fault = faultForAnybody(random);
    const { queued } = await emulator.control('faults');
    // One at a time of a kind: six listings that fail in a row count as a refused list, and park a run by design.
    if (!queued.some(({ on }) => on === fault.on)) await emulator.control('faults', fault);
    if (random.chance(0.2)) {
      await emulator.control('settings', {
        list_lag_ms: random.between(0, 2_000),
        list_page_max: random.pick([10, 50, 100]),
      });
    }
  }
  await emulator.control('settings', { list_lag_ms: 0, list_page_max: 100 });
}

/**
 * Prints the progress, and ends a broken build's run as soon as the provider billed a prompt twice, or more than a
 * budget.
 */
async function watch(emulator, state, { broken, deadlineMs, plan, limits, say, runs, videos, client }) {
  for (let looks = 1; !state.over && Date.now() < deadlineMs; looks += 1) {
    await delay(1_000);
    const { tasks, submits } = await emulator.control('state');
    const billed = tasks.filter(({ billed_seconds }) => billed_seconds > 0);
    if (process.env.CHAOS_STEPS && looks % 30 === 0) {
      for (const { id } of runs.filter(({ end }) => end === 'running')) say(`${id} ${await stepOf(client, id)}`);
    }
    if (looks % 15 === 0) {
      const going = runs.filter(({ end }) => end === 'running');
      const stages = await Promise.all(going.map(async ({ id }) => (await stageOf(videos, id)).split(':')[0]));
      say(`${billed.length} of ${plan.length} bought, ${submits} submits; under way: ${countsOf(stages)}`);
    }
    if (broken === undefined) continue;
    if (new Set(billed.map(({ prompt }) => prompt)).size < billed.length) state.broken = true;
    if (overspent({ tasks, generations: plan, limits }).length > 0) state.broken = true;
    if (state.broken) return;
  }
}

/** One generation as its plan says: started, perhaps twinned, perhaps left, and followed to its end. */
async function generate(generation, world) {
  const { videos, client, emulator, runs, image, deadlineMs, state, hostility } = world;
  const { prompt, duration, faults, leave, leaveAfterMs, natively, tenant, twinAfterMs } = generation;
  if (faults.length > 0) await emulator.control('faults', faults);
  const whose = tenant !== undefined && { tenant };
  const request = { prompt, duration, fps: 30, size: '1280*720', reference_image: image, ...whose };
  const follow = async (id, left) => {
    const run = { id, workflowId: id, prompt, leave: left, end: 'running' };
    runs.push(run);
    const ended = videos.result(id).then(
      () => ({ end: 'completed' }),
      (error) => endOf(error),
    );
    const late = until(() => Date.now() > deadlineMs || state.broken);
    Object.assign(run, await Promise.race([ended, late.reached.then(() => ({ end: 'running' }))]));
    late.stop();
    if (run.end === REFUSED) run.endedAtMs = (await client.workflow.getHandle(id).describe()).closeTime.getTime();
  };
  const { id } = await videos.start(request);
  const following = [follow(id, leave), hostility(generation, request, id)];
  if (twinAfterMs !== undefined) {
    await delay(twinAfterMs);
    const twin = await videos.start(request, { id: `twin/${randomUUID()}` });
    following.push(follow(twin.id, undefined));
  }
  if (leave !== undefined) {
    await delay(leaveAfterMs);
    const handle = client.workflow.getHandle(id);
    const left =
      leave === 'terminate' ? handle.terminate('chaos') : natively ? handle.cancel() : videos.cancel(id, 'chaos');
    await left.catch(() => undefined); // it had ended before
  }
  await Promise.all(following);
}

/**
 * A batch of generations; every worker is killed at once when a third of it has ended. Resolves what it says of itself
 * and of each.
 */
async function runBatch(id, generations, world) {
  const { batches, emulator, crew, runs, image, deadlineMs, state, hostility } = world;
  if (generations.length === 0) return { reports: [] };
  const faults = generations.flatMap((generation) => generation.faults);
  if (faults.length > 0) await emulator.control('faults', faults);
  const lines = generations.map(({ index, prompt, duration }) => {
    return { item_id: `item-${index}`, prompt, duration, fps: 30, size: '1280*720', reference_image: image };
  });
  await batches.start({ lines }, { id, window: BATCH_WINDOW, deliver: patternOf(id), deliverReports: DOCUMENTS });
  const run = { id: `batch/${id}`, workflowId: `batch/${id}`, leave: undefined, end: 'running' };
  runs.push(run);
  const sending = Promise.all(generations.map((generation, index) => hostility(generation, lines[index], run.id)));
  const isOver = () => Date.now() > deadlineMs || state.broken;
  let summary;
  const ended = batches.result(id).then(
    (result) => {
      summary = result;
      return { end: result.outcome };
    },
    (error) => endOf(error),
  );
  const isAThirdDone = async () => {
    const { counts } = await batches.progress(id).catch(() => ({ counts: { generated: 0, total: 1 } }));
    return counts.generated * 3 >= counts.total;
  };
  const killing = (async () => {
    while (run.end === 'running' && !isOver() && !(await isAThirdDone())) await delay(500);
    if (run.end === 'running' && !isOver()) await crew.killEverybody();
  })();
  const late = until(isOver);
  Object.assign(run, await Promise.race([ended, late.reached.then(() => ({ end: 'running' }))]));
  late.stop();
  await Promise.all([killing, sending]);
  const rows = [];
  for await (const row of batches.report(id)) rows.push(row);
  const promptOf = new Map(lines.map(({ item_id, prompt }) => [item_id, prompt]));
  for (const { item_id, outcome, cause, message, run: itemRun, ended_at_ms: endedAtMs } of rows) {
    const end = VIDEO_OUTCOMES.has(outcome) ? 'completed' : outcome === REFUSED ? REFUSED : `${outcome} ${cause ?? ''}`;
    const refused = end === REFUSED && { scope: scopeOf(message), endedAtMs };
    const workflowId = itemRun ?? undefined;
    runs.push({ id: `${id}/${item_id}`, workflowId, prompt: promptOf.get(item_id), leave: undefined, end, ...refused });
  }
  return {
    reports: rows.map(({ item_id, billed_seconds }) => ({ prompt: promptOf.get(item_id), billed_seconds })),
    ...(summary !== undefined && {
      summary: totalsOf(id, summary, rows),
      delivered: { id, delivery: summary.delivery, videos: rows.filter(({ sha256 }) => sha256 !== null) },
    }),
  };
}

/** What a batch's result says, and what its lines add up to. */
function totalsOf(id, { billed, counts }, rows) {
  const outcomes = Object.keys(counts).filter((name) => rows.some(({ outcome }) => outcome === name));
  const count = (name) => rows.filter(({ outcome }) => outcome === name).length;
  return {
    id,
    summary: {
      seconds: billed.reduce((sum, { seconds }) => sum + seconds, 0),
      total: counts.total,
      ...Object.fromEntries(outcomes.map((name) => [name, counts[name]])),
    },
    lines: {
      seconds: rows.reduce((sum, { billed_seconds }) => sum + billed_seconds, 0),
      total: rows.length,
      ...Object.fromEntries(outcomes.map((name) => [name, count(name)])),
    },
  };
}

/** Polls a condition; `stop` ends it unreached. */
function until(condition) {
  let timer;
  const reached = new Promise((resolve) => {
    timer = setInterval(() => condition() && resolve(), 500);
  });
  return { reached, stop: () => clearInterval(timer) };
}

function endOf(error) {
  if (error.cancelled === true) return { end: 'cancelled' };
  const type = error.error?.type;
  if (type === undefined) throw error;
  if (type === 'BudgetReached') return { end: REFUSED, scope: scopeOf(error.message) };
  return { end: /terminated/i.test(error.message) ? 'terminated' : `failed ${type}` };
}

/** Which budget is reached, as the message for people has it. */
const scopeOf = (message) => /^The budget of (?:the )?(day|tenant|batch)\b/.exec(message)?.[1] ?? message;

/** Waits until nothing runs any more, salvages included; what still does at the deadline is reported with its stage. */
async function openRuns(client, videos, deadlineMs) {
  for (;;) {
    const open = [];
    for await (const { workflowId } of client.workflow.list({ query: RUNNING })) open.push(workflowId);
    const stages = await Promise.all(
      open.map(async (id) => {
        return { id, stage: `${await stageOf(videos, id)}${await stepOf(client, id)}` };
      }),
    );
    // A parked run waits for a person: nothing more will come.
    const waits = stages.every(({ stage }) => stage.startsWith('needs_attention'));
    if (open.length === 0 || waits || Date.now() > deadlineMs) return stages;
    await delay(500);
  }
}

const stageOf = (videos, id) =>
  videos.progress(id).then(
    // A batch only names the items that wait for somebody.
    ({ stage, attention }) =>
      attention?.candidates === undefined ? stage : `${stage}: ${attention.reason} ${evidenceOf(attention)}`,
    () => 'no answer',
  );

/** What the run's step is at: its attempt, what it waits for, and how the last attempt failed. */
async function stepOf(client, id) {
  const { raw } = await client.workflow.getHandle(id).describe();
  return (raw.pendingActivities ?? []).map(({ activityType, attempt, heartbeatDetails, lastFailure }) => {
    const [details] = heartbeatDetails?.payloads ?? [];
    const waits = details?.data == null ? '' : Buffer.from(details.data).toString();
    return `; ${activityType?.name} attempt ${attempt} ${waits} ${lastFailure?.message ?? ''}`;
  });
}

/** `3 rendering, 1 archiving`. */
const countsOf = (names) =>
  [...new Set(names)].map((name) => `${names.filter((one) => one === name).length} ${name}`).join(', ') || 'none';

const evidenceOf = ({ candidates }) => candidates.map(({ task_id, evidence }) => `[${task_id}: ${evidence}]`).join(' ');
