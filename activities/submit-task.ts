import { Context } from '@temporalio/activity';
import { buildCreateTask } from '../src/dashscope/request-body.js';
import { type BuyOutcome, buyOnce, type Interest, type Order } from '../src/ledger/buy.js';
import { purchaseKeyOf } from '../src/ledger/purchase-key.js';
import { toActivityFailure } from './activity-failure.js';
import type { ActivityDeps } from './deps.js';
import { fromCache, memoOf } from './purchase-memo.js';
import { restoreStep } from './purchase-step.js';
import { requireSameStore } from './same-store.js';
import type { PurchaseStep, SubmitInput, VideoActivities } from './types.js';

/** Buys one generation, unless the ledger shows one to follow. The provider bills every accepted call, so nothing here sends twice. */
export function createSubmitTask(deps: ActivityDeps): VideoActivities['submitTask'] {
  const { ledger, dashscope: provider, clock, times } = deps;
  return async (input) => {
    try {
      // No cancellation signal and no heartbeat on purpose: aborting a POST that may have been accepted would
      // turn a purchase into an unknown. It ends by its own time-out, and the workflow waits for the answer.
      requireSameStore(deps, input.prepared.storeId);
      const order = orderOf(input, Context.current().info.attempt);
      const outcome = await buyOnce({ ledger, provider, clock, times: times.ledger }, order);
      if (outcome.kind === 'unknown') deps.metrics.outcomeUnknown();
      return purchaseStep(outcome);
    } catch (error) {
      throw toActivityFailure(error);
    }
  };
}

/** What the ledger is asked about for a run. */
export function interestOf(input: Omit<SubmitInput, 'imgUrl'>): Interest {
  const { prepared, buyer, firstStartedAtMs, unrestorable } = input;
  const { cache } = prepared.request;
  return { purchaseKey: purchaseKeyOf(prepared.cacheKey, cache, buyer), cache, buyer, firstStartedAtMs, unrestorable };
}

function orderOf(input: SubmitInput, attempt: number): Order {
  const { prepared, imgUrl } = input;
  const { request, reference, cacheKey } = prepared;
  const { prompt, duration, resolution, audio, seed, tenant, audio_url } = request;
  const image = reference.kind === 'asset' ? { width: reference.width, height: reference.height } : null;
  return {
    ...interestOf(input),
    ...{ cacheKey, attempt, seed, tenant },
    expects: { prompt, duration, resolution, audio, image },
    memo: memoOf(prepared),
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
