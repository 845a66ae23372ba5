import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { copyBuild } from '../chaos/build.mjs';
import { hashesOf } from '../chaos/judge.mjs';
import { dayOf } from '../chaos/money.mjs';
import { end, endAll, startEmulator, startWorker } from '../chaos/processes.mjs';
import { randomOf } from '../chaos/random.mjs';
import { largestPayload, soakVerdict } from './judge.mjs';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const KEY = 'sk-soak';
/** Tasks that render at once, and the batch's window: with the account's five, a thousand items would take hours. */
const SLOTS = 40;
const WINDOW = 60;
/** A render takes 1.5 s; the waiting of the product's own steps is as it is shipped. */
const RENDER = { render_seconds: 30, speed: 20 };
/** What 10,000 lines may take, and by how much the memory may differ from that for 1,000. */
const STAGE_MS_MAX = 60_000;
const STAGE_GROWTH_MAX = 64 * 1024 * 1024;

/**
 * One batch of many items on two workers, one of which is killed again and again, judged by the provider's books.
 * @param options.say - Gets lines about the progress.
 * @returns what `soakVerdict` says, and what was done.
 */
export async function runSoak({ items, lines, minutes, seed, killEvery, say }) {
  const deadlineMs = Date.now() + minutes * 60_000;
  const home = await mkdtemp(join(tmpdir(), 'wan-video-soak-'));
  const build = await copyBuild(undefined);
  let server;
  try {
    const load = (file) => import(pathToFileURL(join(build.dist, 'src', `${file}.js`)).href);
    const [
      { connectClient },
      { registerSearchAttributes },
      { WanBatchClient },
      { loadConfig },
      { openStore },
      { stageImage },
      { findTemporalCli },
      { freePort, startDevServer },
      { Ledger },
    ] = await Promise.all(
      [
        ...['client/connect', 'client/setup', 'client/batch-client', 'config/config', 'storage/open-store'],
        ...['media/stage-image', 'dev/temporal-cli', 'dev/temporal-server', 'ledger/ledger'],
      ].map(load),
    );
    const staged = lines === 0 ? undefined : await stageLines(build.dist, join(home, 'lines'), lines);
    if (staged !== undefined) say(`${staged.items} lines staged in ${Math.round(staged.ms)} ms`);

    const cliPath = await findTemporalCli(process.env);
    server = await startDevServer({ cliPath, port: await freePort(), searchAttributes: {} });
    const settings = { ...RENDER, slots: SLOTS, submit_rate: 0, query_rate: 0 };
    const emulator = await startEmulator(build.dist, await freePort(), join(home, 'emulator.json'), settings);
    const outputDir = join(home, 'output');
    await mkdir(outputDir);
    const env = {
      DASHSCOPE_HTTP_BASE_URL: emulator.baseUrl,
      DASHSCOPE_API_KEY: KEY,
      OUTPUT_DIR: outputDir,
      HOME: home,
      TEMPORAL_ADDRESS: server.address,
      WAN_VIDEO_MAX_RUNNING: String(SLOTS),
      WAN_VIDEO_QUERY_RATE: '500',
      WAN_VIDEO_SUBMIT_RATE: '100',
    };
    const config = loadConfig(env, { cwd: ROOT, homeDir: home });
    const store = openStore(config.store);
    const client = await connectClient({ namespace: 'default', connection: { address: server.address } });
    await registerSearchAttributes(client);
    const batches = new WanBatchClient({ client, store, taskQueue: config.taskQueues.generate });
    const { asset } = await stageImage(join(ROOT, 'assets', 'sample.jpg'), store);

    const crew = await Promise.all([0, 1].map(() => startWorker(build.dist, {}, env)));
    const random = randomOf(seed);
    const ids = Array.from({ length: items }, (_, n) => `item-${n}`);
    const request = { fps: 30, size: '1280*720', reference_image: `asset:${asset.key}` };
    const manifest = ids.map((item_id) => {
      return { ...request, item_id, prompt: `soak ${seed}/${item_id}`, duration: random.between(2, 5) };
    });
    const { batch_id, id } = await batches.start({ lines: manifest }, { window: WINDOW });
    const state = { over: false, kills: 0 };
    const killing = (async () => {
      for (let nextMs = Date.now() + killEvery * 1_000; !state.over; await delay(250)) {
        if (Date.now() < nextMs) continue;
        nextMs += killEvery * 1_000;
        const at = random.between(0, 1);
        await end(crew[at], 'SIGKILL');
        state.kills += 1;
        say(`killed a worker, the ${state.kills}. time; ${await progressOf(batches, batch_id)}`);
        if (!state.over) crew[at] = await startWorker(build.dist, {}, env);
      }
    })();
    const late = delay(deadlineMs - Date.now(), undefined, { ref: false }).then(() => undefined);
    const summary = await Promise.race([batches.result(batch_id), late]);
    const progress = summary === undefined ? await progressOf(batches, batch_id) : '';
    state.over = true;
    await killing;
    if (summary === undefined) {
      return {
        kills: state.kills,
        staged,
        violations: [`did not end in ${minutes} min: ${progress}`, ...faultsOf(staged, lines)],
      };
    }

    const { tasks, billed_seconds } = await emulator.control('state');
    const scope = { provider: config.provider.providerId, account: config.provider.account };
    const ledger = new Ledger({ store, scope, now: Date.now });
    const verdict = soakVerdict({
      items: ids,
      summary,
      tasks,
      histories: await historiesOf(client, id),
      rows: await listOf(batches.report(batch_id)),
      days: (await Promise.all(daysOf(tasks).map((day) => listOf(ledger.listBills(day))))).flat(),
      hashes: await hashesOf(tasks, { baseUrl: emulator.baseUrl, key: KEY, store }),
      open: (await ledger.listOpen()).open.map(({ purchase: { key, n } }) => `${key}/${n}`),
    });
    const violations = [...verdict.violations, ...faultsOf(staged, lines)];
    if (state.kills === 0) violations.push('it was over before a worker was killed');
    return { ...verdict, violations, kills: state.kills, staged, billedSeconds: billed_seconds };
  } finally {
    // The client stays open: what still waits in it would throw from its timers, and this process ends anyway.
    await endAll();
    await server?.stop();
    await build.remove();
    await rm(home, { recursive: true, force: true });
  }
}

async function stageLines(dist, folder, lines) {
  const script = fileURLToPath(new URL('stage-lines.mjs', import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', script, dist, folder, String(lines)]);
  return JSON.parse(stdout);
}

function faultsOf(staged, lines) {
  if (staged === undefined) return [];
  return [
    ...(staged.items === lines ? [] : [`${staged.items} of ${lines} lines were staged`]),
    ...(staged.ms <= STAGE_MS_MAX ? [] : [`staging took ${Math.round(staged.ms)} ms`]),
    ...(staged.growth <= STAGE_GROWTH_MAX ? [] : [`staging more lines took ${staged.growth} bytes more of memory`]),
  ];
}

/** Every run of the batch, from the first to the last. */
async function historiesOf(client, workflowId) {
  const runs = [];
  for (
    let runId = (await client.workflow.getHandle(workflowId).describe()).raw.workflowExecutionInfo.firstRunId;
    runId;
  ) {
    const { events = [] } = await client.workflow.getHandle(workflowId, runId, { followRuns: false }).fetchHistory();
    runs.push({ runId, events: events.length, payloadBytes: largestPayload(events) });
    runId = events.at(-1)?.workflowExecutionContinuedAsNewEventAttributes?.newExecutionRunId;
  }
  return runs;
}

/** The days, UTC, on which the tasks ended. */
const daysOf = (tasks) => [...new Set(tasks.map(({ end_ms }) => dayOf(end_ms)))];

async function listOf(generator) {
  const list = [];
  for await (const one of generator) list.push(one);
  return list;
}

const progressOf = (batches, batchId) =>
  batches.progress(batchId).then(
    ({ counts, in_flight }) => `${counts.generated} of ${counts.total} have their video, ${in_flight} are in work`,
    () => 'the batch does not answer',
  );
