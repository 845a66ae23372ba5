// npm run soak: one batch of a thousand items while workers die, judged by the provider's own books.
import './require-node.mjs';
import { parseArgs } from 'node:util';
import { runSoak } from '../test/soak/run-soak.mjs';

const USAGE = `usage: npm run soak -- [--items 1000] [--lines 10000] [--minutes 30] [--kill-every 60] [--seed N]

Stages a manifest of --lines lines (0: none), then runs a batch of --items at the emulator on two workers, one of which is killed every
--kill-every seconds. Exit code 0: report, provider and ledger agree to the second, every item has its video, once, and histories and
payloads are within their bounds. Exit code 1: something is not so.
`;

function optionsOf(args) {
  const text = (value) => ({ type: 'string', default: value });
  const { values } = parseArgs({
    args,
    options: {
      items: text('1000'),
      lines: text('10000'),
      minutes: text('30'),
      'kill-every': text('60'),
      seed: text(String(1 + Math.floor(Math.random() * 1_000_000))),
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  const whole = (name, least) => {
    const value = Number(values[name]);
    if (Number.isInteger(value) && value >= least) return value;
    throw new Error(`--${name} must be a whole number of at least ${least}`);
  };
  return {
    items: whole('items', 1),
    lines: whole('lines', 0),
    minutes: whole('minutes', 1),
    seed: whole('seed', 1),
    killEvery: whole('kill-every', 1),
  };
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
  const startedMs = Date.now();
  const seconds = () => Math.round((Date.now() - startedMs) / 1000);
  const say = (line) => process.stderr.write(`${String(seconds()).padStart(4)} s  ${line}\n`);
  say(`seed ${options.seed}, ${options.items} items, at most ${options.minutes} min`);
  const { totals = {}, kills, staged, worstEvents, worstPayload, violations } = await runSoak({ ...options, say });
  const lines = [
    ['items', `${options.items}, in ${seconds()} s (seed ${options.seed})`],
    ['workers', `2, killed ${kills} times`],
    [
      'billed',
      Object.entries(totals)
        .map(([name, sum]) => `${name} ${sum} s`)
        .join(', '),
    ],
    ['history', `at most ${worstEvents} events in a run, ${worstPayload} bytes in an event`],
    ...(staged === undefined
      ? []
      : [
          [
            'staging',
            `${staged.items} lines in ${(staged.ms / 1000).toFixed(1)} s, ${Math.round(staged.growth / 2 ** 20)} MiB more memory than for a tenth`,
          ],
        ]),
  ];
  for (const [name, value] of lines) process.stdout.write(`${name.padEnd(8)} ${value}\n`);
  for (const violation of violations) process.stdout.write(`VIOLATION  ${violation}\n`);
  process.stdout.write(
    violations.length > 0 ? 'FAILED\n' : 'passed: every total agrees, nothing is lost or bought twice\n',
  );
  return violations.length > 0 ? 1 : 0;
}

process.exit(await main());
