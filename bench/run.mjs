// Requests per generation and detection delay of this product, the official Python SDK and the Vercel AI SDK's Alibaba
// model, side by side against the same emulators:
//   node bench/run.mjs [--full] [--seconds 30,90,180] [--jitter 0.05] [--runs 20] [--in-flight 100] [--fleet 150]
//       [--json FILE]
// Needs the build (dist/), and scripts/parts/python.sh for the official SDK, which is left out without it.
import '../scripts/require-node.mjs';
import { fork, spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bounds, figuresOf } from './figures.mjs';

const at = (name) => fileURLToPath(new URL(name, import.meta.url));
const say = (line) => process.stdout.write(`${line}\n`);

const { values } = parseArgs({
  options: {
    full: { type: 'boolean', default: false },
    seconds: { type: 'string' },
    jitter: { type: 'string' },
    runs: { type: 'string', default: '20' },
    'in-flight': { type: 'string', default: '100' },
    fleet: { type: 'string' },
    json: { type: 'string' },
  },
});
const [runs, inFlight] = [values.runs, values['in-flight']].map(Number);
/** Enough for one and a half rounds; with two rounds the default would not be over in a quarter of an hour. */
const fleetRuns = Number(values.fleet ?? (values.full ? 200 : 150));
const list = (text) => text.split(',').map(Number);

/** Render time in seconds and its jitter; the default is over in a quarter of an hour. */
function cellsWanted() {
  if (values.seconds === undefined && values.jitter === undefined && !values.full) {
    return [cell(30, 0.05), cell(90, 0.05), cell(180, 0.05), cell(180, 0), cell(180, 0.15)];
  }
  const jitters = list(values.jitter ?? (values.full ? '0,0.05,0.15' : '0.05'));
  return list(values.seconds ?? '30,90,180').flatMap((seconds) => jitters.map((jitter) => cell(seconds, jitter)));
}

function cell(seconds, jitter) {
  return { name: `${seconds} s ± ${jitter * 100} %`, seconds, jitter };
}

/** Starts a script of this folder, sends it one message and resolves its answer. */
function ask(child, message) {
  return new Promise((resolve, reject) => {
    child.once('message', resolve);
    child.once('exit', (code) => reject(new Error(`${child.spawnargs[1]} ended with ${code}`)));
    child.send(message);
  });
}

async function inNode(script, plan) {
  const child = fork(at(script));
  const { failures } = await ask(child, plan);
  child.disconnect();
  return failures;
}

function inPython(python) {
  return (plan) =>
    new Promise((resolve, reject) => {
      const env = { ...process.env, NO_PROXY: '127.0.0.1', DASHSCOPE_API_KEY: 'sk-unused' };
      const child = spawn(python, [at('official.py')], { env, stdio: ['pipe', 'pipe', 'inherit'] });
      let output = '';
      child.stdout.on('data', (chunk) => {
        output += chunk;
      });
      child.once('error', reject);
      child.once('exit', (code) => {
        if (code === 0) resolve(JSON.parse(output).failures);
        else reject(new Error(`the official SDK's process ended with ${code}`));
      });
      child.stdin.end(JSON.stringify(plan));
    });
}

function clientsAtHand() {
  const clients = [{ name: 'this product', run: (plan) => inNode('product.mjs', plan), learns: true }];
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  const python = process.env.WAN_VIDEO_PYTHON || join(cache, 'wan-video-temporal', 'python', 'bin', 'python');
  if (existsSync(python)) clients.push({ name: 'official Python SDK', run: inPython(python) });
  else say('Left out: the official Python SDK; scripts/parts/python.sh installs it.');
  clients.push({ name: 'Vercel AI SDK', run: (plan) => inNode('vercel.mjs', plan) });
  return clients;
}

/** Runs all jobs at once and gives each the log of its keys. */
async function runAll(jobs, provider, origins) {
  const results = await Promise.all(
    jobs.map(async (job) => {
      const plan = job.plan.map((entry) => ({ ...entry, origin: origins.get(job.cell.name) }));
      return { ...job, failures: await job.client.run(plan) };
    }),
  );
  const { log } = await ask(provider, 'log');
  return results.map((job) => {
    const keys = new Set(job.plan.map(({ key }) => key));
    return { ...job, ...figuresOf(log.filter((entry) => entry.cell === job.cell.name && keys.has(entry.key))) };
  });
}

function loneJob(client, cell, state, samples = []) {
  const id = `${state}-${client.name}-${cell.name}`.replace(/[^a-z0-9]+/gi, '-');
  // Spread over five seconds: 20 submits at once would all start in the same millisecond.
  const plan = Array.from({ length: runs }, (_, n) => ({ key: `sk-${id}-${n}`, delayMs: (n * 5000) / runs, samples }));
  return { client, cell, state, plan };
}

function fleetJob(client, cell, samples = []) {
  const key = `sk-fleet-${client.name}-${cell.name}`.replace(/[^a-z0-9]+/gi, '-');
  const gapMs = (cell.seconds * 1000) / inFlight;
  const plan = Array.from({ length: fleetRuns }, (_, n) => ({ key, delayMs: n * gapMs, samples, isFleet: true }));
  return { client, cell, state: `${inFlight} in flight`, plan };
}

function print(rows) {
  const columns = ['cell', 'state', 'client', 'noticed', 'requests', 'delay mean', 'delay p95', '429', 'in a second'];
  say(`| ${columns.join(' | ')} |\n|${columns.map(() => '---').join('|')}|`);
  for (const row of rows) {
    const { cell, state, client, noticed, plan, requests, meanMs, p95Ms, refused, busiestSecond } = row;
    const seconds = (ms) => `${(ms / 1000).toFixed(2)} s`;
    const figures = [requests.toFixed(1), seconds(meanMs), seconds(p95Ms), `${(100 * refused).toFixed(1)} %`];
    say(`| ${[cell.name, state, client.name, `${noticed}/${plan.length}`, ...figures, busiestSecond].join(' | ')} |`);
  }
}

/** This product's requests and delay as parts of the others', for the same cell. */
function ratios(rows) {
  const others = rows.filter(({ client }) => !client.learns);
  return rows
    .filter(({ client }) => client.learns)
    .flatMap((ours) =>
      others
        // The others learn nothing: their lone runs are the same before and after.
        .filter(
          ({ cell, state }) =>
            cell.name === ours.cell.name && (state === ours.state || (ours.state === 'learned' && state === 'cold')),
        )
        .map(({ client, requests, meanMs }) => ({
          cell: ours.cell.name,
          state: ours.state,
          against: client.name,
          requests: ours.requests / requests,
          delay: ours.meanMs / meanMs,
        })),
    );
}

if (!existsSync(at('../dist/src/polling/task-watcher.js')))
  throw new Error('Run npm run build first: the bench runs dist/');
const cells = cellsWanted();
const clients = clientsAtHand();
const fleetCells = values.full ? cells : cells.filter(({ jitter }) => jitter === 0.05).slice(-1);

const cold = cells.flatMap((one) => clients.map((client) => loneJob(client, one, 'cold')));
const later = (samplesOf) => [
  ...cells.flatMap((one) =>
    clients.filter(({ learns }) => learns).map((client) => loneJob(client, one, 'learned', samplesOf(one))),
  ),
  ...fleetCells.flatMap((one) => clients.map((client) => fleetJob(client, one, samplesOf(one)))),
];
// Each key is an account of its own: its limits are its own, and its runs meet nobody.
const keys = [...cold, ...later(() => [])].flatMap(({ plan }) => plan.map(({ key }) => key));
const provider = fork(at('provider.mjs'));
const started = await ask(provider, { cells, accounts: Object.fromEntries(keys.map((key) => [key, key])) });
const origins = new Map(started.origins.map(({ name, origin }) => [name, origin]));
try {
  const first = await runAll(cold, provider, origins);
  const samplesOf = ({ name }) => first.find((row) => row.cell.name === name && row.client.learns)?.samples ?? [];
  const rows = [...first, ...(await runAll(later(samplesOf), provider, origins))];
  rows.sort((a, b) => cells.indexOf(a.cell) - cells.indexOf(b.cell));
  print(rows);
  say(
    '\nThis product in proportion to the others:\n| cell | state | against | requests | delay |\n|---|---|---|---|---|',
  );
  for (const { cell, state, against, requests, delay } of ratios(rows)) {
    say(`| ${cell} | ${state} | ${against} | ${requests.toFixed(2)} | ${delay.toFixed(2)} |`);
  }
  const judged = bounds(rows, ratios(rows));
  if (judged.length > 0) say('');
  for (const { what, value, most, held } of judged) {
    say(`${what}: ${value.toFixed(2)}, at most ${most}: ${held ? 'held' : 'NOT HELD'}`);
    if (!held) process.exitCode = 1;
  }
  for (const {
    client,
    cell: { name },
    state,
    failures,
  } of rows) {
    if (failures.length > 0)
      say(`${client.name}, ${name}, ${state}: ${failures.length} runs failed, such as: ${failures[0]}`);
  }
  if (values.json !== undefined) {
    const plain = rows.map(({ plan, samples, client, cell: { name }, ...row }) => ({
      ...row,
      client: client.name,
      cell: name,
      runs: plan.length,
    }));
    writeFileSync(values.json, `${JSON.stringify({ rows: plain, ratios: ratios(rows), bounds: judged }, null, 2)}\n`);
  }
} finally {
  provider.disconnect();
}
