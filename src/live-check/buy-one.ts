import { randomUUID } from 'node:crypto';
import type { ResultDeps } from '../../activities/deps.js';
import { candidateArchive } from '../../activities/reconcile-submit.js';
import { FailureType } from '../contract/failure-type.js';
import { MODEL } from '../contract/model.js';
import type { VideoRequest } from '../contract/request.js';
import { cacheKey, canonicalRequest, parseRequest } from '../contract/validate.js';
import { VideoError } from '../contract/video-error.js';
import { buildCreateTask } from '../dashscope/request-body.js';
import { type BuyOutcome, buyOnce, findExistingPurchase, type PurchaseOrder } from '../ledger/buy.js';
import { type Purchase, purchaseKeyOf } from '../ledger/purchase-key.js';
import { type BoughtTask, boughtTask } from '../ledger/purchase-status.js';
import { reconcileSubmit } from '../ledger/reconcile.js';
import { type StagedImage, stageImage } from '../media/stage-image.js';
import { liveImage } from './live-image.js';

/** What the one video is bought with. */
export interface BuyOneDeps extends ResultDeps {
  /** Start of the check, milliseconds since the epoch: another one that buys meanwhile serves both. */
  readonly startedAtMs: number;
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

/** What there is to look at, or why there is nothing. */
export type OneTask =
  | { readonly kind: 'task'; readonly task: BoughtTask; readonly bought: boolean; readonly acceptedAtMs: number | null }
  | { readonly kind: 'refused'; readonly error: VideoError }
  | { readonly kind: 'undecided'; readonly why: string };

/** Composed and decomposed letters, spaces, a line break, other scripts: what comes back tells what the provider does to a prompt. */
export const LIVE_PROMPT =
  'a calm lake:  soft waves,\nre\u0301sume\u0301 \u201cpapier\u201d, \u6c34\u9762 \u2014 slowly ';
/** Cheapest of all: two silent seconds at 720P. */
export const LIVE_SECONDS = 2;
/** In the ledger, in place of a run's workflow id. */
export const LIVE_WORKFLOW_ID = 'doctor --live';
/** A submit that was certainly not sent is sent again; this often. */
const SUBMITS_MAX = 4;

/** Whether an earlier check's purchase serves as well, so that nothing is to be bought. */
export async function findOne(deps: BuyOneDeps): Promise<boolean> {
  const { order } = await orderOf(deps);
  return (await findExistingPurchase({ ...deps, times: deps.times.ledger }, order(''))).found !== undefined;
}

/**
 * Finds the check's task, or buys it, through the ledger like every other: announced before its one POST, followed when it is there
 * already, and reconciled, never sent again, when its reply is lost. An earlier check's task serves for the 24 hours of its life.
 */
export async function buyOne(deps: BuyOneDeps): Promise<OneTask> {
  const { order, staged } = await orderOf(deps);
  for (let attempt = 1; ; attempt += 1) {
    let outcome: BuyOutcome;
    try {
      const imgUrl = await upload(deps, staged);
      const { clock, ledger, dashscope: provider, times } = deps;
      outcome = await buyOnce({ clock, ledger, provider, times: times.ledger }, { ...order(imgUrl), attempt });
    } catch (error) {
      if (!(error instanceof VideoError)) throw error;
      if (!error.retryable || attempt === SUBMITS_MAX) return { kind: 'refused', error };
      deps.say(`Not sent: ${error.message}`);
      await deps.clock.sleep(error.retryAfterMs ?? 1_000, deps.signal);
      continue;
    }
    switch (outcome.kind) {
      case 'bought':
        return { kind: 'task', task: outcome.task, bought: true, acceptedAtMs: deps.clock.now() };
      case 'task':
      case 'restore':
        return { kind: 'task', task: outcome.task, bought: false, acceptedAtMs: null };
      case 'archived':
        return { kind: 'task', task: await taskOf(deps, outcome.purchase), bought: false, acceptedAtMs: null };
      case 'follow':
      case 'unknown': {
        deps.say(
          'The reply was lost, or another check is buying: the task list tells what became of it. Nothing is sent again.',
        );
        const decided = await reconcile(deps, outcome.purchase);
        if (decided !== 'buy') return decided;
      }
    }
  }
}

async function reconcile(deps: BuyOneDeps, purchase: Purchase): Promise<OneTask | 'buy'> {
  const { ledger, dashscope: provider, clock, times, signal } = deps;
  const archiveCandidate = candidateArchive(deps);
  const outcome = await reconcileSubmit({ ledger, provider, clock, times: times.ledger, archiveCandidate }, purchase, {
    signal,
  });
  switch (outcome.kind) {
    case 'task':
    case 'restore':
      return { kind: 'task', task: outcome.task, bought: true, acceptedAtMs: null };
    case 'archived':
      return { kind: 'task', task: await taskOf(deps, outcome.purchase), bought: false, acceptedAtMs: null };
    case 'failed':
      return { kind: 'refused', error: outcome.error };
    case 'buy':
      return 'buy';
    case 'undecided':
      return { kind: 'undecided', why: outcome.evidence.explanation };
  }
}

/** The task of a purchase that is over. */
async function taskOf({ ledger }: BuyOneDeps, purchase: Purchase): Promise<BoughtTask> {
  const { intent, state, extraTasks } = await ledger.require(purchase);
  const task = state.kind === 'closed' || state.kind === 'claimed' ? state.task : extraTasks[0]?.task;
  if (task === undefined) {
    throw new VideoError(
      FailureType.RecordDamaged,
      `Purchase ${purchase.key}/${purchase.n} is archived without a task`,
    );
  }
  return boughtTask(purchase, intent, task);
}

interface Prepared {
  readonly order: (imgUrl: string) => PurchaseOrder;
  readonly staged: StagedImage;
}

async function orderOf(deps: BuyOneDeps): Promise<Prepared> {
  const { clock, ledger, store, times, startedAtMs } = deps;
  const staged = await stageImage(liveImage(), store);
  const given = {
    prompt: LIVE_PROMPT,
    duration: LIVE_SECONDS,
    fps: 24,
    size: '1280*720',
    seed: 1,
    tenant: 'going-live',
  };
  const parsed = parseRequest({ ...given, reference_image: `asset:${staged.asset.key}` } as VideoRequest);
  const { reference_image: _, ...request } = canonicalRequest(parsed);
  const key = cacheKey(request, MODEL, staged.sha256);
  const newest = await ledger.newest(key);
  // After a day the provider has forgotten the task, and only a new one tells how it behaves now.
  const fresh = newest !== undefined && clock.now() - newest.intent.written_at_ms >= times.ledger.resultLifeMs;
  const cache = fresh ? 'refresh' : 'use';
  const buyer = { workflowId: LIVE_WORKFLOW_ID, firstRunId: randomUUID() };
  const { prompt, duration, resolution, audio, seed, tenant } = request;
  const reference = { kind: 'asset' as const, ...staged.asset };
  return {
    staged,
    order: (imgUrl) => ({
      purchaseKey: purchaseKeyOf(key, cache, buyer),
      ...{ cacheKey: key, cache, buyer, seed, tenant, attempt: 1 },
      firstStartedAtMs: startedAtMs,
      expects: { prompt, duration, resolution, audio, image: { width: reference.width, height: reference.height } },
      memo: { request: { ...request, cache: 'use' }, reference, warnings: [], labels: {} },
      body: (seedOfPurchase) => buildCreateTask({ ...request, seed: seedOfPurchase, img_url: imgUrl }),
      ossResolve: true,
    }),
  };
}

async function upload({ dashscope, store, signal }: BuyOneDeps, { asset }: StagedImage): Promise<string> {
  const policy = await dashscope.getUploadPolicy(MODEL, { signal });
  const name = `${randomUUID()}.${asset.key.split('.').at(-1)}`;
  const body = await store.get(asset.key, { signal });
  return dashscope.uploadFile(policy, { name, contentType: asset.mime, size: asset.bytes, body }, { signal });
}
