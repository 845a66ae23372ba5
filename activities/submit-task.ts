import { Context } from '@temporalio/activity';
import { FailureType } from '../src/contract/failure-type.js';
import { VideoError } from '../src/contract/video-error.js';
import { buildCreateTask } from '../src/dashscope/request-body.js';
import {
  type BuyOutcome,
  buyOnce,
  findExistingPurchase,
  type PurchaseOrder,
  type PurchaseQuery,
} from '../src/ledger/buy.js';
import { purchaseKeyOf } from '../src/ledger/purchase-key.js';
import { toActivityFailure } from './activity-failure.js';
import { assertSameStore } from './assert-same-store.js';
import type { ActivityDeps } from './deps.js';
import { fromCache, purchaseContextOf } from './purchase-context.js';
import { restoreStep } from './purchase-step.js';
import { costOf, NOTHING_BILLED, releaseSlot } from './slot-holders.js';
import type { PurchaseStep, SubmitInput, VideoActivities } from './types.js';

/** Buys one generation, unless the ledger shows one to follow. The provider bills every accepted call, so nothing here sends twice. */
export function createSubmitTask(deps: ActivityDeps): VideoActivities['submitTask'] {
  const { ledger, dashscope: provider, clock, times } = deps;
  return async (input) => {
    try {
      // No cancellation signal and no heartbeat on purpose: aborting a POST that may have been accepted would
      // turn a purchase into an unknown. It ends by its own time-out, and the workflow waits for the answer.
      assertSameStore(deps, input.prepared.storeId);
      const order = orderOf(input, Context.current().info.attempt);
      if (deps.slots.budget !== undefined) {
        const { found } = await findExistingPurchase({ ledger, clock, times: times.ledger }, order);
        if (found !== undefined) return purchaseStep(found);
        if (!(await isReserved(deps, input))) return { kind: 'buy' };
      }
      const outcome = await buyOnce({ ledger, provider, clock, times: times.ledger }, order);
      if (outcome.kind === 'unknown') deps.metrics.outcomeUnknown();
      return purchaseStep(outcome);
    } catch (error) {
      if (error instanceof VideoError && !error.retryable) await giveBackRefused(deps, purchaseQueryOf(input));
      throw toActivityFailure(error);
    }
  };
}

/**
 * Whether the run's slot still stands, and with it what is reserved: slots that were started anew meanwhile may not know of it. Where it
 * does not, the run asks again.
 * @throws VideoError `TemporalUnreachable`, retryable, when nobody answers: with budgets nothing is bought without the slots.
 */
async function isReserved({ slots }: ActivityDeps, { prepared, buyer }: SubmitInput): Promise<boolean> {
  const key = purchaseKeyOf(prepared.cacheKey, prepared.request.cache, buyer);
  const payer = { tenant: prepared.request.tenant, batch: prepared.batchId ?? null };
  try {
    return (await slots.queryBudget({ ...payer, key, cost: costOf(prepared.request) }))?.held ?? false;
  } catch (cause) {
    throw new VideoError(FailureType.TemporalUnreachable, "The account's slots do not answer, which keep the budgets", {
      ...{ retryable: true, billed: false, cause },
      nextStep: 'Nothing was bought; it goes on by itself once a worker answers for the slots (wan-video slots).',
    });
  }
}

/** A submit that is refused for good has used up its slot; those who follow it end with it and need none. */
async function giveBackRefused(deps: ActivityDeps, { purchaseKey }: PurchaseQuery): Promise<void> {
  // What gets lost here is found by the next look at the holders.
  const newest = await deps.ledger.findNewest(purchaseKey).catch(() => undefined);
  if (newest?.state.kind === 'not_created') await releaseSlot(deps, newest.purchase, NOTHING_BILLED);
}

/** What the ledger is asked about for a run. */
export function purchaseQueryOf(input: Omit<SubmitInput, 'imgUrl'>): PurchaseQuery {
  const { prepared, buyer, firstStartedAtMs, unrestorable } = input;
  const { cache } = prepared.request;
  return { purchaseKey: purchaseKeyOf(prepared.cacheKey, cache, buyer), cache, buyer, firstStartedAtMs, unrestorable };
}

function orderOf(input: SubmitInput, attempt: number): PurchaseOrder {
  const { prepared, imgUrl } = input;
  const { request, reference, cacheKey } = prepared;
  const { prompt, duration, resolution, audio, seed, tenant, audio_url } = request;
  const image = reference.kind === 'asset' ? { width: reference.width, height: reference.height } : null;
  return {
    ...purchaseQueryOf(input),
    ...{ cacheKey, attempt, seed, tenant },
    expects: { prompt, duration, resolution, audio, image },
    memo: purchaseContextOf(prepared),
    body: (seedOfPurchase) => buildCreateTask({ ...request, seed: seedOfPurchase, img_url: imgUrl }),
    // The provider reads an oss:// address only when told to.
    ossResolve: [imgUrl, audio_url].some((url) => url?.startsWith('oss://')),
  };
}

/** What the ledger's answer means for the run. */
export function purchaseStep(outcome: BuyOutcome): PurchaseStep {
  switch (outcome.kind) {
    case 'bought':
      return { kind: 'task', task: { ...outcome.task, claim: outcome.claim } };
    case 'task':
      return { kind: 'task', task: { ...outcome.task, claim: 'claimed' } };
    case 'archived':
      return { kind: 'archived', result: fromCache(outcome.result) };
    case 'restore':
      return restoreStep(outcome);
    case 'follow':
      return outcome;
    case 'unknown':
      return { kind: 'unknown', purchase: outcome.purchase, why: outcome.error.message };
  }
}
