import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { amountOf, LIST_PRICES, type Prices } from '../../config/prices.js';
import { amountText } from '../../contract/budget.js';
import { invalidRequest } from '../../contract/validate.js';
import { startEmulator } from '../../emulator/index.js';
import { LIVE_SECONDS } from '../../live-check/buy-one.js';
import { checkLive, type LiveCheckOptions } from '../../live-check/live-check.js';
import { differences, type LiveDifference, type LiveRecord, parseRecord } from '../../live-check/record.js';
import { verifyConditionalPut } from '../../storage/verify-conditional-put.js';
import { canAsk, confirm } from '../../text/confirm.js';
import { ExitCode } from '../../text/exit-code.js';
import { table } from '../../text/table.js';
import type { CommandContext } from '../context.js';
import { unlessInterrupted, withInterrupts } from '../interrupts.js';
import { Settings } from '../settings.js';
import { openLiveTools } from './open-live-tools.js';

/** Two seconds of video render in 2.5 s: long enough to be observed while rendering. */
const EMULATOR_SPEED = 5;
const INTERRUPTED =
  'Interrupted. A video that was bought is in the ledger: run the same command again to continue; it buys no other.';

/** `wan-video doctor --live`: checks how the provider behaves, and records it. */
export async function runLive(yes: boolean, context: CommandContext): Promise<number> {
  const settings = new Settings(context.io);
  const { provider } = settings.config();
  const apiKey = (await settings.apiKey()).reveal();
  const price = priceText(provider.providerId, await settings.prices());
  if (!yes && !canAsk(context.io)) {
    const message = `is needed without a terminal: the check buys ${price}`;
    throw invalidRequest([{ path: '--yes', message }]);
  }
  await verifyConditionalPut(await settings.stagingStore(), { newId: randomUUID });
  context.say(`Checking ${provider.baseUrl}: first everything that is free, then one video: ${price}.`);
  const record = await withInterrupts(context.io, ({ first: signal }) => {
    const check = runCheck(settings, apiKey, {
      say: (line) => context.say(line),
      onAnswer: ({ question, answer }) => context.say(`${question}  ${answer}`),
      confirmPurchase: async () => yes || confirm(`Buy ${price}?`, context.io, signal),
      signal,
    });
    return unlessInterrupted(check, signal, INTERRUPTED);
  });
  const file = resolve(context.io.cwd, `going-live-${record.made_at.replace(/[:.]/g, '-')}.json`);
  await writeFile(file, `${JSON.stringify(record, null, 2)}\n`, { flag: 'wx' });
  context.result({ ...record, file }, endText(record, file));
  const { outcome, video_url } = record.purchase;
  if (outcome === 'declined') return ExitCode.cancelled;
  return (outcome === 'bought' || outcome === 'found') && video_url !== null ? ExitCode.done : ExitCode.failed;
}

/** `wan-video doctor --compare FILE`: where the emulator behaves differently from a record. */
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

/** The same check with an emulator in its initial state. */
async function checkEmulator(signal: AbortSignal, say: (line: string) => void): Promise<LiveRecord> {
  const folder = await mkdtemp(join(tmpdir(), 'wan-video-compare-'));
  const emulator = await startEmulator({ settings: { speed: EMULATOR_SPEED } });
  try {
    const env = { DASHSCOPE_HTTP_BASE_URL: emulator.baseUrl, OUTPUT_DIR: folder };
    const settings = new Settings({ env, cwd: folder, homeDir: folder });
    say('Checking an emulator in the same way …');
    const confirmPurchase = async () => true;
    return await runCheck(settings, 'sk-emulator', { say, signal, confirmPurchase, onAnswer: () => undefined });
  } finally {
    await emulator.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function runCheck(settings: Settings, apiKey: string, options: LiveCheckOptions): Promise<LiveRecord> {
  const [store, ledger] = [settings.store(), settings.ledger()];
  const { tools, close } = openLiveTools(settings.config(), { store, ledger, apiKey });
  return checkLive(tools, options).finally(close);
}

/** `2 s of silent video at 720P for about CNY 0.30`, by the configured prices or the provider's list. */
function priceText(providerId: string, prices: Prices | undefined): string {
  const what = `${LIVE_SECONDS} s of silent video at 720P`;
  if (prices !== undefined) {
    return `${what} for ${prices.currency} ${amountText(amountOf(prices, LIVE_SECONDS, '720P', false))}`;
  }
  const list = LIST_PRICES[providerId];
  if (list === undefined) return `${what} at a price that is not known here`;
  const amount = amountText(LIVE_SECONDS * list.perSecond);
  return `${what} for about ${list.currency} ${amount} (list price; the provider's price page is binding)`;
}

function endText({ purchase, answers }: LiveRecord, file: string): string {
  const { outcome, task_id, video_url, billed_seconds, why } = purchase;
  const what = {
    bought: 'One video was bought',
    found: 'The video of an earlier check served; nothing was bought',
    refused: 'The provider refused the video; nothing was bought',
    undecided:
      'The reply was lost, and nothing proves yet whether a task exists; run the check again, it buys nothing until ' +
      'that is decided',
    declined: 'Nothing was bought',
    unexpected: 'The provider accepted an invalid request; nothing else was bought',
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
  if (found.length === 0) return 'The emulator behaves as recorded.';
  const rows = found.map(({ question, record, emulator_says, emulator }) => [
    question,
    record ?? '-',
    emulator_says ?? '-',
    emulator ?? '-',
  ]);
  return table(['QUESTION', 'RECORD', 'EMULATOR', 'SETTING'], rows);
}
