import { type Clock, type Stopwatch, stopwatch, within } from '../async/clock.js';
import { FailureType } from '../contract/failure-type.js';
import type { Buyer, Purchase } from '../contract/purchase.js';
import { VideoError } from '../contract/video-error.js';
import type { CreateTaskRequest } from '../dashscope/request-body.js';
import { nextSubmitDelay } from '../dashscope/submit-outcome.js';
import type { StoreOptions } from '../storage/asset-store.js';
import type { Ledger } from './ledger.js';
import type { SubmitApi } from './provider.js';
import { derivedSeed } from './purchase-key.js';
import { assessPurchase, type DecidedStatus } from './purchase-status.js';
import { type BoughtTask, boughtTask, type ClaimState, type PurchaseView } from './purchase-view.js';
import { type ClaimedTask, type Expectation, type IntentRecord, type NotCreated, toFailureRecord } from './records.js';
import type { LedgerTimes } from './times.js';

export interface BuyDeps {
  readonly ledger: Ledger;
  readonly provider: SubmitApi;
  readonly clock: Clock;
  readonly times: LedgerTimes;
  /** Uniform in 0..1, for the pause after a temporary refusal; default `Math.random`. */
  readonly random?: (() => number) | undefined;
}

/** What is to be bought, and by which run. */
export interface PurchaseOrder {
  /** From `purchaseKeyOf`. */
  readonly purchaseKey: string;
  readonly cacheKey: string;
  readonly cache: 'use' | 'refresh' | 'off';
  readonly buyer: Buyer;
  /** Start of the first execution of the run's chain, milliseconds since the epoch: `refresh` takes nothing older. */
  readonly firstStartedAtMs: number;
  /** Attempt of the step, from 1. */
  readonly attempt: number;
  readonly expects: Expectation;
  /** The caller's seed; null: derived from the purchase. */
  readonly seed: number | null;
  readonly tenant: string | null;
  /** What salvage needs to finish the purchase without this run (request, warnings, …); a few kB of JSON, no secret. */
  readonly memo: Readonly<Record<string, unknown>>;
  /** The body to send, with the seed that the purchase has. */
  readonly body: (seed: number) => CreateTaskRequest;
  readonly ossResolve: boolean;
  /** Purchases whose vanished video could not be downloaded again. */
  readonly unrestorable?: readonly Purchase[] | undefined;
  /**
   * Number of the key's newest purchase as an earlier step has found it. With 0 there is nothing to look at again: the
   * first purchase is this call's or another's, and the conditional put of its intent decides. Default: not known.
   */
  readonly afterPurchase?: number | undefined;
  /** Milliseconds that the caller can still wait for the answer; default: as long as it takes. */
  readonly leftMs?: (() => number) | undefined;
}

export type BuyOutcome =
  /**
   * Bought by this call: poll `task`. `unwritten`: call {@link Ledger.ensureClaim} with every query until it is
   * written. `extra`: the purchase was decided otherwise, so this task is paid in addition.
   */
  | { readonly kind: 'bought'; readonly task: BoughtTask; readonly claim: ClaimState }
  /**
   * Bought before, by another run or an earlier attempt. `failed`: it was paid, and its result was refused, so that
   * another one is bought only on request (`cache: refresh`).
   */
  | Extract<DecidedStatus, { readonly kind: 'task' | 'archived' | 'restore' | 'failed' }>
  /** Another execution is buying: `awaitPurchase`. */
  | { readonly kind: 'follow'; readonly purchase: Purchase }
  /** A paid task may exist: `reconcileSubmit`. Never submit again before it says so. */
  | {
      readonly kind: 'unknown';
      readonly purchase: Purchase;
      readonly error: VideoError;
      /** Whether this call has sent the POST; else an earlier attempt announced it, and died. */
      readonly isSent: boolean;
    };

/**
 * The only gate to a purchase: reads the ledger, announces, sends one POST, records what came of it.
 *
 * For the step `submitTask`. Pass no signal that a cancel aborts: a POST that may have been accepted is waited for, at
 * most `postWithinMs + postMs + claimMs` after the announcement. A retry of the step repeats the call unchanged: it
 * finds its own announcement and returns `unknown`.
 * @throws VideoError as the provider refused: not retryable (nothing bought, recorded as not created, the same request
 * is refused again) or retryable with `retryAfterMs`, the pause with its jitter (nothing bought; call again then).
 * `RecordDamaged`, `StoreUnavailable`, `CredentialsMissing`: nothing was sent.
 */
export async function buyOnce(deps: BuyDeps, order: PurchaseOrder, options: StoreOptions = {}): Promise<BuyOutcome> {
  const { ledger, provider, clock, times } = deps;
  const isFirst = order.afterPurchase === 0;
  const { found, newest } = isFirst
    ? { found: undefined, newest: 0 }
    : await findExistingPurchase(deps, order, options);
  if (found !== undefined) return found;

  const purchase: Purchase = { key: order.purchaseKey, n: newest + 1 };
  const seed = order.seed ?? derivedSeed(purchase);
  const body = order.body(seed);
  const fingerprint = await provider.keyFingerprint();
  // Counted from before the write: no reader can have seen the intent earlier, so every reader's bound ends later.
  const sinceIntent = stopwatch(clock);
  const mayStillSend = () => sinceIntent.elapsedMs() <= times.postWithinMs;
  const { won, record: intent } = await ledger.openIntent(
    purchase,
    {
      cache_key: order.cacheKey,
      workflow_id: order.buyer.workflowId,
      first_run_id: order.buyer.firstRunId,
      attempt: order.attempt,
      expects: order.expects,
      seed,
      tenant: order.tenant,
      key_fingerprint: fingerprint,
      memo: order.memo,
    },
    options,
  );
  if (!won) {
    return isBoughtBy(order.buyer, intent)
      ? { kind: 'unknown', purchase, error: abandonedAttemptError(purchase), isSent: false }
      : { kind: 'follow', purchase };
  }
  const notCreated = (reason: NotCreated['reason'], error: VideoError) =>
    recordNotCreated(deps, order, purchase, { reason, error, sinceIntent });
  if (!mayStillSend()) return notCreated('too_late', storeTooSlowError());
  // A lost reply is found by the time of its intent: with a wrong one it could take another run's task for its own.
  if (Math.abs(ledger.now() - intent.written_at_ms) > times.clockSkewMs / 2) {
    return notCreated('too_late', clockChangedError());
  }

  const outcome = await provider.createTask(body, { ossResolve: order.ossResolve, mayStillSend });
  switch (outcome.kind) {
    case 'accepted':
      return recordBought(deps, purchase, intent, {
        task_id: outcome.taskId,
        request_id: outcome.requestId ?? null,
        key_fingerprint: fingerprint,
      });
    case 'rejected':
      return notCreated('rejected', outcome.error);
    case 'not_sent':
      return notCreated(mayStillSend() ? 'not_sent' : 'too_late', outcome.error);
    case 'unknown':
      return { kind: 'unknown', purchase, error: outcome.error, isSent: true };
  }
}

/** What identifies the purchases that would serve an order. */
export type PurchaseQuery = Pick<
  PurchaseOrder,
  'purchaseKey' | 'cache' | 'buyer' | 'firstStartedAtMs' | 'unrestorable'
>;

/**
 * Finds what the ledger offers instead of a new purchase.
 * @returns `found`: undefined when a purchase is to be made; `newest`: the number of the key's newest purchase, 0 when
 * there is none.
 */
export async function findExistingPurchase(
  deps: Pick<BuyDeps, 'ledger' | 'clock' | 'times'>,
  query: PurchaseQuery,
  options: StoreOptions = {},
): Promise<{ readonly found: BuyOutcome | undefined; readonly newest: number }> {
  const newest = await deps.ledger.findNewest(query.purchaseKey, options);
  if (newest === undefined) return { found: undefined, newest: 0 };
  return { found: await offerOf(deps, query, newest, options), newest: newest.purchase.n };
}

/** What the newest purchase offers instead of a new one, if anything. */
async function offerOf(
  deps: Pick<BuyDeps, 'ledger' | 'clock' | 'times'>,
  query: PurchaseQuery,
  newest: PurchaseView,
  options: StoreOptions,
): Promise<BuyOutcome | undefined> {
  const { purchase, intent } = newest;
  const boughtByThisRun = isBoughtBy(query.buyer, intent);
  const wantsAnother = query.cache === 'refresh' && !boughtByThisRun && intent.written_at_ms < query.firstStartedAtMs;
  const status = await assessPurchase(deps, newest, query.unrestorable, options);
  switch (status.kind) {
    case 'task':
      return status;
    case 'archived':
    case 'restore':
      return wantsAnother ? undefined : status;
    case 'failed':
      if (status.error.billed !== true || wantsAnother) return undefined;
      return boughtByThisRun ? status : { ...status, error: refusedBeforeError(status.error) };
    case 'buy':
      return undefined;
    case 'unclaimed':
      return boughtByThisRun
        ? { kind: 'unknown', purchase, error: abandonedAttemptError(purchase), isSent: false }
        : { kind: 'follow', purchase };
  }
}

/** By name, not by time: the run's start is of another clock than the intent. */
const isBoughtBy = ({ workflowId, firstRunId }: Buyer, intent: IntentRecord): boolean =>
  intent.workflow_id === workflowId && intent.first_run_id === firstRunId;

/** Records an accepted task. From here on it is paid: its id is returned even if the store fails. */
async function recordBought(
  { ledger, clock, times }: BuyDeps,
  purchase: Purchase,
  intent: IntentRecord,
  accepted: Omit<ClaimedTask, 'found_by'>,
): Promise<BuyOutcome> {
  const task = boughtTask(purchase, intent, accepted);
  // The poll step tries again, and reports it when it cannot.
  const claim = await within(clock, times.claimMs, (signal) => ledger.ensureClaim(task, { signal })).catch(
    () => undefined,
  );
  return { kind: 'bought', task, claim: claim ?? 'unwritten' };
}

/** Nothing was bought: records it, so that no run waits for it, and throws the error. */
async function recordNotCreated(
  { ledger, clock, times, random = Math.random }: BuyDeps,
  { attempt, leftMs = () => Number.POSITIVE_INFINITY }: PurchaseOrder,
  purchase: Purchase,
  { reason, error, sinceIntent }: { reason: NotCreated['reason']; error: VideoError; sinceIntent: Stopwatch },
): Promise<BuyOutcome> {
  const failure = toFailureRecord(error);
  // Without the record the announcement stays undecided, and a reconciliation takes two minutes to conclude that
  // nothing was created. So a store that is slow gets all of the time that the submit has left, and no more: an answer
  // that comes too late is a lost one, whose reconciliation takes as long.
  const { postWithinMs, postMs, claimMs } = times;
  const ofSubmit = Math.max(claimMs, postWithinMs + postMs + claimMs - sinceIntent.elapsedMs());
  const decided = await within(clock, Math.max(0, Math.min(ofSubmit, leftMs())), (signal) =>
    ledger.decideNotCreated(purchase, { reason, failure }, { signal }),
  ).catch(() => undefined);
  // A reconcile was faster and found a task: that one is ours now.
  if (decided !== undefined && 'task_id' in decided) return { kind: 'follow', purchase };
  if (!error.retryable) throw error;
  throw error.with({ retryAfterMs: nextSubmitDelay(attempt, error.retryAfterMs, random()) });
}

function storeTooSlowError(): VideoError {
  return new VideoError(FailureType.StoreUnavailable, 'The asset store took too long to record the purchase', {
    retryable: true,
    billed: false,
    nextStep: 'Wait; the step is tried again. Nothing was sent.',
  });
}

function clockChangedError(): VideoError {
  return new VideoError(FailureType.ConfigurationInvalid, 'The clock changed while the purchase was recorded', {
    retryable: true,
    billed: false,
    nextStep: "Set the clock of the worker's machine (NTP); the step is tried again. Nothing was sent.",
  });
}

/** What was paid and refused is not bought again by itself: the next one may be refused alike. */
function refusedBeforeError({ type, message, code, taskId, requestId }: VideoError): VideoError {
  const nextStep =
    'Look at the file under rejected/ in the store. Nothing is bought again by itself: to buy another video, send ' +
    'the request with cache "refresh" (wan-video generate --cache refresh).';
  const said = `The same video was bought before, and its result was refused: ${message}`;
  return new VideoError(type, said, { code, taskId, requestId, billed: false, nextStep });
}

function abandonedAttemptError({ key, n }: Purchase): VideoError {
  return new VideoError(
    FailureType.SubmitOutcomeUnknown,
    `An earlier attempt of this step announced purchase ${key}/${n} and did not record its outcome`,
    { nextStep: "Wait; the account's task list is searched before anything is sent again." },
  );
}
