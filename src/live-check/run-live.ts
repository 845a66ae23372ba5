import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import type { CommandContext } from '../cli/context.js';
import { type Interrupts, unlessInterrupted, withInterrupts } from '../cli/interrupts.js';
import { type Config, loadConfig } from '../config/config.js';
import { amountOf, LIST_PRICES } from '../config/prices.js';
import { invalidRequest } from '../contract/validate.js';
import { startEmulator } from '../emulator/index.js';
import { verifyConditionalPut } from '../storage/verify-conditional-put.js';
import { amountText } from '../text/amount.js';
import { ExitCode } from '../text/exit-code.js';
import { table } from '../text/table.js';
import { LIVE_SECONDS } from './buy-one.js';
import { liveCheck } from './live-check.js';
import { differences, type LiveDifference, type LiveRecord, parseRecord } from './record.js';

/** Two seconds of video render in 2.5 s: long enough to be seen rendering. */
const EMULATOR_SPEED = 5;
const INTERRUPTED =
  'Interrupted. A video that was bought stays in the ledger: the same command goes on with it and buys no other.';

/** `wan-video doctor --live`: asks the provider itself, and writes down what it said. */
export async function runLive({ yes = false }: { readonly yes?: boolean }, context: CommandContext): Promise<number> {
  const { stdin, stderr, cwd } = context.io;
  const config = await context.config();
  const apiKey = await context.apiKey();
  const price = await priceText(config, context);
  const terminal = stdin.isTTY === true && stderr.isTTY === true;
  if (!yes && !terminal) {
    const message = `is needed without a terminal: the check buys ${price}`;
    throw invalidRequest([{ path: '--yes', message }]);
  }
  const store = await context.stagingStore();
  await verifyConditionalPut(store, { newId: () => crypto.randomUUID() });
  context.say(`Asking ${config.provider.baseUrl}: first what is free, then by one video: ${price}.`);
  const record = await withInterrupts(context.io, (interrupts) =>
    unlessInterrupted(
      liveCheck({
        ...{ config, apiKey, say: (line: string) => context.say(line), signal: interrupts.first },
        told: ({ question, answer }) => context.say(`${question}  ${answer}`),
        agreed: async () => yes || (await confirmed(price, context, interrupts)),
      }),
      interrupts.first,
      INTERRUPTED,
    ),
  );
  const file = resolve(cwd, `going-live-${record.made_at.replace(/[:.]/g, '-')}.json`);
  await writeFile(file, `${JSON.stringify(record, null, 2)}\n`, { flag: 'wx' });
  context.result({ ...record, file }, endText(record, file));
  switch (record.purchase.outcome) {
    case 'declined':
      return ExitCode.cancelled;
    case 'refused':
    case 'undecided':
    case 'unforeseen':
      return ExitCode.failed;
    default:
      return record.purchase.video_url === null ? ExitCode.failed : ExitCode.done;
  }
}

/** `wan-video doctor --compare FILE`: what of a record the emulator does otherwise. */
export async function runCompare(path: string, context: CommandContext): Promise<number> {
  const file = resolve(context.io.cwd, path);
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw invalidRequest([{ path: '--compare', message: `${path} cannot be read (${error.code ?? 'unknown fault'})` }]);
  });
  const record = parseRecord(text, basename(file));
  const found = await withInterrupts(context.io, async ({ first }) =>
    differences(record.answers, (await checkEmulator(first, (line) => context.say(line))).answers),
  );
  context.result({ same: found.length === 0, differences: found }, compareText(found));
  return found.length === 0 ? ExitCode.done : ExitCode.failed;
}

/** The same check against an emulator as it starts. */
async function checkEmulator(signal: AbortSignal, say: (line: string) => void): Promise<LiveRecord> {
  const folder = await mkdtemp(join(tmpdir(), 'wan-video-compare-'));
  const emulator = await startEmulator({ settings: { speed: EMULATOR_SPEED } });
  try {
    const env = { DASHSCOPE_HTTP_BASE_URL: emulator.baseUrl, OUTPUT_DIR: folder };
    const config = loadConfig(env, { cwd: folder, homeDir: folder });
    say('Asking an emulator the same …');
    const agreed = async () => true;
    return await liveCheck({ config, apiKey: 'sk-emulator', say, signal, agreed, told: () => undefined });
  } finally {
    await emulator.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** `2 s of silent video at 720P for about CNY 0.30`, by the configured prices or the provider's list. */
async function priceText({ provider }: Config, context: CommandContext): Promise<string> {
  const what = `${LIVE_SECONDS} s of silent video at 720P`;
  const prices = await context.prices();
  if (prices !== undefined) {
    return `${what} for ${prices.currency} ${amountText(amountOf(prices, LIVE_SECONDS, '720P', false))}`;
  }
  const list = LIST_PRICES[provider.providerId];
  if (list === undefined) return `${what} at a price that is not known here`;
  return `${what} for about ${list.currency} ${amountText(LIVE_SECONDS * list.perSecond)} (list price; the provider's price page binds)`;
}

async function confirmed(price: string, { io }: CommandContext, { first }: Interrupts): Promise<boolean> {
  const lines = createInterface({ input: io.stdin, output: io.stderr });
  try {
    const closed = new Promise<string>((done) => lines.once('close', () => done('')));
    const asked = lines.question(`Buy ${price}? [y/N] `, { signal: first });
    return /^y(es)?$/i.test((await Promise.race([asked, closed])).trim());
  } finally {
    lines.close();
  }
}

function endText({ purchase, answers }: LiveRecord, file: string): string {
  const { outcome, task_id, video_url, billed_seconds, why } = purchase;
  const what = {
    bought: 'One video was bought',
    found: 'The video of an earlier check served; nothing was bought',
    refused: 'The provider refused the video; nothing was bought',
    undecided:
      'The reply was lost, and nothing proves yet what became of it; run the check again, it buys nothing until that is decided',
    declined: 'Nothing was bought',
    unforeseen: 'The provider took a wrong request for a right one; nothing else was bought',
  } as const;
  return [
    `${what[outcome]}.`,
    ...(why === null ? [] : [`why       ${why}`]),
    ...(task_id === null ? [] : [`task      ${task_id}`]),
    ...(video_url === null ? [] : [`video     ${video_url}`]),
    ...(billed_seconds === null ? [] : [`billed    ${billed_seconds} s`]),
    `answers   ${answers.length}, in ${file}`,
    `compare   wan-video doctor --compare ${basename(file)}`,
  ].join('\n');
}

function compareText(found: readonly LiveDifference[]): string {
  if (found.length === 0) return 'The emulator behaves as the record says.';
  const rows = found.map(({ question, record, emulator_says, emulator }) => [
    question,
    record ?? '-',
    emulator_says ?? '-',
    emulator ?? '-',
  ]);
  return table(['QUESTION', 'RECORD', 'EMULATOR', 'SETTING'], rows);
}
