import { candidateArchive } from '../../activities/reconcile-submit.js';
import { systemClock } from '../async/clock.js';
import type { Config } from '../config/config.js';
import { MODEL } from '../contract/model.js';
import { DashScopeClient } from '../dashscope/client.js';
import { Ledger } from '../ledger/ledger.js';
import { createDispatcher } from '../net/proxies.js';
import { SPOOL_FOLDER } from '../net/spool-folder.js';
import { openStore } from '../storage/open-store.js';
import { resultDispatcher } from '../worker/run-worker.js';
import { askFree, type FreeDeps, UnforeseenTask } from './ask-free.js';
import { type BuyOneDeps, buyOne, findOne } from './buy-one.js';
import { Answers } from './questions.js';
import type { LiveAnswer, LivePurchase, LiveRecord } from './record.js';
import { watchOne } from './watch-one.js';
import { LiveWire } from './wire.js';

/** What a live check is made of. */
export interface LiveCheckOptions {
  readonly config: Config;
  readonly apiKey: string;
  /** Hears each answer at once. */
  readonly told: (answer: LiveAnswer) => void;
  /** Hears what happens meanwhile. */
  readonly say: (line: string) => void;
  /** Asked right before the purchase, unless an earlier one serves; no: nothing is bought. */
  readonly agreed: () => Promise<boolean>;
  readonly signal: AbortSignal;
}

/** Asked once a second: a task takes minutes, and the account may ask twenty times as often. */
const LOOK_EVERY_MS = 1_000;
/** An emulator renders in a second or two. */
const EMULATOR_LOOK_EVERY_MS = 100;

/**
 * Finds out how the configured provider behaves: all that is free first, then by one video, which is bought like any other.
 * @throws VideoError when the store or the key fails; what the provider says is an answer, not an error.
 */
export async function liveCheck(options: LiveCheckOptions): Promise<LiveRecord> {
  const { config, apiKey, told, say, agreed, signal } = options;
  const { provider, times, allowPrivateUrls, publicBaseUrl } = config;
  const startedAtMs = Date.now();
  const store = openStore(config.store, config.proxies);
  const scope = { provider: provider.providerId, account: provider.account };
  const emulated = provider.providerId === 'emulator';
  const dispatcher = createDispatcher(config.proxies);
  const results = resultDispatcher(config);
  const dashscope = new DashScopeClient({
    ...{
      baseUrl: provider.baseUrl,
      workspace: provider.workspace,
      apiKey: () => apiKey,
      dispatcher,
      resultDispatcher: results,
    },
    timeouts: { submitMs: times.submitHttpMs, readMs: times.readHttpMs, uploadMs: times.uploadHttpMs },
  });
  const buying: BuyOneDeps = {
    ...{ dashscope, providerBaseUrl: provider.baseUrl, store, allowPrivateUrls, publicBaseUrl, times, startedAtMs },
    ledger: new Ledger({ store, scope, now: Date.now }),
    ...{ spoolDir: SPOOL_FOLDER, clock: systemClock, say, signal },
  };
  const wire = new LiveWire(provider.baseUrl, dispatcher, {
    authorization: `Bearer ${apiKey}`,
    accept: 'application/json; charset=utf-8',
    ...(provider.workspace !== undefined && { 'x-dashscope-workspace': provider.workspace }),
  });
  const answers = new Answers(told);
  const lookEveryMs = emulated ? EMULATOR_LOOK_EVERY_MS : LOOK_EVERY_MS;
  const asking = { wire, answers, clock: systemClock, lookEveryMs, signal };
  try {
    const purchase =
      (await freeQuestions(asking, buying)) ??
      ((await findOne(buying)) || (await agreed())
        ? await seeOne({ ...asking, buying, resultDispatcher: results ?? dispatcher })
        : none('declined', null));
    return {
      ...{ v: 1, kind: 'going-live', made_at: new Date(startedAtMs).toISOString(), model: MODEL },
      ...{ provider: provider.providerId, host: new URL(provider.baseUrl).host, purchase, answers: answers.all() },
    };
  } finally {
    await Promise.all([dispatcher.close(), results?.close()]);
  }
}

const none = (outcome: LivePurchase['outcome'], why: string | null): LivePurchase => ({
  ...{ outcome, why, task_id: null, video_url: null, billed_seconds: null },
});

/** Asks them; what ends the check, or nothing. */
async function freeQuestions(asking: FreeDeps, buying: BuyOneDeps): Promise<LivePurchase | undefined> {
  try {
    await askFree(asking);
    return undefined;
  } catch (error) {
    if (!(error instanceof UnforeseenTask)) throw error;
    const { taskId, message } = error;
    // It may be paid, so its video is kept if there is one.
    const kept = await candidateArchive(buying)(
      { taskId, status: 'SUCCEEDED', requestId: undefined },
      asking.signal,
    ).catch(() => undefined);
    const where = kept === undefined ? 'its video is not kept' : `its video is kept as ${kept.key}`;
    return { ...none('unforeseen', `${message}; ${where}`), task_id: taskId };
  }
}

async function seeOne(deps: Parameters<typeof watchOne>[0]): Promise<LivePurchase> {
  const { answers, buying } = deps;
  const one = await buyOne(buying);
  if (one.kind === 'undecided') return none('undecided', one.why);
  if (one.kind === 'refused') {
    answers.give('accepted', `no: ${one.error.code ?? one.error.type}`, one.error.message);
    return none('refused', one.error.message);
  }
  const { task, bought, acceptedAtMs } = one;
  answers.give('accepted', 'yes');
  const end = await watchOne(deps, task, acceptedAtMs);
  const outcome = bought ? 'bought' : 'found';
  if (end.kind === 'none') return { ...none(outcome, end.why), task_id: task.taskId };
  const { video_url, usage } = end.result;
  return { outcome, task_id: task.taskId, video_url, billed_seconds: usage.billed_seconds, why: null };
}
