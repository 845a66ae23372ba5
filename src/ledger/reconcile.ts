import { type Clock, type Stopwatch, stopwatch } from '../async/clock.js';
import { FailureType } from '../contract/failure-type.js';
import { MODEL } from '../contract/model.js';
import { isSamePurchase, type Purchase } from '../contract/purchase.js';
import { VideoError } from '../contract/video-error.js';
import type { ListedTask, TaskSnapshot } from '../dashscope/wire.js';
import type { StoreOptions } from '../storage/asset-store.js';
import { type Candidate, type CandidateVideo, type Evidence, evidenceOf, type UndecidedReason } from './evidence.js';
import type { Ledger } from './ledger.js';
import type { OpenPurchases } from './open-purchases.js';
import { type Comparison, combineMatches, comparePrompts, compareTask, isKeyOfAccount } from './proof.js';
import type { ListApi, QueryApi } from './provider.js';
import { assessPurchase, type DecidedStatus, type PurchaseStatus } from './purchase-status.js';
import { boughtTask, hasTask, type PurchaseView } from './purchase-view.js';
import type { ClaimedTask } from './records.js';
import { alsoFits, isWithin, overlapRange, overlaps, submitWindow } from './submit-window.js';
import { listAllTasks } from './task-list.js';
import type { LedgerTimes } from './times.js';

/** Answers in a row that lack what decides, before a person is asked: one of them may be an exception. */
const ODD_ANSWERS_MAX = 5;

export interface ReconcileDeps {
  readonly ledger: Ledger;
  /** Reads alone: a reconciliation never buys and never cancels. */
  readonly provider: ListApi & QueryApi;
  readonly clock: Clock;
  readonly times: LedgerTimes;
  /**
   * Brings the video of a SUCCEEDED task to `candidates/<task id>.mp4` (put if absent) and measures it; idempotent.
   * Retryable errors are tried again; others leave the candidate without a shape, so that nothing is guessed.
   */
  readonly archiveCandidate: (task: TaskSnapshot, signal: AbortSignal | undefined) => Promise<CandidateVideo>;
}

export type ReconcileOutcome =
  | DecidedStatus
  /**
   * Park as `needs_attention`; `awaitPurchase` with `parked` meanwhile, `resolvePurchase` ends it. Never a second
   * purchase.
   */
  | { readonly kind: 'undecided'; readonly purchase: Purchase; readonly evidence: Evidence };

/**
 * How long a reconciliation has waited for what; plain JSON. The next attempt, on any worker, continues from it. Time
 * between attempts is not counted, because nothing was watched then. Without it a step whose workers keep dying would
 * wait for ever.
 */
export interface ReconcileProgress {
  /** Milliseconds since each submit that may still be under way was first seen, by the token of its intent. */
  readonly seenForMs: Readonly<Record<string, number>>;
  /** Complete listings in a row that showed nothing, the milliseconds from first to last, and the key in use. */
  readonly empty: { readonly listings: number; readonly spanMs: number; readonly key: string } | null;
}

export interface ReconcileOptions extends StoreOptions {
  /** What an earlier attempt reported last. */
  readonly progress?: ReconcileProgress | undefined;
  /** Called before every wait, for heartbeats. */
  readonly onWait?:
    | ((state: {
        readonly waitingFor: string;
        readonly candidates: readonly string[];
        readonly progress: ReconcileProgress;
      }) => void)
    | undefined;
}

/**
 * Finds out what became of a submit whose reply was lost, without ever buying or guessing. For the step
 * `reconcileSubmit`, which heartbeats and hands its signal in; safe to repeat from the start at any time, and to run
 * in several places at once.
 *
 * Takes `submitBoundMs`, then three complete listings over `emptySpanMs` when nothing is there, else as long as the
 * candidates render. Faults of list and queries are waited out; only a list that fails `listFaultsMax` times in a row
 * ends it.
 * @returns what the ledger now says of the purchase (as `awaitPurchase`), or `undecided`.
 * @throws VideoError `RecordDamaged` or `StoreUnavailable`, as the ledger does.
 */
export async function reconcileSubmit(
  deps: ReconcileDeps,
  purchase: Purchase,
  options: ReconcileOptions = {},
): Promise<ReconcileOutcome> {
  return new Reconciliation(deps, purchase, options).run();
}

class Reconciliation {
  readonly #deps: ReconcileDeps;
  readonly #purchase: Purchase;
  readonly #options: ReconcileOptions;
  /** Tasks that may be ours, by id. */
  readonly #candidates = new Map<string, Candidate>();
  /** Tasks that are known not to be ours: claimed by another purchase, free, or different. */
  readonly #excluded = new Set<string>();
  /** Since when each submit that may still be under way is known, by the token of its intent. */
  readonly #firstSeen: Map<string, Stopwatch>;
  #empty: { readonly key: string; listings: number; readonly since: Stopwatch; spanMs: number } | undefined;
  /** Rows of the last listing that name no readable task: each may be ours, and open. */
  #unreadableRows = 0;
  /** Listings in a row with such rows and nothing else. */
  #oddListings = 0;
  /** Refused listings in a row. */
  #listFaults = 0;
  /** How long the intent had been seen when the latest listing began, in milliseconds. */
  #listedAfterMs = 0;

  constructor(deps: ReconcileDeps, purchase: Purchase, options: ReconcileOptions) {
    this.#deps = deps;
    this.#purchase = purchase;
    this.#options = options;
    const { seenForMs = {}, empty = null } = options.progress ?? {};
    this.#firstSeen = new Map(Object.entries(seenForMs).map(([token, ms]) => [token, stopwatch(deps.clock, ms)]));
    if (empty !== null) this.#empty = { ...empty, since: stopwatch(deps.clock, empty.spanMs) };
  }

  async run(): Promise<ReconcileOutcome> {
    await this.#settle();
    for (;;) {
      const { status, view } = await this.#assess();
      if (status.kind !== 'unclaimed') return status;
      const outcome = await this.#examine(view);
      if (outcome === 'decided') continue;
      if (outcome !== 'waiting') return outcome;
      if (this.#candidates.size > 0) this.#empty = undefined;
      await this.#wait(
        this.#deps.times.listEveryMs,
        this.#isRendering() ? 'tasks that may be ours to finish' : 'the task list to show what became of the submit',
      );
    }
  }

  /**
   * Waits until every submit whose task could be mistaken for ours is over: no open, unclaimed intent that overlaps was
   * first seen less than the bound ago.
   */
  async #settle(): Promise<void> {
    const { clock, times } = this.#deps;
    const firstSeen = this.#firstSeen;
    for (;;) {
      const { status, view } = await this.#assess();
      if (status.kind !== 'unclaimed') return;
      const { open } = await this.#listOverlapping(view);
      const overlapping = [view, ...open.filter((other) => overlaps(view, other, times))];
      const tokens = new Set(overlapping.map(({ intent }) => intent.token));
      for (const token of firstSeen.keys()) if (!tokens.has(token)) firstSeen.delete(token);
      let remainingMs = 0;
      for (const token of tokens) {
        const since = firstSeen.get(token) ?? stopwatch(clock);
        firstSeen.set(token, since);
        remainingMs = Math.max(remainingMs, times.submitBoundMs - since.elapsedMs());
      }
      if (remainingMs <= 0) return;
      const waited = stopwatch(clock);
      while (waited.elapsedMs() < remainingMs) {
        await this.#wait(Math.min(times.followEveryMs, remainingMs), 'submits that may still be under way');
        if ((await this.#assess()).status.kind !== 'unclaimed') return;
      }
    }
  }

  /**
   * Lists and queries once. @returns `decided` when the ledger now has the decision, `waiting` when there is none yet.
   */
  async #examine(view: PurchaseView): Promise<ReconcileOutcome | 'decided' | 'waiting'> {
    const { ledger, times } = this.#deps;
    const ageMs = ledger.now() - view.intent.written_at_ms;
    // No answer to a query can add anything.
    if (ageMs > 2 * times.resultLifeMs - times.decideWithinMs) return this.#undecided(view, 'too_old');
    const listing = await this.#list(view);
    if (typeof listing === 'object') return listing;
    await this.#queryCandidates(view);
    if (this.#isRendering()) return 'waiting';
    const isRefused = this.#listFaults >= times.listFaultsMax;
    if (ageMs > times.decideWithinMs && (listing === 'complete' || isRefused)) return this.#undecided(view, 'too_old');
    if (isRefused) return this.#undecided(view, 'list_refused');
    if (listing === 'failed') return 'waiting';
    return (await this.#judge(view)) ?? (this.#candidates.size > 0 ? 'waiting' : this.#judgeNothing(view));
  }

  /** Lists the account's tasks, and returns the outcome at once when one of them turns out to be recorded as ours. */
  async #list(view: PurchaseView): Promise<ReconcileOutcome | 'complete' | 'failed'> {
    const { provider, clock } = this.#deps;
    this.#listedAfterMs = this.#firstSeen.get(view.intent.token)?.elapsedMs() ?? 0;
    try {
      const { tasks, unreadable } = await listAllTasks(provider, clock, this.#options.signal);
      this.#unreadableRows = unreadable;
      for (const row of tasks) {
        const mine = await this.#collect(view, row);
        if (mine !== undefined) return { kind: 'task', task: boughtTask(this.#purchase, view.intent, mine) };
      }
      this.#listFaults = 0;
      return 'complete';
    } catch (error) {
      this.#rethrowUnlessProvider(error);
      // An outage is waited out; only a refusal, which stays, needs a person.
      if (!(error instanceof VideoError && error.retryable)) this.#listFaults += 1;
      return 'failed';
    }
  }

  /** Keeps a listed task as a candidate if it may be ours. @returns its record when it is already recorded as ours. */
  async #collect(view: PurchaseView, row: ListedTask): Promise<ClaimedTask | undefined> {
    const { ledger, times } = this.#deps;
    if (this.#excluded.has(row.taskId)) return undefined;
    if (isOtherModel(row.modelName)) return undefined;
    if (!isWithin(submitWindow(view, times), row.createdAtMs)) return undefined;
    const owner = await ledger.findTask(row.taskId, this.#store);
    if (owner !== undefined) {
      const by: Purchase = { key: owner.purchase_key, n: owner.n };
      // A reader that finds a task record without its claim writes the claim.
      const claim = await ledger.claim(by, owner, this.#store);
      if (isSamePurchase(by, this.#purchase) && claim.kind !== 'taken') return owner;
      this.#exclude(row.taskId);
    } else if (row.status === 'FAILED' || row.status === 'CANCELED') {
      this.#exclude(row.taskId); // it was free
    } else if (!this.#candidates.has(row.taskId)) {
      this.#candidates.set(row.taskId, { row, status: row.status, unknownAnswers: 0, isFinal: false });
    }
    return undefined;
  }

  /** Queries every candidate that has not ended, and compares those that have. */
  async #queryCandidates(view: PurchaseView): Promise<void> {
    for (const candidate of this.#candidates.values()) {
      if (candidate.isFinal) continue;
      try {
        await this.#query(view, candidate);
      } catch (error) {
        // A refused or lost query proves nothing about the task: it is queried again after the wait.
        this.#rethrowUnlessProvider(error);
      }
    }
  }

  async #query({ intent: { expects } }: PurchaseView, candidate: Candidate): Promise<void> {
    const { provider, times } = this.#deps;
    const { taskId } = candidate.row;
    const task = await provider.queryTask(taskId, { signal: this.#options.signal });
    candidate.status = task.status;
    candidate.hasOddStatus = task.hasOddStatus;
    candidate.unknownAnswers = task.status === 'UNKNOWN' ? candidate.unknownAnswers + 1 : 0;
    if (candidate.unknownAnswers >= times.unknownAnswersMax) candidate.isFinal = true;
    if (task.status === 'FAILED' || task.status === 'CANCELED') this.#exclude(taskId);
    if (task.status !== 'SUCCEEDED') return;
    candidate.snapshot = task;
    // Only the prompt excludes without the file: the provider's figures may drift.
    if (comparePrompts(expects.prompt, task.origPrompt) === 'different') return this.#exclude(taskId);
    const video = candidate.video ?? (await this.#archive(task));
    if (video !== undefined) candidate.video = video;
    candidate.compared = compareTask(expects, task, video);
    const match = combineMatches(candidate.compared);
    candidate.doubtfulLooks =
      match === 'unsure' && isDoubtful(task, candidate.compared) ? (candidate.doubtfulLooks ?? 0) + 1 : 0;
    candidate.isFinal = candidate.doubtfulLooks === 0 || candidate.doubtfulLooks >= ODD_ANSWERS_MAX;
    if (match === 'different') this.#exclude(taskId);
  }

  /** The candidate's video; `undefined` when it can never be archived. */
  async #archive(task: TaskSnapshot): Promise<CandidateVideo | undefined> {
    const { signal } = this.#options;
    try {
      return await this.#deps.archiveCandidate(task, signal);
    } catch (error) {
      if (signal?.aborted || !(error instanceof VideoError) || error.retryable) throw error;
      return undefined;
    }
  }

  /** Decides once every candidate has ended; `undefined` when there is none, or none is left. */
  async #judge(view: PurchaseView): Promise<ReconcileOutcome | 'waiting' | undefined> {
    const { ledger, provider, times } = this.#deps;
    if (this.#candidates.size === 0) return undefined;
    const { open, damaged } = await this.#listOverlapping(view);
    // A claim whose task record is not written yet.
    for (const taskId of [...this.#candidates.keys()]) {
      const isAnothers = open.some((other) => other.intent.token !== view.intent.token && hasTask(other, taskId));
      if (isAnothers) this.#exclude(taskId);
    }
    const [only, ...others] = [...this.#candidates.values()].filter(({ isFinal }) => isFinal);
    if (only === undefined) return undefined;
    if (others.length > 0) return this.#undecided(view, 'several_fit');
    if (only.compared === undefined || combineMatches(only.compared) !== 'equal') {
      return this.#undecided(view, 'not_comparable');
    }
    // Another program's equal task may be listed, and ours not yet: the list lags, and this listing may be an old one.
    if (this.#listedAfterMs < times.submitBoundMs + times.emptySpanMs) return 'waiting';
    if (damaged.length > 0) return this.#undecided(view, 'record_damaged');
    const rivals = open.filter((other) => alsoFits(other, view, only, times));
    if (rivals.length > 0) return this.#undecided(view, 'fits_another_purchase', rivals);
    const task: ClaimedTask = {
      task_id: only.row.taskId,
      request_id: only.row.requestId ?? null,
      key_fingerprint: await provider.keyFingerprint().catch(() => null),
      found_by: 'reconcile',
    };
    const claim = await ledger.claim(this.#purchase, task, this.#store);
    // Decided otherwise meanwhile: the task is proved ours and paid all the same, so this run takes it.
    if (claim.kind !== 'taken') return { kind: 'task', task: boughtTask(this.#purchase, view.intent, task) };
    this.#exclude(task.task_id);
    return undefined;
  }

  /** Counts a complete listing that showed nothing; after enough of them, decides that nothing was created. */
  async #judgeNothing(view: PurchaseView): Promise<ReconcileOutcome | 'decided' | 'waiting'> {
    const { ledger, provider, clock, times } = this.#deps;
    const key = await provider.keyFingerprint();
    // Under another key it may be the list of another account, so the count begins again.
    if (this.#empty?.key !== key) this.#empty = { key, listings: 0, since: stopwatch(clock), spanMs: 0 };
    // A row that cannot be read may be our task: such a listing is not empty, and the next one may show the row.
    if (this.#unreadableRows > 0) {
      this.#empty = undefined;
      this.#oddListings += 1;
      return this.#oddListings < ODD_ANSWERS_MAX ? 'waiting' : this.#undecided(view, 'not_comparable');
    }
    this.#oddListings = 0;
    this.#empty.listings += 1;
    this.#empty.spanMs = this.#empty.since.elapsedMs();
    if (this.#empty.listings < times.emptyListings || this.#empty.spanMs < times.emptySpanMs) return 'waiting';
    // The list of another account never shows our tasks.
    const { key_fingerprint: keyFingerprint, written_at_ms: intentAtMs } = view.intent;
    if (!(await isKeyOfAccount({ ledger, provider }, { keyFingerprint, intentAtMs }, this.#store))) {
      return this.#undecided(view, 'another_key');
    }
    await ledger.decideNotCreated(this.#purchase, { reason: 'none_found', failure: null }, this.#store);
    return 'decided';
  }

  #undecided(view: PurchaseView, reason: UndecidedReason, rivals: readonly PurchaseView[] = []): ReconcileOutcome {
    const evidence = evidenceOf(view, reason, this.#candidates.values(), rivals);
    return { kind: 'undecided', purchase: this.#purchase, evidence };
  }

  /** What is open and so close in time that its task could be mistaken for ours. */
  #listOverlapping(view: PurchaseView): Promise<OpenPurchases> {
    const { fromMs, toMs } = overlapRange(view, this.#deps.times);
    return this.#deps.ledger.listOpenBetween(fromMs, toMs, this.#store);
  }

  async #assess(): Promise<{ readonly status: PurchaseStatus; readonly view: PurchaseView }> {
    const view = await this.#deps.ledger.requirePurchase(this.#purchase, this.#store);
    return { status: await assessPurchase(this.#deps, view, [], this.#store), view };
  }

  /**
   * Whether a candidate may still end. One with a status word that nobody documents is not waited for once another
   * candidate is proved: it might never end.
   */
  #isRendering(): boolean {
    const candidates = [...this.#candidates.values()];
    const open = candidates.filter(({ isFinal }) => !isFinal);
    const proved = candidates.filter(({ compared }) => compared !== undefined && combineMatches(compared) === 'equal');
    return open.length > 0 && !(proved.length === 1 && open.every(({ hasOddStatus }) => hasOddStatus === true));
  }

  #exclude(taskId: string): void {
    this.#excluded.add(taskId);
    this.#candidates.delete(taskId);
  }

  async #wait(ms: number, waitingFor: string): Promise<void> {
    this.#options.onWait?.({ waitingFor, candidates: [...this.#candidates.keys()], progress: this.#progress() });
    await this.#deps.clock.sleep(ms, this.#options.signal);
  }

  #progress(): ReconcileProgress {
    const empty = this.#empty;
    return {
      seenForMs: Object.fromEntries([...this.#firstSeen].map(([token, since]) => [token, since.elapsedMs()])),
      empty: empty === undefined ? null : { listings: empty.listings, spanMs: empty.spanMs, key: empty.key },
    };
  }

  get #store(): StoreOptions {
    return { signal: this.#options.signal };
  }

  /** Faults of the provider are waited out; those of store, records and signal end the step. */
  #rethrowUnlessProvider(error: unknown): void {
    const ours: readonly FailureType[] = [
      FailureType.StoreUnavailable,
      FailureType.RecordDamaged,
      FailureType.ConfigurationInvalid,
    ];
    if (this.#options.signal?.aborted || !(error instanceof VideoError) || ours.includes(error.type)) throw error;
  }
}

/** Letters and digits alone: a name in another spelling is the same model. */
const lettersOf = (name: string): string => name.toLowerCase().replace(/[^a-z0-9]/g, '');

/** A version of the model, or its name in a longer one, is not another model. */
export const isOtherModel = (name: string | undefined): boolean =>
  name !== undefined && !lettersOf(name).includes(lettersOf(MODEL)) && !lettersOf(MODEL).includes(lettersOf(name));

/** Whether an answer about a finished task leaves something open that another answer may show. */
function isDoubtful({ usage }: TaskSnapshot, { prompt }: Comparison): boolean {
  const { duration, sr, audio } = usage ?? {};
  return prompt === 'unsure' || [duration, sr, audio].includes(undefined);
}
