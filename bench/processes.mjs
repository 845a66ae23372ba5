// What processes cost by themselves, next to the least that they could: commands, a worker's start with a long ledger,
// a worker without work, and one that watches many tasks, compared with the plain workflow's polling:
//   node bench/processes.mjs [--only commands,ready,idle,rendering] [--times 9] [--ledger 50000] [--watched 500]
//       [--seconds 60] [--json FILE]
// Needs the build (dist/). CPU is what the kernel counts (Linux). Exit code 1: a bound is not kept.
import '../scripts/require-node.mjs';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { LedgerPaths } from '../dist/src/ledger/paths.js';
import { cpuMsOf, median } from './figures.mjs';
import { at, startStack } from './stack.mjs';

const PARTS = ['commands', 'ready', 'idle', 'rendering'];
const { values } = parseArgs({
  options: {
    only: { type: 'string', default: PARTS.join(',') },
    times: { type: 'string', default: '9' },
    ledger: { type: 'string', default: '50000' },
    watched: { type: 'string', default: '500' },
    seconds: { type: 'string', default: '60' },
    json: { type: 'string' },
  },
});
const only = values.only.split(',');
const unknown = only.filter((name) => !PARTS.includes(name));
if (unknown.length > 0) throw new Error(`--only: there is no ${unknown.join(', ')}`);
const [times, purchases, watched, seconds] = [values.times, values.ledger, values.watched, values.seconds].map(Number);

/** A person who asks one thing waits no longer. */
const COMMAND_MOST_MS = 1_000;
const READY_MOST_MS = 3_000;
const IDLE_MOST_PERCENT = 2;
/** Seconds between two looks of a plain workflow at its task. */
const PLAIN_POLL_MS = 5_000;
/** Tasks that render longer than any part takes. */
const RENDER_SECONDS = 36_000;
const SETTLE_MS = 30_000;
const rows = [];

/** Prints a figure; one with `most` is judged. */
function show(part, what, value, { unit = '', digits = 0, most, note = '' } = {}) {
  const held = most === undefined || value <= most;
  rows.push({ part, what, value, unit, most, held, note });
  const judged = most === undefined ? '' : `at most ${most.toFixed(digits)}: ${held ? 'held' : 'NOT HELD'}`;
  const text = `${part.padEnd(9)} ${what.padEnd(58)} ${value.toFixed(digits).padStart(8)} ${unit.padEnd(3)} ${judged}`;
  process.stdout.write(`${text}${note === '' ? '' : `   (${note})`}\n`);
}

/** Share of a core that a process uses, in percent. */
async function loadOf(child) {
  const [before, fromMs] = [cpuMsOf(child), performance.now()];
  await sleep(seconds * 1_000);
  return (100 * (cpuMsOf(child) - before)) / (performance.now() - fromMs);
}

/** Milliseconds that a command takes; median, after one run that fills the caches. */
async function commandMs(args, env) {
  const took = [];
  for (let run = 0; run <= times; run += 1) {
    const fromMs = performance.now();
    const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'ignore', 'inherit'] });
    const [code] = await once(child, 'exit');
    if (code !== 0) throw new Error(`${args.slice(1).join(' ')} ended with ${code}`);
    if (run > 0) took.push(performance.now() - fromMs);
  }
  return median(took);
}

async function commands(stack) {
  const product = await stack.product('commands');
  await product.startWorker('sk-commands');
  const { id } = await product.videos.start(product.request('asked about'));
  const cli = at('../dist/src/cli/main.js');
  const { env } = product;
  const nothing = await commandMs(['-e', '0'], env);
  show('commands', 'node -e 0', nothing, { unit: 'ms' });
  const image = at('../assets/sample.jpg');
  for (const [what, args, most] of [
    ['--help', ['--help']],
    ['generate --dry-run', ['generate', '--dry-run', '--image', image, '--prompt', 'a boat'], COMMAND_MOST_MS],
    ['status ID', ['status', id], COMMAND_MOST_MS],
    ['slots', ['slots'], COMMAND_MOST_MS],
  ]) {
    const tookMs = await commandMs([cli, ...args], env);
    show('commands', what, tookMs, { unit: 'ms', most, note: `${(tookMs / nothing).toFixed(1)} x node -e 0` });
  }
}

/** A worker's start with so many closed purchases in the last day: their names are what a start could list. */
async function ready(stack) {
  const product = await stack.product('ready');
  const { provider, store } = product.config;
  const paths = LedgerPaths.of({ provider: provider.providerId, account: provider.account });
  const write = (key) => {
    const file = join(store.path, key);
    mkdirSync(join(file, '..'), { recursive: true });
    writeFileSync(file, '{}');
  };
  for (const count of [0, purchases]) {
    const nowMs = Date.now();
    for (let n = 0; n < count; n += 1) {
      const purchase = { key: String(n).padStart(64, '0'), n: 1 };
      const announcement = paths.announcement(purchase, nowMs - (n / count) * 86_400_000);
      write(announcement);
      write(LedgerPaths.marker(announcement));
    }
    const fromMs = performance.now();
    const worker = await product.startWorker('sk-ready');
    const tookMs = performance.now() - fromMs;
    show('ready', `a worker is ready, ${count} purchases in the last day`, tookMs, { unit: 'ms', most: READY_MOST_MS });
    worker.kill('SIGKILL');
  }
}

async function idle(stack) {
  const product = await stack.product('idle');
  const worker = await product.startWorker('sk-idle');
  await sleep(SETTLE_MS);
  show('idle', 'a worker without work', await loadOf(worker), { unit: '%', digits: 1, most: IDLE_MOST_PERCENT });
  worker.kill('SIGKILL');
}

async function rendering(stack) {
  const settings = { WAN_VIDEO_MAX_RUNNING: '1000', WAN_VIDEO_SUBMIT_RATE: '1000' };
  const product = await stack.product('rendering', settings);
  const worker = await product.startWorker('sk-rendering');
  const plain = await stack.plain('rendering', { key: 'sk-rendering', pollMs: PLAIN_POLL_MS });
  const load = new Map();
  for (const [whose, child, start] of [
    ['plain workflow', plain.worker, () => void plain.generate(randomUUID()).catch(() => undefined)],
    ['generation', worker, () => product.videos.start(product.request(randomUUID()))],
  ]) {
    const before = await rendered(stack);
    for (let n = 0; n < watched; n += 1) await start();
    while ((await rendered(stack)) < before + watched) await sleep(500);
    await sleep(SETTLE_MS);
    load.set(whose, await loadOf(child));
    child.kill('SIGKILL');
  }
  show('rendering', `plain workflow, ${watched} rendering`, load.get('plain workflow'), { unit: '%', digits: 1 });
  const most = load.get('plain workflow');
  show('rendering', `generations, ${watched} rendering`, load.get('generation'), { unit: '%', digits: 1, most });
}

const rendered = async (stack) => (await stack.control('rendering', 'state')).tasks.length;

const cells = PARTS.map((name) => ({
  name,
  seconds: RENDER_SECONDS,
  jitter: 0,
  settings: {},
  accounts: { [`sk-${name}`]: name },
}));
const parts = { commands, ready, idle, rendering };
const stack = await startStack(cells.filter(({ name }) => only.includes(name)));
try {
  for (const name of PARTS.filter((one) => only.includes(one))) await parts[name](stack);
} finally {
  await stack.close();
}
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(rows, null, 2)}\n`);
process.exit(rows.every(({ held }) => held) ? 0 : 1);
