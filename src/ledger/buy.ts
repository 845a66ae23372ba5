import { type Clock, stopwatch, within } from '../async/clock.js';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import type { CreateTaskRequest } from '../dashscope/request-body.js';
import type { SubmitOutcome } from '../dashscope/submit-outcome.js';
import { nextSubmitDelay } from '../dashscope/submit-outcome.js';
import type { StoreOptions } from '../storage/asset-store.js';
import type { Ledger, PurchaseView } from './ledger.js';
import { type Buyer, derivedSeed, type Purchase } from './purchase-key.js';
import { assessPurchase, type BoughtTask, boughtTask, type PurchaseStatus } from './purchase-status.js';
import { type ClaimedTask, type Expectation, type IntentRecord, type NotCreated, toFailureRecord } from './records.js';
import type { LedgerTimes } from './times.js';

/** The part of the provider that sells; `DashScopeClient` is one. */
export interface SellingProvider {
  createTask(
    body: CreateTaskRequest,
    options: { readonly ossResolve?: boolean | undefined; readonly mayStillSend?: (() => boolean) | undefined },
  ): Promise<SubmitOutcome>;
  /** Tells keys apart without telling them. */
  keyFingerprint(): Promise<string>;
}

export interface BuyDeps {
  readonly ledger: Ledger;
  readonly provider: SellingProvider;
  readonly clock: Clock;
  readonly times: LedgerTimes;
  /** Uniform in 0..1, for the pause after a passing refusal; default `Math.random`. */
  readonly random?: (() => number) | undefined;
}

/** What is to be bought, for whom. */
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
  /** Purchases whose vanished video could not be fetched again. */
  readonly unrestorable?: readonly Purchase[] | undefined;
}

/** What the ledger says of a task in hand. */
export type ClaimState = 'claimed' | 'unwritten' | 'second';

export type BuyOutcome =
  /**
   * Own purchase: poll `task`. `unwritten`: call {@link ensureClaim} with every look until it is written. `second`:
   * paid beside another.
   */
  | { readonly kind: 'bought'; readonly task: BoughtTask; readonly claim: ClaimState }
  /** Another run's, or an earlier attempt's, as `Standing` says. */
  | Extract<PurchaseStatus, { readonly kind: 'task' | 'archived' | 'restore' }>
  /** Another execution is buying: `awaitPurchase`. */
  | { readonly kind: 'follow'; readonly purchase: Purchase }
  /** A paid task may exist: `reconcileSubmit`. Never submit again before it says so. */
  | { readonly kind: 'unknown'; readonly purchase: Purchase; readonly error: VideoError };

/**
 * The only gate to a purchase: looks in the ledger, announces, sends one POST, records what came of it.
 *
 * For the step `submitTask`. Give no signal that a cancel aborts: a POST that may have been accepted is waited for, at
 * most `postWithinMs + postMs + claimMs` after the announcement. A retry of the step calls it again as it is: it finds
 * its own announcement and answers `unknown`.
 * @throws VideoError as the provider refused: not retryable (nothing bought, recorded as not created, the same request
 * is refused again) or retryable with `retryAfterMs`, the pause with its jitter (nothing bought; call again then).
 * `RecordDamaged`, `StoreUnavailable`, `CredentialsMissing`: nothing was sent.
 */
export async function buyOnce(deps: BuyDeps, order: PurchaseOrder, options: StoreOptions = {}): Promise<BuyOutcome> {
  const { ledger, provider, clock, times } = deps;
  const { found, newest } = await findExistingPurchase(deps, order, options);
  if (found !== undefined) return found;

  const purchase: Purchase = { key: order.purchaseKey, n: newest + 1 };
  const seed = order.seed ?? derivedSeed(purchase);
  const body = order.body(seed);
  const fingerprint = await provider.keyFingerprint();
  // Counted from before the write: nobody can have seen the intent earlier, so every waiter's bound ends later.
  const sinceIntent = stopwatch(clock);
  const mayStillSend = () => sinceIntent.elapsedMs() <= times.postWithinMs;
  const { won, record: intent } = await ledger.openIntent(
    {
      purchase,
      cacheKey: order.cacheKey,
      workflowId: order.buyer.workflowId,
      firstRunId: order.buyer.firstRunId,
      attempt: order.attempt,
      expects: order.expects,
      seed,
      tenant: order.tenant,
      keyFingerprint: fingerprint,
      memo: order.memo,
    },
    options,
  );
  if (!won) return { kind: 'follow', purchase };
  if (!mayStillSend()) return recordNotCreated(deps, order, purchase, 'too_late', storeTooSlowError());

  const outcome = await provider.createTask(body, { ossResolve: order.ossResolve, mayStillSend });
  switch (outcome.kind) {
    case 'accepted':
      return accepted(deps, purchase, intent, outcome.taskId, outcome.requestId ?? null, fingerprint);
    case 'rejected':
      return recordNotCreated(deps, order, purchase, 'rejected', outcome.error);
    case 'not_sent':
      return recordNotCreated(deps, order, purchase, mayStillSend() ? 'not_sent' : 'too_late', outcome.error);
    case 'unknown':
      return { kind: 'unknown', purchase, error: outcome.error };
  }
}

/** What a look in the ledger needs to know of an order. */
export type PurchaseQuery = Pick<
  PurchaseOrder,
  'purchaseKey' | 'cache' | 'buyer' | 'firstStartedAtMs' | 'unrestorable'
>;

/** Looks what the ledger offers instead of a new purchase, if anything, and at the number (0: none) of the key's newest one. */
export async function findExistingPurchase(
  deps: Pick<BuyDeps, 'ledger' | 'clock' | 'times'>,
  interest: PurchaseQuery,
  options: StoreOptions = {},
): Promise<{ readonly found: BuyOutcome | undefined; readonly newest: number }> {
  const newest = await deps.ledger.newest(interest.purchaseKey, options);
  if (newest === undefined) return { found: undefined, newest: 0 };
  return { found: await existing(deps, interest, newest, options), newest: newest.purchase.n };
}

/**
 * Writes the claim of a task that was bought while the store was away. Idempotent; for the step `pollTask` after a
 * `claim: 'unwritten'`, with every look until it answers.
 * @returns `claimed`, or `second` when the purchase had been decided otherwise (the task is recorded beside it; report
 * it).
 */
export async function ensureClaim(
  ledger: Ledger,
  task: Pick<BoughtTask, 'purchase' | 'taskId' | 'requestId' | 'keyFingerprint'>,
  options: StoreOptions = {},
): Promise<'claimed' | 'second'> {
  const claimed: ClaimedTask = {
    task_id: task.taskId,
    request_id: task.requestId,
    key_fingerprint: task.keyFingerprint,
    found_by: 'submit',
  };
  const claiming = await ledger.claim(task.purchase, claimed, options);
  if (claiming.kind !== 'taken') return claiming.kind;
  // Another purchase took our own task for its lost one. It is paid, so it is recorded where it was bought.
  await ledger.recordExtraTask(task.purchase, claimed, options);
  return 'second';
}

/** What the newest purchase offers instead of a new one, if anything. */
async function existing(
  deps: Pick<BuyDeps, 'ledger' | 'clock' | 'times'>,
  order: PurchaseQuery,
  newest: PurchaseView,
  options: StoreOptions,
): Promise<BuyOutcome | undefined> {
  const { purchase, intent } = newest;
  const { workflowId, firstRunId } = order.buyer;
  // By name, not by time: the run's start is of another clock than the intent.
  const own = intent.workflow_id === workflowId && intent.first_run_id === firstRunId;
  const standing = await assessPurchase(deps, newest, order.unrestorable, options);
  switch (standing.kind) {
    case 'task':
      return standing;
    case 'archived':
    case 'restore':
      return order.cache === 'refresh' && !own && intent.written_at_ms < order.firstStartedAtMs ? undefined : standing;
    case 'failed':
    case 'buy':
      return undefined;
    case 'unclaimed':
      return own ? { kind: 'unknown', purchase, error: abandonedAttemptError(purchase) } : { kind: 'follow', purchase };
  }
}

/** From here on the task is paid: its id is returned whatever the store does. */
async function accepted(
  { ledger, clock, times }: BuyDeps,
  purchase: Purchase,
  intent: IntentRecord,
  taskId: string,
  requestId: string | null,
  fingerprint: string,
): Promise<BuyOutcome> {
  const task = boughtTask(purchase, intent, {
    task_id: taskId,
    request_id: requestId,
    key_fingerprint: fingerprint,
  });
  let claim: ClaimState | undefined;
  try {
    claim = await within(clock, times.claimMs, (signal) => ensureClaim(ledger, task, { signal }));
  } catch {
    // The poll step tries again, and says so when it cannot.
  }
  return { kind: 'bought', task, claim: claim ?? 'unwritten' };
}

/** Nothing was bought: says so in the ledger, so that nobody waits, and ends with the error. */
async function recordNotCreated(
  { ledger, clock, times, random = Math.random }: BuyDeps,
  { attempt }: PurchaseOrder,
  purchase: Purchase,
  reason: NotCreated['reason'],
  error: VideoError,
): Promise<BuyOutcome> {
  let decided: Awaited<ReturnType<Ledger['decideNotCreated']>> | undefined;
  try {
    decided = await within(clock, times.claimMs, (signal) =>
      ledger.decideNotCreated(purchase, { reason, failure: toFailureRecord(error) }, { signal }),
    );
  } catch {
    // The announcement stays without a decision, and whoever meets it finds that nothing was created.
  }
  // A reconcile was faster and found a task: that one is ours now.
  if (decided !== undefined && 'task_id' in decided) return { kind: 'follow', purchase };
  throw error.retryable ? delayed(error, nextSubmitDelay(attempt, error.retryAfterMs, random())) : error;
}

function delayed(error: VideoError, retryAfterMs: number): VideoError {
  const { type, message, retryable, code, requestId, billed, nextStep, cause } = error;
  return new VideoError(type, message, { retryable, retryAfterMs, code, requestId, billed, nextStep, cause });
}

function storeTooSlowError(): VideoError {
  return new VideoError(FailureType.StoreUnavailable, 'The asset store took too long to record the purchase', {
    retryable: true,
    billed: false,
    nextStep: 'Wait; the step is tried again. Nothing was sent.',
  });
}

function abandonedAttemptError({ key, n }: Purchase): VideoError {
  return new VideoError(
    FailureType.SubmitOutcomeUnknown,
    `An earlier attempt of this step announced purchase ${key}/${n} and did not tell what came of it`,
    { nextStep: 'It is compared with the task list of the account before anything is sent again.' },
  );
}
