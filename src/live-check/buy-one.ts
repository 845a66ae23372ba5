import { randomUUID } from 'node:crypto';
import { FailureType } from '../contract/failure-type.js';
import { MODEL } from '../contract/model.js';
import type { Purchase } from '../contract/purchase.js';
import type { VideoRequest } from '../contract/request.js';
import { cacheKey, canonicalRequest, parseRequest } from '../contract/validate.js';
import { VideoError } from '../contract/video-error.js';
import { buildCreateTask } from '../dashscope/request-body.js';
import { type BuyOutcome, buyOnce, findExistingPurchase, type PurchaseOrder } from '../ledger/buy.js';
import { purchaseKeyOf } from '../ledger/purchase-key.js';
import { type BoughtTask, boughtTask, claimedTaskOf } from '../ledger/purchase-view.js';
import { reconcileSubmit } from '../ledger/reconcile.js';
import { type StagedImage, stageImage } from '../media/stage-image.js';
import { liveImage } from './live-image.js';
import type { LiveTools } from './live-tools.js';

/** What the one video is bought with. */
export interface BuyDeps {
  readonly tools: LiveTools;
  /** Start of the check, milliseconds since the epoch: a check that buys at the same time serves both. */
  readonly startedAtMs: number;
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

/** The task to watch, or why there is none. */
export type LiveTask =
  | { readonly kind: 'task'; readonly task: BoughtTask; readonly bought: boolean; readonly acceptedAtMs: number | null }
  | { readonly kind: 'refused'; readonly error: VideoError }
  | { readonly kind: 'undecided'; readonly why: string };

/**
 * Composed and decomposed letters, spaces, a line break, other scripts: the returned prompt shows what the provider
 * changes.
 */
export const LIVE_PROMPT =
  'a calm lake:  soft waves,\nre\u0301sume\u0301 \u201cpapier\u201d, \u6c34\u9762 \u2014 slowly ';
/** Cheapest of all: two silent seconds at 720P. */
export const LIVE_SECONDS = 2;
/** Recorded in the ledger in place of a run's workflow id. */
const LIVE_WORKFLOW_ID = 'doctor --live';
/** Attempts of a submit that was certainly not sent. */
const SUBMITS_MAX = 4;

/** Whether the purchase of an earlier check serves as well, so that nothing is bought. */
export async function hasEarlierPurchase(deps: BuyDeps): Promise<boolean> {
  const { clock, ledger, times } = deps.tools;
  const { orderFor } = await prepareOrder(deps);
  return (await findExistingPurchase({ clock, ledger, times: times.ledger }, orderFor(''))).found !== undefined;
}

/**
 * Finds the check's task or buys it through the ledger, like every other: recorded before its one POST, followed when
 * it exists already, and reconciled instead of sent again when its reply is lost. An earlier check's task serves for
 * the 24 hours of its life.
 */
export async function buyOne(deps: BuyDeps): Promise<LiveTask> {
  const { clock, ledger, dashscope: provider, times, steps } = deps.tools;
  const { orderFor, staged } = await prepareOrder(deps);
  for (let attempt = 1; ; attempt += 1) {
    let outcome: BuyOutcome;
    try {
      const imgUrl = await steps.uploadImage(staged.asset, deps.signal);
      outcome = await buyOnce({ clock, ledger, provider, times: times.ledger }, { ...orderFor(imgUrl), attempt });
    } catch (error) {
      if (!(error instanceof VideoError)) throw error;
      if (!error.retryable || attempt === SUBMITS_MAX) return { kind: 'refused', error };
      deps.say(`Not sent: ${error.message}`);
      await clock.sleep(error.retryAfterMs ?? 1_000, deps.signal);
      continue;
    }
    switch (outcome.kind) {
      case 'bought':
        return { kind: 'task', task: outcome.task, bought: true, acceptedAtMs: clock.now() };
      case 'task':
      case 'restore':
        return { kind: 'task', task: outcome.task, bought: false, acceptedAtMs: null };
      case 'archived':
        return { kind: 'task', task: await taskOf(ledger, outcome.purchase), bought: false, acceptedAtMs: null };
      case 'failed':
        return { kind: 'refused', error: outcome.error };
      case 'follow':
      case 'unknown': {
        deps.say(
          'The reply was lost, or another check is buying. Nothing is sent again; the task list decides whether a ' +
            'task exists.',
        );
        const decided = await reconcile(deps, outcome.purchase);
        if (decided !== 'buy') return decided;
      }
    }
  }
}

async function reconcile({ tools, signal }: BuyDeps, purchase: Purchase): Promise<LiveTask | 'buy'> {
  const { ledger, dashscope: provider, clock, times, steps } = tools;
  const { archiveCandidate } = steps;
  const deps = { ledger, provider, clock, times: times.ledger, archiveCandidate };
  const outcome = await reconcileSubmit(deps, purchase, { signal });
  switch (outcome.kind) {
    case 'task':
    case 'restore':
      return { kind: 'task', task: outcome.task, bought: true, acceptedAtMs: null };
    case 'archived':
      return { kind: 'task', task: await taskOf(ledger, outcome.purchase), bought: false, acceptedAtMs: null };
    case 'failed':
      return { kind: 'refused', error: outcome.error };
    case 'buy':
      return 'buy';
    case 'undecided':
      return { kind: 'undecided', why: outcome.evidence.explanation };
  }
}

/** The task of an archived purchase. */
async function taskOf(ledger: LiveTools['ledger'], purchase: Purchase): Promise<BoughtTask> {
  const view = await ledger.requirePurchase(purchase);
  const task = claimedTaskOf(view) ?? view.extraTasks[0]?.task;
  if (task === undefined) {
    throw new VideoError(
      FailureType.RecordDamaged,
      `Purchase ${purchase.key}/${purchase.n} is archived without a task`,
    );
  }
  return boughtTask(purchase, view.intent, task);
}

interface PreparedOrder {
  /** @param imgUrl - Address of the uploaded image. */
  readonly orderFor: (imgUrl: string) => PurchaseOrder;
  readonly staged: StagedImage;
}

async function prepareOrder({ tools, startedAtMs }: BuyDeps): Promise<PreparedOrder> {
  const { clock, ledger, store, times } = tools;
  const staged = await stageImage(liveImage(), store);
  const parsed = parseRequest({
    prompt: LIVE_PROMPT,
    duration: LIVE_SECONDS,
    fps: 24,
    size: '1280*720',
    seed: 1,
    tenant: 'going-live',
    reference_image: `asset:${staged.asset.key}`,
  } satisfies VideoRequest);
  const { reference_image: _image, delivery: _delivery, ...request } = canonicalRequest(parsed);
  const key = cacheKey(request, MODEL, { hash: staged.sha256 });
  const newest = await ledger.findNewest(key);
  // After a day the provider has deleted the task, and only a new one shows its current behaviour.
  const expired = newest !== undefined && clock.now() - newest.intent.written_at_ms >= times.ledger.resultLifeMs;
  const cache = expired ? 'refresh' : 'use';
  const buyer = { workflowId: LIVE_WORKFLOW_ID, firstRunId: randomUUID() };
  const { prompt, duration, resolution, audio, seed, tenant } = request;
  const reference = { kind: 'asset' as const, ...staged.asset };
  return {
    staged,
    orderFor: (imgUrl) => ({
      purchaseKey: purchaseKeyOf(key, cache, buyer),
      cacheKey: key,
      cache,
      buyer,
      seed,
      tenant,
      attempt: 1,
      firstStartedAtMs: startedAtMs,
      expects: { prompt, duration, resolution, audio, image: { width: reference.width, height: reference.height } },
      memo: { request: { ...request, cache: 'use' }, reference, warnings: [], labels: {} },
      body: (seedOfPurchase) => buildCreateTask({ ...request, seed: seedOfPurchase, img_url: imgUrl }),
      ossResolve: true,
    }),
  };
}
