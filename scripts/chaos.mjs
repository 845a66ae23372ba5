// npm run chaos: many generations under random faults while workers die, judged by the provider's own books.
import './require-node.mjs';
import { parseArgs } from 'node:util';
import { BROKEN } from '../test/chaos/build.mjs';
import { runChaos } from '../test/chaos/run-chaos.mjs';

const USAGE = `usage: npm run chaos -- [--generations 200] [--minutes 15] [--seed N] [--workers 3]
                        [--store file|s3] [--broken NAME]

Generates videos at the emulator, alone and as items of two batches, on budgets that do not suffice for all of them,
while worker processes are killed, stopped, frozen and started, replies are lost in every way, one of ten comes with a
hostile request, file or messages, runs are cancelled and terminated, the account's slots are terminated, and the
provider itself is killed and started again. Every end is notified to a receiver that at times takes nothing, each batch
delivers its videos under names, and at the end "wan-video audit" explains every task and rescues an orphan that was
planted.
Exit code 0: nothing was bought twice, overspent, refused although there was room, lost, left open, parked, notified
under two ids, undelivered or unexplained. Exit code 1: something was.
--broken runs a build that is broken on purpose; then exit code 0 says that the judge caught it, 1 that it did not.
${Object.entries(BROKEN)
  .map(([name, { says }]) => `  ${name}: ${says}`)
  .join('\n')}
`;

const whole = (name, text) => {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new Error(`--${name} must be a whole number above 0`);
};

function optionsOf(args) {
  const { values } = parseArgs({
    args,
    options: {
      generations: { type: 'string', default: '200' },
      minutes: { type: 'string', default: '15' },
      seed: { type: 'string', default: String(1 + Math.floor(Math.random() * 1_000_000)) },
      workers: { type: 'string', default: '3' },
      store: { type: 'string', default: 'file' },
      broken: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  const { store, broken, help } = values;
  if (help) return undefined;
  if (store !== 'file' && store !== 's3') throw new Error('--store must be file or s3');
  if (broken !== undefined && !Object.hasOwn(BROKEN, broken))
    throw new Error(`--broken must be one of ${Object.keys(BROKEN)}`);
  const numbers = ['generations', 'minutes', 'seed', 'workers'].map((name) => [name, whole(name, values[name])]);
  return { ...Object.fromEntries(numbers), store, broken };
}

async function main() {
  let options;
  try {
    options = optionsOf(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${error.message}\n\n${USAGE}`);
    return 2;
  }
  if (options === undefined) {
    process.stdout.write(USAGE);
    return 0;
  }
  const { seed, generations, minutes, broken } = options;
  const startedMs = Date.now();
  const seconds = () => Math.round((Date.now() - startedMs) / 1000);
  const say = (line) => process.stderr.write(`${String(seconds()).padStart(4)} s  ${line}\n`);
  say(
    `seed ${seed}, ${generations} generations, at most ${minutes} min${broken === undefined ? '' : `, broken: ${broken}`}`,
  );
  const result = await runChaos({ ...options, say });
  const { done, left } = result;
  const scopes = Object.entries(result.refused).map(([scope, count]) => `${scope} ${count}`);
  const lines = [
    ['generations', `${result.started} of ${generations}, in ${seconds()} s (seed ${seed})`],
    ['workers', `${done.started} started, ${done.killed} killed, ${done.stopped} stopped, ${done.frozen} frozen`],
    ['provider', `killed and started again ${done.restarts} times; slots terminated ${done.slots} times`],
    ['purchases', `${result.purchases} billed tasks, ${result.free} free ones; ${result.estimated} bills estimated`],
    ['hostile', `${result.hostile} of the generations came with a hostile request, file or messages`],
    ['duplicates', result.duplicates],
    ['losses', result.losses],
    ['overspent', `${result.overspent} budgets; refused by ${scopes.join(', ') || 'none'}`],
    ['parked runs', result.parked],
    [
      'left by us',
      `${left.runs} cancelled or terminated; ${left.billed} of their tasks billed, ${left.salvaged} salvaged`,
    ],
    ['delivered', result.delivered],
    ['audited', result.audited],
    ['worst gap', `${(result.worstGapMs / 1000).toFixed(1)} s from the end of a task to its video in the store`],
  ];
  for (const [name, value] of lines.filter(([, value]) => value !== undefined))
    process.stdout.write(`${name.padEnd(12)} ${value}\n`);
  for (const violation of result.violations) process.stdout.write(`VIOLATION    ${violation}\n`);
  if (broken === undefined) {
    const short = result.started < generations ? ['the time was too short for all generations'] : [];
    for (const why of short) process.stdout.write(`VIOLATION    ${why}\n`);
    const failed = result.violations.length + short.length > 0;
    process.stdout.write(
      failed
        ? 'FAILED\n'
        : 'passed: everything was bought once and within the budgets, nothing is lost, ' +
            'each end was notified and every task explained\n',
    );
    return failed ? 1 : 0;
  }
  const { says, shows } = BROKEN[broken];
  const caught = result[shows] > 0;
  process.stdout.write(caught ? `caught: ${broken} (${says})\n` : `NOT CAUGHT: ${broken}\n`);
  return caught ? 0 : 1;
}

process.exit(await main());
