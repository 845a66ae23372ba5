import { Context } from '@temporalio/activity';
import { stopwatch } from '../src/async/clock.js';
import { toFailure } from '../src/contract/failure.js';
import { FailureType } from '../src/contract/failure-type.js';
import type { Purchase } from '../src/contract/purchase.js';
import { VideoError } from '../src/contract/video-error.js';
import { buildCreateTask } from '../src/dashscope/request-body.js';
import {
  type BuyOutcome,
  buyOnce,
  findExistingPurchase,
  type PurchaseOrder,
  type PurchaseQuery,
} from '../src/ledger/buy.js';
import { assertSameStore } from './assert-same-store.js';
import { type ActivityDeps, ledgerParts } from './deps.js';
import type { PreparedReference, PreparedRequest } from './prepared-request.js';
import { purchaseContextOf } from './purchase-context.js';
import { fromCache, type PurchaseStep, restoreStep } from './purchase-step.js';
import { signedAudioUrl } from './signed-audio.js';
import { costOf, NOTHING_BILLED, releaseSlot } from './slot-holders.js';
import { withSignal } from './with-signal.js';

/** What a run that is about to buy knows. */
export interface PurchaseInput {
  readonly prepared: PreparedRequest;
  /** Purchases whose lost video could not be downloaded again. */
  readonly unrestorable: readonly Purchase[];
}

export interface SubmitInput extends PurchaseInput {
  /** The image's address at the provider. */
  readonly imgUrl: string;
  /** Number of the key's newest purchase when the run became ready, as its slot names it; 0: there was none. */
  readonly afterPurchase?: number;
}

/** What an attempt keeps of its time for its answer to arrive: Temporal counts from before the step has begun. */
const ANSWER_MS = 1_000;

/**
 * Buys one generation, unless the ledger has one to follow. The provider bills every accepted call, so nothing here
 * sends twice.
 */
export function createSubmitTask(deps: ActivityDeps) {
  return async (input: SubmitInput): Promise<PurchaseStep> => {
    const sinceStart = stopwatch(deps.clock);
    try {
      // No cancellation signal and no heartbeat on purpose: aborting a POST that may have been accepted would turn a
      // purchase into an unknown. It ends by its own timeout, and the workflow waits for the answer.
      assertSameStore(deps, input.prepared.storeId);
      const audioUrl = await signedAudioUrl(deps, input.prepared.request.audio_url);
      const order = orderOf(input, Context.current().info.attempt, audioUrl);
      if (deps.slots.budget !== undefined) {
        if (order.afterPurchase !== 0) {
          const { found } = await findExistingPurchase(ledgerParts(deps), order);
          if (found !== undefined) return purchaseStep(found);
        }
        if (!(await isReserved(deps, input.prepared))) return { kind: 'buy' };
      }
      const { submitStartToCloseMs } = deps.times;
      const leftMs = () => submitStartToCloseMs - ANSWER_MS - sinceStart.elapsedMs();
      const outcome = await buyOnce(ledgerParts(deps), { ...order, leftMs });
      if (outcome.kind === 'unknown') deps.metrics.outcomeUnknown();
      return purchaseStep(outcome);
    } catch (error) {
      if (error instanceof VideoError && !error.retryable) await releaseRefused(deps, input.prepared);
      throw error;
    }
  };
}

/** Reads from the ledger what a lost submit has bought, and sends nothing. */
export function createFindPurchase(deps: ActivityDeps) {
  return (input: PurchaseInput): Promise<{ found: PurchaseStep | null }> =>
    withSignal(async (signal) => {
      assertSameStore(deps, input.prepared.storeId);
      const { found } = await findExistingPurchase(ledgerParts(deps), purchaseQueryOf(input), { signal });
      return { found: found === undefined ? null : purchaseStep(found) };
    });
}

/**
 * Whether the run still holds its slot, and with it the reservation: slots that have started again meanwhile may not
 * know of it. Without it the run requests a slot again.
 * @throws VideoError `TemporalUnreachable`, retryable, when nobody answers: with budgets nothing is bought without the
 * slots.
 */
async function isReserved(
  { slots }: ActivityDeps,
  { query, queueIdentity, request }: PreparedRequest,
): Promise<boolean> {
  try {
    const question = { ...queueIdentity, key: query.purchaseKey, cost: costOf(request) };
    return (await slots.queryBudget(question))?.held ?? false;
  } catch (cause) {
    const message = "The account's slots, which keep the budgets, do not answer";
    throw new VideoError(FailureType.TemporalUnreachable, message, {
      retryable: true,
      billed: false,
      cause,
      nextStep:
        'Nothing was bought; the run continues by itself once a worker answers for the slots (wan-video slots).',
    });
  }
}

/** Releases the slot of a submit that is refused for good; runs that follow it end with it and need none. */
async function releaseRefused(deps: ActivityDeps, { query }: PreparedRequest): Promise<void> {
  // What gets lost here is found by the next audit of the holders.
  const newest = await deps.ledger.findNewest(query.purchaseKey).catch(() => undefined);
  if (newest?.state.kind === 'not_created') await releaseSlot(deps, newest.purchase, NOTHING_BILLED);
}

/** What the ledger needs to know of a run to find a purchase for it. */
export const purchaseQueryOf = ({ prepared, unrestorable }: PurchaseInput): PurchaseQuery => ({
  ...prepared.query,
  unrestorable,
});

/** @param audioUrl - The whole address of the sound, where the prepared request lacks its signature. */
function orderOf(input: SubmitInput, attempt: number, audioUrl: string | undefined): PurchaseOrder {
  const { prepared, imgUrl } = input;
  const { request, reference, cacheKey } = prepared;
  const { prompt, duration, resolution, audio, seed, tenant } = request;
  const audio_url = audioUrl ?? request.audio_url;
  const image = reference.kind === 'asset' ? shapeOf(reference) : null;
  return {
    ...purchaseQueryOf(input),
    // A repeated attempt looks for the purchase of the one before.
    ...(attempt === 1 && { afterPurchase: input.afterPurchase }),
    cacheKey,
    attempt,
    seed,
    tenant,
    expects: { prompt, duration, resolution, audio, image },
    memo: purchaseContextOf(prepared),
    body: (seedOfPurchase) => buildCreateTask({ ...request, audio_url, seed: seedOfPurchase, img_url: imgUrl }),
    // The provider resolves an oss:// address only on request.
    ossResolve: [imgUrl, audio_url].some((url) => url?.startsWith('oss://')),
  };
}

const shapeOf = ({ width, height, url }: Extract<PreparedReference, { readonly kind: 'asset' }>) => ({
  width,
  height,
  ...(url !== undefined && { mayDiffer: true }),
});

/** The next step of the run, by the ledger's answer. */
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
    case 'failed':
      return { kind: 'failed', failure: toFailure(outcome.error) };
    case 'follow':
      return outcome;
    case 'unknown':
      return unknownStep(outcome);
  }
}

function unknownStep({ purchase, error, isSent }: Extract<BuyOutcome, { readonly kind: 'unknown' }>): PurchaseStep {
  const { message, code, requestId } = error;
  return { kind: 'unknown', purchase, why: message, ...(isSent && { refusal: { message, code, requestId } }) };
}
