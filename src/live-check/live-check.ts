import { MODEL } from '../contract/model.js';
import { type AskDeps, askFree, UnexpectedTask } from './ask-free.js';
import { type BuyDeps, buyOne, hasEarlierPurchase } from './buy-one.js';
import type { LiveTools } from './live-tools.js';
import { Answers } from './questions.js';
import type { LiveAnswer, LivePurchase, LiveRecord } from './record.js';
import { watchTask } from './watch-task.js';
import { LiveWire } from './wire.js';

/** How a live check runs. */
export interface LiveCheckOptions {
  /** Called with each answer at once. */
  readonly onAnswer: (answer: LiveAnswer) => void;
  /** Called with remarks on what happens. */
  readonly say: (line: string) => void;
  /** Called right before the purchase, unless an earlier one serves; without a yes nothing is bought. */
  readonly confirmPurchase: () => Promise<boolean>;
  readonly signal: AbortSignal;
}

/** A task takes minutes, and the account may send twenty queries a second. */
const POLL_EVERY_MS = 1_000;
/** An emulator renders in a second or two. */
const EMULATOR_POLL_EVERY_MS = 100;

/**
 * Finds out how a provider behaves: first by everything that is free, then by one video, which is bought like any
 * other.
 * @throws VideoError when the store or the key fails; a refusal by the provider is an answer, not an error.
 */
export async function checkLive(tools: LiveTools, options: LiveCheckOptions): Promise<LiveRecord> {
  const { onAnswer, say, confirmPurchase, signal } = options;
  const { provider, clock } = tools;
  const startedAtMs = clock.now();
  const wire = new LiveWire(provider.baseUrl, tools.dispatcher, {
    authorization: `Bearer ${tools.apiKey}`,
    accept: 'application/json; charset=utf-8',
    ...(provider.workspace !== undefined && { 'x-dashscope-workspace': provider.workspace }),
  });
  const answers = new Answers(onAnswer);
  const pollEveryMs = provider.providerId === 'emulator' ? EMULATOR_POLL_EVERY_MS : POLL_EVERY_MS;
  const ask: AskDeps = { wire, answers, clock, pollEveryMs, signal };
  const buy: BuyDeps = { tools, startedAtMs, say, signal };
  const stopped = await askFreeQuestions(ask, buy);
  const purchase =
    stopped ??
    ((await hasEarlierPurchase(buy)) || (await confirmPurchase())
      ? await buyAndWatch(ask, buy)
      : withoutVideo('declined', null));
  return {
    v: 1,
    kind: 'going-live',
    made_at: new Date(startedAtMs).toISOString(),
    model: MODEL,
    provider: provider.providerId,
    host: new URL(provider.baseUrl).host,
    purchase,
    answers: answers.all(),
  };
}

const withoutVideo = (outcome: LivePurchase['outcome'], why: string | null): LivePurchase => ({
  outcome,
  why,
  task_id: null,
  video_url: null,
  billed_seconds: null,
});

/** Asks the free questions; resolves to what ends the check, if anything does. */
async function askFreeQuestions(ask: AskDeps, { tools }: BuyDeps): Promise<LivePurchase | undefined> {
  try {
    await askFree(ask);
    return undefined;
  } catch (error) {
    if (!(error instanceof UnexpectedTask)) throw error;
    const { taskId, message } = error;
    // It may be paid, so its video is kept if there is one.
    const kept = await tools.steps
      .archiveCandidate({ taskId, status: 'SUCCEEDED', requestId: undefined }, ask.signal)
      .catch(() => undefined);
    const where = kept === undefined ? 'its video is not kept' : `its video is kept as ${kept.key}`;
    return { ...withoutVideo('unexpected', `${message}; ${where}`), task_id: taskId };
  }
}

async function buyAndWatch(ask: AskDeps, buy: BuyDeps): Promise<LivePurchase> {
  const { answers } = ask;
  const found = await buyOne(buy);
  if (found.kind === 'undecided') return withoutVideo('undecided', found.why);
  if (found.kind === 'refused') {
    const { code, type, message } = found.error;
    answers.give('accepted', `no: ${code ?? type}`, message);
    return withoutVideo('refused', message);
  }
  const { task, bought, acceptedAtMs } = found;
  answers.give('accepted', 'yes');
  const end = await watchTask({ ...ask, tools: buy.tools }, task, acceptedAtMs);
  const outcome = bought ? 'bought' : 'found';
  if (end.kind === 'none') return { ...withoutVideo(outcome, end.why), task_id: task.taskId };
  const { video_url, usage } = end.result;
  return { outcome, task_id: task.taskId, video_url, billed_seconds: usage.billed_seconds, why: null };
}
