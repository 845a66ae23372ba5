// What a busy day's ledger costs: 100 purchases are open, and more and more were closed within a day, on a real S3
// server (versitygw) whose answers take 25 ms longer, with budgets. Each operation and command that reads the ledger
// is measured, with its requests to the store, and compared with the same one where nothing was closed; then the
// start of a command, compared with that of Node.js alone.
//   node bench/ledger.mjs [--closed 0,1000,50000] [--json FILE]
// Needs the build (dist/). Exit code 1: a bound is not kept.
import '../scripts/require-node.mjs';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { MockActivityEnvironment } from '@temporalio/testing';
import { createFindOrphans } from '../dist/activities/find-orphans.js';
import { createFindSpending } from '../dist/activities/find-spending.js';
import { createFindOpenSlots } from '../dist/activities/slot-holders.js';
import { DEFAULT_TIMES } from '../dist/src/config/times.js';
import { DAY_MS, utcDay } from '../dist/src/contract/utc.js';
import { Ledger } from '../dist/src/ledger/ledger.js';
import { crowdTask, crowdWorkflow, makeCrowd, writeObjects } from './ledger-crowd.mjs';
import { startSlowS3 } from './s3.mjs';
import { at, startStack } from './stack.mjs';

const { values } = parseArgs({
  options: { closed: { type: 'string', default: '0,1000,50000' }, json: { type: 'string' } },
});
const OPEN = 100;
/** What a request to an S3 server in another region takes at least. */
const LATENCY_MS = 25;
const COMMAND = at('../dist/src/cli/main.js');
const STARTS = 7;
/** What the issue of a busy day allows, in seconds, with 50,000 closed purchases. */
const SECONDS_MOST = {
  'first sweep': 60,
  sweep: 60,
  'new slots': 10,
  'new slots, full day': 10,
  'first grant': 10,
  cost: 10,
  doctor: 20,
};
const PRICES = {
  currency: 'CNY',
  per_second: { '720P': { silent: 0.15, sound: 0.3 }, '1080P': { silent: 0.25, sound: 0.5 } },
};
const BUDGETS = { day: '1000000.00', tenants: { '*': { day: '1000000.00' } }, batches: {} };

/** Runs a command to its end. */
function run(args, env, codes = [0]) {
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const output = { out: '', err: '' };
  child.stdout.on('data', (chunk) => {
    output.out += chunk;
  });
  child.stderr.on('data', (chunk) => {
    output.err += chunk;
  });
  return new Promise((resolve, reject) => {
    child.once('close', (code) => {
      if (codes.includes(code)) resolve(output.out);
      else reject(new Error(`${args.join(' ')} ended with ${code}: ${output.err}${output.out}`));
    });
  });
}

/** Everything that reads the ledger, with so many closed purchases. */
async function measure(closed) {
  const cell = `ledger-${closed}`;
  const account = { [`sk-${cell}`]: cell };
  const stack = await startStack([
    { name: cell, accounts: account, seconds: 60, jitter: 0, settings: { speed: 100, slots: 10_000 } },
  ]);
  const s3 = await startSlowS3(stack.folder, LATENCY_MS);
  const row = { closed, open: OPEN };
  const measured = async (name, act) => {
    const before = s3.counter.requests;
    const startedMs = performance.now();
    const value = await act();
    row[name] = { seconds: (performance.now() - startedMs) / 1000, requests: s3.counter.requests - before };
    const { seconds, requests } = row[name];
    process.stdout.write(`${String(closed).padStart(6)} ${name.padEnd(24)} ${seconds.toFixed(2)} s, ${requests}\n`);
    return value;
  };
  try {
    const files = ['prices', 'budgets'].map((name) => join(stack.folder, `${name}.json`));
    for (const [index, content] of [PRICES, BUDGETS].entries()) writeFileSync(files[index], JSON.stringify(content));
    const env = {
      ...s3.env,
      WAN_VIDEO_PRICES: files[0],
      WAN_VIDEO_BUDGETS: files[1],
      WAN_VIDEO_MAX_RUNNING: '200',
    };
    const product = await stack.product(cell, env);
    const scope = { provider: 'emulator', account: cell };
    const crowd = await makeCrowd({ scope, closed, open: OPEN, nowMs: Date.now() });
    writeObjects(s3.folder, crowd);

    const { store } = product;
    const ledger = new Ledger({ store, scope, now: Date.now });
    const deps = {
      ledger,
      store,
      clock: { now: Date.now },
      times: DEFAULT_TIMES,
      isRunOpen: async () => false,
      knowsAttributes: async () => true,
      webhook: undefined,
    };
    const step = (activity, input) => new MockActivityEnvironment().run(activity, input);
    const expect = (what, found, wanted) => {
      if (found !== wanted) throw new Error(`${closed} closed: ${what}: ${found}, not ${wanted}`);
    };
    await ledger.listOpen(1); // connects, and learns the store's clock
    // The first sweep digests the hours of the day; each later one those of its hour.
    expect('orphans', (await measured('first sweep', () => step(createFindOrphans(deps)))).orphans.length, OPEN);
    await measured('sweep', () => step(createFindOrphans(deps)));
    expect('open', (await measured('what is open', () => ledger.listOpen())).open.length, OPEN);
    const nowMs = Date.now();
    const slots = (atMs) => {
      const query = { day: utcDay(atMs), wholeDay: true, batches: [], reserved: [] };
      return Promise.all([step(createFindOpenSlots(deps)), step(createFindSpending(deps), query)]);
    };
    expect('spending', (await measured('new slots', () => slots(nowMs)))[1].open.length, OPEN);
    // Slots that start late in a day read all of its bills: the crowd's purchases ended on this day and the one before.
    const midnightMs = nowMs - (nowMs % DAY_MS);
    const fullerDay = nowMs - midnightMs < DAY_MS / 2 ? midnightMs - 1 : nowMs;
    await measured('new slots, full day', () => slots(fullerDay));

    const command = (...args) => run([COMMAND, ...args], { ...product.env, DASHSCOPE_API_KEY: `sk-${cell}` }, [0, 3]);
    const cost = JSON.parse(await measured('cost', () => command('cost', '--json')));
    expect('videos', cost.total.videos, closed);
    await measured('cost --by tenant', () => command('cost', '--by', 'tenant', '--json'));
    const purge = () => command('purge', '--older-than', '48h', '--dry-run', '--json');
    const plan = JSON.parse(await measured('purge --dry-run', purge));
    expect('purged', plan.objects, 0);
    const status = async (name, id) => {
      const shown = JSON.parse(await measured(name, () => command('status', id, '--json')));
      expect(name, shown.status, 'forgotten');
    };
    await status('status, open run', crowdWorkflow(closed));
    await status('status, open task', crowdTask(closed));
    if (closed > 0) await status('status, closed run', crowdWorkflow(Math.floor(closed / 2)));
    await measured('worker ready', () => product.startWorker(`sk-${cell}`));
    await measured('doctor', () => command('doctor', '--json'));
    const startedMs = Date.now();
    const { id } = await product.videos.start(product.request(randomUUID()));
    await product.videos.result(id);
    const log = await stack.log(cell);
    const submit = log.find(({ kind, status: code }) => kind === 'submit' && code === 200);
    row['first grant'] = { seconds: (submit.atMs - startedMs) / 1000 };
    process.stdout.write(`${String(closed).padStart(6)} first grant: ${row['first grant'].seconds.toFixed(2)} s\n`);
  } finally {
    s3.close();
    await stack.close();
  }
  return row;
}

/** Median seconds from the start of a process to its end, with a local store. */
async function startUp() {
  const stack = await startStack([
    { name: 'start', accounts: { 'sk-start': 'start' }, seconds: 60, jitter: 0, settings: {} },
  ]);
  try {
    return await measureStarts({ ...(await stack.product('start')).env, DASHSCOPE_API_KEY: 'sk-start' });
  } finally {
    await stack.close();
  }
}

async function measureStarts(env) {
  const image = at('../assets/sample.jpg');
  const dryRun = ['generate', '--prompt', 'A kitten', '--image', image, '--duration', '5', '--dry-run'];
  const parts = {
    'node -e 0': ['-e', '0'],
    'wan-video --help': [COMMAND, '--help'],
    'wan-video generate --dry-run': [COMMAND, ...dryRun],
  };
  const seconds = Object.fromEntries(Object.keys(parts).map((name) => [name, []]));
  for (let round = 0; round <= STARTS; round += 1) {
    for (const [name, args] of Object.entries(parts)) {
      const startedMs = performance.now();
      await run(args, env);
      if (round > 0) seconds[name].push((performance.now() - startedMs) / 1000);
    }
  }
  return Object.fromEntries(
    Object.entries(seconds).map(([name, list]) => [name, list.toSorted((a, b) => a - b)[Math.floor(STARTS / 2)]]),
  );
}

const started = await startUp();
for (const [name, seconds] of Object.entries(started)) {
  process.stdout.write(`${name.padEnd(30)} ${(1000 * seconds).toFixed(0)} ms\n`);
}
const rows = [];
for (const closed of values.closed.split(',').map(Number)) rows.push(await measure(closed));

let held = true;
const [base] = rows;
process.stdout.write(`\nOpen: ${OPEN}. Seconds, requests to the store, and seconds in proportion to the first row.\n`);
for (const name of Object.keys(rows.at(-1)).filter((one) => typeof rows.at(-1)[one] === 'object')) {
  const cells = rows.map((row) => {
    const { seconds, requests = '' } = row[name] ?? {};
    if (seconds === undefined) return '-';
    const ratio = base[name] === undefined ? '' : ` ${(seconds / base[name].seconds).toFixed(1)} x`;
    return `${row.closed}: ${seconds.toFixed(2)} s ${requests}${ratio}`;
  });
  const most = SECONDS_MOST[name];
  const isHeld = most === undefined || rows.every((row) => row[name].seconds <= most);
  held &&= isHeld;
  const bound = most === undefined ? '' : `at most ${most} s: ${isHeld ? 'held' : 'NOT HELD'}`;
  process.stdout.write(`${name.padEnd(24)} ${cells.map((cell) => cell.padEnd(28)).join('')} ${bound}\n`);
}
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify({ started, rows }, null, 2)}\n`);
process.exit(held ? 0 : 1);
