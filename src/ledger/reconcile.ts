import { type Clock, type Stopwatch, stopwatch } from '../async/clock.js';
import { FailureType } from '../contract/failure-type.js';
import { MODEL } from '../contract/model.js';
import { VideoError } from '../contract/video-error.js';
import type { ListedTask, TaskSnapshot, TaskStatus } from '../dashscope/wire.js';
import type { StoreOptions } from '../storage/asset-store.js';
import type { Ledger, PurchaseView } from './ledger.js';
import { type Comparison, combineMatches, comparePrompts, compareShape, compareUsage } from './proof.js';
import type { Purchase } from './purchase-key.js';
import { assessPurchase, boughtTask, type PurchaseStatus } from './purchase-status.js';
import { type ListingProvider, listAllTasks } from './task-list.js';
import type { LedgerTimes } from './times.js';
import { provesAccount } from './unknown-proof.js';

/** The part of the provider that a reconcile asks; it never buys and never cancels. */
export interface AskingProvider extends ListingProvider {
  queryTask(taskId: string, options: { readonly signal?: AbortSignal | undefined }): Promise<TaskSnapshot>;
  keyFingerprint(): Promise<string>;
}

/** A candidate's video in the store, measured. */
export interface CandidateVideo {
  /** Its key, `candidates/<task id>.mp4`. */
  readonly key: string;
  /** Pixels, measured from the file. */
  readonly width: number;
  readonly height: number;
}

export interface ReconcileDeps {
  readonly ledger: Ledger;
  readonly provider: AskingProvider;
  readonly clock: Clock;
  readonly times: LedgerTimes;
  /**
   * Brings the video of a SUCCEEDED task to `candidates/<task id>.mp4` (put if absent) and measures it; idempotent.
   * Retryable errors are tried again; others leave the candidate without a shape, so that nobody guesses.
   */
  readonly archiveCandidate: (task: TaskSnapshot, signal: AbortSignal | undefined) => Promise<CandidateVideo>;
}

export type UndecidedReason =
  /** Several tasks fit this purchase. */
  | 'several_fit'
  /** The one that fits also fits another purchase whose reply was lost. */
  | 'fits_another_purchase'
  /** Prompt, usage or shape cannot be compared. */
  | 'not_comparable'
  /** The provider refuses its task list, or never shows all of it. */
  | 'list_refused'
  /** The list shows 24 hours, and the attempt is older. */
  | 'too_old'
  /** The key in use may be of another account than the one that sent the submit. */
  | 'another_key'
  /** A damaged record may be of a purchase that the task fits as well. */
  | 'record_damaged';

/** One task that may be ours, as people need it to decide. */
export interface CandidateEvidence {
  readonly task_id: string;
  readonly created_at_ms: number | null;
  readonly status: TaskStatus;
  readonly compared: Comparison | null;
  /** Where its video is kept for the decision; null when there is none. */
  readonly video_key: string | null;
  /** Other open purchases (`<key>/<n>`) that it fits. */
  readonly also_fits: readonly string[];
}

/** Why nobody but a person can decide. Plain JSON, for details and queries. */
export interface Evidence {
  readonly reason: UndecidedReason;
  readonly explanation: string;
  readonly purchase_key: string;
  readonly n: number;
  readonly attempted_at_ms: number;
  readonly candidates: readonly CandidateEvidence[];
  readonly next_step: string;
}

export type ReconcileOutcome =
  | Exclude<PurchaseStatus, { readonly kind: 'unclaimed' }>
  /**
   * Park as `needs_attention`; `awaitPurchase` with `parked` meanwhile, `resolvePurchase` ends it. Never a second
   * purchase.
   */
  | { readonly kind: 'undecided'; readonly purchase: Purchase; readonly evidence: Evidence };

/**
 * What a reconcile has waited for so far; plain JSON. Whoever begins again, anywhere, goes on from it: the time between adds to none of
 * it, so nothing counts as waited for that was not. Without it a step whose workers keep dying would wait for ever.
 */
export interface ReconcileProgress {
  /** Milliseconds since the first sight of each submit that may still be under way, by its token. */
  readonly seenForMs: Readonly<Record<string, number>>;
  /** Complete listings in a row that showed nothing, the milliseconds between the first and the last, and the key that they are of. */
  readonly empty: { readonly listings: number; readonly spanMs: number; readonly key: string } | null;
}

export interface ReconcileOptions extends StoreOptions {
  /** What an earlier attempt told last. */
  readonly progress?: ReconcileProgress | undefined;
  /** Told before every wait, for heartbeats. */
  readonly onWait?:
    | ((state: {
        readonly waitingFor: string;
        readonly candidates: readonly string[];
        readonly progress: ReconcileProgress;
      }) => void)
    | undefined;
}

interface Candidate {
  readonly row: ListedTask;
  status: TaskStatus;
  unknownLooks: number;
  compared?: Comparison;
  video?: CandidateVideo;
  snapshot?: TaskSnapshot;
  /** Nothing more will be learned of it. */
  final: boolean;
}

/**
 * Finds out what became of a submit whose reply was lost, without ever buying or guessing. For the step
 * `reconcileSubmit`, which heartbeats and hands its signal in; safe to repeat from the start at any time, and to run
 * in several places at once.
 *
 * Takes `submitBoundMs`, then three complete listings over `emptySpanMs` when nothing is there, else as long as the
 * candidates render.
 * Faults of list and queries are waited out; only a list that fails `listFaultsMax` times in a row is given up.
 * @returns what the ledger now says of the purchase (as `awaitPurchase`), or `undecided`.
 * @throws VideoError `RecordDamaged` or `StoreUnavailable`, as the ledger does.
 */
export async function reconcileSubmit(
  deps: ReconcileDeps,
  purchase: Purchase,
  options: ReconcileOptions = {},
): Promise<ReconcileOutcome> {
  return new Reconcile(deps, purchase, options).run();
}

class Reconcile {
  readonly #deps: ReconcileDeps;
  readonly #purchase: Purchase;
  readonly #options: ReconcileOptions;
  readonly #watched = new Map<string, Candidate>();
  /** Tasks that are known not to be ours: claimed elsewhere, free, or different. */
  readonly #dropped = new Set<string>();
  readonly #sights: Map<string, Stopwatch>;
  #empty: { readonly key: string; listings: number; readonly since: Stopwatch; spanMs: number } | undefined;

  constructor(deps: ReconcileDeps, purchase: Purchase, options: ReconcileOptions) {
    this.#deps = deps;
    this.#purchase = purchase;
    this.#options = options;
    const { seenForMs: sights = {}, empty = null } = options.progress ?? {};
    this.#sights = new Map(Object.entries(sights).map(([token, ms]) => [token, stopwatch(deps.clock, ms)]));
    if (empty !== null) this.#empty = { ...empty, since: stopwatch(deps.clock, empty.spanMs) };
  }

  async run(): Promise<ReconcileOutcome> {
    const { clock, times, ledger } = this.#deps;
    await this.#settle();
    let faults = 0;
    for (;;) {
      const { standing, view } = await this.#standing();
      if (standing.kind !== 'unclaimed') return standing;
      const ageMs = clock.now() - view.intent.written_at_ms;
      const tooOld = ageMs > times.decideWithinMs;
      // Nothing more can be learned, however the queries end.
      if (ageMs > 2 * times.resultLifeMs - times.decideWithinMs) return this.#undecided(view, 'too_old');
      let listed = false;
      try {
        const mine = await this.#collect(view);
        if (mine !== undefined) return mine;
        listed = true;
        faults = 0;
      } catch (error) {
        this.#rethrowUnlessProvider(error);
        // An outage is waited out; only a refusal, which stays, is something that a person must decide around.
        if (!(error instanceof VideoError && error.retryable)) faults += 1;
      }
      await this.#look(view);
      const waitingFor = [...this.#watched.values()].filter(({ final }) => !final);
      if (waitingFor.length === 0) {
        if (tooOld && (listed || faults >= times.listFaultsMax)) return this.#undecided(view, 'too_old');
        if (faults >= times.listFaultsMax) return this.#undecided(view, 'list_refused');
        if (listed) {
          const judged = await this.#judge(view);
          if (judged !== undefined) return judged;
          if (this.#watched.size === 0) {
            const { listings, spanMs } = await this.#sawNothing();
            if (listings >= times.emptyListings && spanMs >= times.emptySpanMs) {
              // The list of another account is empty of our tasks whatever happened.
              const { key_fingerprint } = view.intent;
              const proof = { ledger, provider: this.#deps.provider };
              if (!(await provesAccount(proof, key_fingerprint, this.#store))) {
                return this.#undecided(view, 'another_key');
              }
              await ledger.decideNotCreated(this.#purchase, { reason: 'none_found', failure: null }, this.#store);
              continue; // whatever decision stands now
            }
          }
        }
      }
      if (this.#watched.size > 0) this.#empty = undefined;
      await this.#wait(
        times.listEveryMs,
        waitingFor.length > 0 ? 'tasks that may be ours to finish' : 'the task list to show what became of the submit',
      );
    }
  }

  /** Counts a complete listing that showed nothing. Under another key it may be the list of another account, so that counts anew. */
  async #sawNothing(): Promise<{ readonly listings: number; readonly spanMs: number }> {
    const key = await this.#deps.provider.keyFingerprint();
    if (this.#empty?.key !== key) this.#empty = { key, listings: 0, since: stopwatch(this.#deps.clock), spanMs: 0 };
    this.#empty.listings += 1;
    this.#empty.spanMs = this.#empty.since.elapsedMs();
    return this.#empty;
  }

  get #store(): StoreOptions {
    return { signal: this.#options.signal };
  }

  async #standing(): Promise<{ standing: PurchaseStatus; view: PurchaseView }> {
    const { ledger } = this.#deps;
    const view = await ledger.require(this.#purchase, this.#store);
    return { standing: await assessPurchase(this.#deps, view, [], this.#store), view };
  }

  /**
   * Waits until every submit whose task could be mistaken for ours is over: no open, unclaimed intent that overlaps is
   * younger than the bound, by our own first sight of each.
   */
  async #settle(): Promise<void> {
    const { ledger, clock, times } = this.#deps;
    const sights = this.#sights;
    for (;;) {
      const { standing, view } = await this.#standing();
      if (standing.kind !== 'unclaimed') return;
      const { open } = await ledger.openBetween(...this.#window(view), this.#store);
      const overlapping = [view, ...open.filter((other) => this.#overlaps(view, other))];
      const tokens = new Set(overlapping.map(({ intent }) => intent.token));
      for (const token of sights.keys()) if (!tokens.has(token)) sights.delete(token);
      let leftMs = 0;
      for (const { intent } of overlapping) {
        const sight = sights.get(intent.token) ?? stopwatch(clock);
        sights.set(intent.token, sight);
        leftMs = Math.max(leftMs, times.submitBoundMs - sight.elapsedMs());
      }
      if (leftMs <= 0) return;
      const waited = stopwatch(clock);
      while (waited.elapsedMs() < leftMs) {
        await this.#wait(Math.min(times.followEveryMs, leftMs), 'submits that may still be under way');
        if ((await this.#standing()).standing.kind !== 'unclaimed') return;
      }
    }
  }

  /** Lists, and keeps what may be ours. Answers at once when a task turns out to be recorded as ours. */
  async #collect(view: PurchaseView): Promise<ReconcileOutcome | undefined> {
    const { ledger, provider, clock } = this.#deps;
    const [fromMs, toMs] = this.#window(view);
    const rows = await listAllTasks(provider, clock, this.#options.signal);
    for (const row of rows) {
      if (this.#dropped.has(row.taskId)) continue;
      if (row.modelName !== undefined && row.modelName !== MODEL) continue;
      const created = row.createdAtMs;
      if (created !== undefined && (created < fromMs || created > toMs)) continue;
      const owner = await ledger.findTask(row.taskId, this.#store);
      if (owner !== undefined) {
        const by: Purchase = { key: owner.purchase_key, n: owner.n };
        // Whoever finds a task record without its claim writes the claim.
        const claiming = await ledger.claim(by, owner, this.#store);
        if (by.key === this.#purchase.key && by.n === this.#purchase.n) {
          if (claiming.kind === 'claimed' || claiming.kind === 'second') {
            return { kind: 'task', task: boughtTask(this.#purchase, view.intent, owner) };
          }
        }
        this.#drop(row.taskId);
        continue;
      }
      if (row.status === 'FAILED' || row.status === 'CANCELED') {
        this.#drop(row.taskId); // it was free
        continue;
      }
      const known = this.#watched.get(row.taskId);
      if (known === undefined) {
        this.#watched.set(row.taskId, { row, status: row.status, unknownLooks: 0, final: false });
      }
    }
    return undefined;
  }

  /** Asks for every candidate that has not ended, and compares those that have. */
  async #look(view: PurchaseView): Promise<void> {
    const { provider, times, archiveCandidate } = this.#deps;
    const { signal } = this.#options;
    const { expects } = view.intent;
    for (const candidate of this.#watched.values()) {
      if (candidate.final) continue;
      const { taskId } = candidate.row;
      try {
        const seen = await provider.queryTask(taskId, { signal });
        candidate.status = seen.status;
        candidate.unknownLooks = seen.status === 'UNKNOWN' ? candidate.unknownLooks + 1 : 0;
        if (seen.status === 'FAILED' || seen.status === 'CANCELED') this.#drop(taskId);
        if (candidate.unknownLooks >= times.unknownLooksMax) candidate.final = true;
        if (seen.status !== 'SUCCEEDED') continue;
        candidate.snapshot = seen;
        const prompt = comparePrompts(expects.prompt, seen.origPrompt);
        const usage = compareUsage(expects, seen.usage);
        if (prompt === 'different' || usage === 'different') {
          this.#drop(taskId);
          continue;
        }
        try {
          candidate.video = await archiveCandidate(seen, signal);
        } catch (error) {
          if (signal?.aborted || !(error instanceof VideoError) || error.retryable) throw error;
        }
        candidate.compared = { prompt, usage, shape: compareShape(expects, candidate.video) };
        if (combineMatches(candidate.compared) === 'different') this.#drop(taskId);
        candidate.final = true;
      } catch (error) {
        // A refused or lost query says nothing of the task: it is asked again after the wait.
        this.#rethrowUnlessProvider(error);
      }
    }
  }

  /** Decides once every candidate has ended; `undefined` when none is left. */
  async #judge(view: PurchaseView): Promise<ReconcileOutcome | undefined> {
    const { ledger, provider } = this.#deps;
    const candidates = [...this.#watched.values()];
    const [only] = candidates;
    if (only === undefined) return undefined;
    if (candidates.length > 1) return this.#undecided(view, 'several_fit');
    if (only.compared === undefined || combineMatches(only.compared) !== 'equal') {
      return this.#undecided(view, 'not_comparable');
    }
    const { open, damaged } = await ledger.openBetween(...this.#window(view), this.#store);
    if (damaged.length > 0) return this.#undecided(view, 'record_damaged');
    const others = open.filter((other) => this.#fits(other, view, only));
    if (others.length > 0) return this.#undecided(view, 'fits_another_purchase', others);
    const task = {
      task_id: only.row.taskId,
      request_id: only.row.requestId ?? null,
      key_fingerprint: await provider.keyFingerprint().catch(() => null),
      found_by: 'reconcile' as const,
    };
    const claiming = await ledger.claim(this.#purchase, task, this.#store);
    // Decided otherwise meanwhile: the task is proved ours and paid all the same, so this run takes it.
    if (claiming.kind !== 'taken') return { kind: 'task', task: boughtTask(this.#purchase, view.intent, task) };
    this.#drop(task.task_id);
    return undefined;
  }

  /** Whether a candidate could be another lost submit's as well; in doubt it could. */
  #fits(other: PurchaseView, view: PurchaseView, { row, snapshot, video }: Candidate): boolean {
    if (!this.#overlaps(view, other)) return false;
    const [fromMs, toMs] = this.#window(other);
    if (row.createdAtMs !== undefined && (row.createdAtMs < fromMs || row.createdAtMs > toMs)) return false;
    const { expects } = other.intent;
    return (
      combineMatches({
        prompt: comparePrompts(expects.prompt, snapshot?.origPrompt),
        usage: compareUsage(expects, snapshot?.usage),
        shape: compareShape(expects, video),
      }) !== 'different'
    );
  }

  /** Another open purchase without a claim whose submit lay so near that their tasks could be mixed up. */
  #overlaps(view: PurchaseView, other: PurchaseView): boolean {
    if (other.state.kind !== 'unclaimed' || other.intent.token === view.intent.token) return false;
    const [from, to] = this.#window(view);
    const [otherFrom, otherTo] = this.#window(other);
    return from <= otherTo && otherFrom <= to;
  }

  /** When the provider may have created the task of an intent: the two clocks that dated it, widened by the skew. */
  #window({ intent, storedAtMs }: PurchaseView): readonly [fromMs: number, toMs: number] {
    const { clockSkewMs, postWithinMs, postMs } = this.#deps.times;
    return [
      Math.min(intent.written_at_ms, storedAtMs) - clockSkewMs,
      Math.max(intent.written_at_ms, storedAtMs) + postWithinMs + postMs + clockSkewMs,
    ];
  }

  #undecided(view: PurchaseView, reason: UndecidedReason, others: readonly PurchaseView[] = []): ReconcileOutcome {
    const { key, n } = this.#purchase;
    return {
      kind: 'undecided',
      purchase: this.#purchase,
      evidence: {
        reason,
        explanation: EXPLANATIONS[reason],
        purchase_key: key,
        n,
        attempted_at_ms: view.intent.written_at_ms,
        candidates: [...this.#watched.values()].map(({ row, status, compared, video }) => ({
          task_id: row.taskId,
          created_at_ms: row.createdAtMs ?? null,
          status,
          compared: compared ?? null,
          video_key: video?.key ?? null,
          also_fits: others.map(({ purchase }) => `${purchase.key}/${purchase.n}`),
        })),
        next_step:
          'Look at the candidates and decide: wan-video resolve ID --task T takes a task, --buy buys again (a task that exists is paid beside it).',
      },
    };
  }

  #drop(taskId: string): void {
    this.#dropped.add(taskId);
    this.#watched.delete(taskId);
  }

  async #wait(ms: number, waitingFor: string): Promise<void> {
    this.#options.onWait?.({ waitingFor, candidates: [...this.#watched.keys()], progress: this.#progress() });
    await this.#deps.clock.sleep(ms, this.#options.signal);
  }

  #progress(): ReconcileProgress {
    const empty = this.#empty;
    return {
      seenForMs: Object.fromEntries([...this.#sights].map(([token, sight]) => [token, sight.elapsedMs()])),
      empty: empty === undefined ? null : { listings: empty.listings, spanMs: empty.spanMs, key: empty.key },
    };
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

const EXPLANATIONS: Readonly<Record<UndecidedReason, string>> = {
  several_fit: 'Several tasks of the account may be the one whose reply was lost.',
  fits_another_purchase: 'The task that fits may as well belong to another purchase whose reply was lost.',
  not_comparable: 'A task may be ours, but its prompt, usage or picture cannot be compared with the request.',
  list_refused: "The provider does not show the account's task list.",
  too_old: "The submit is older than the provider's task list, which shows 24 hours.",
  another_key: 'The key in use is not the one that sent the submit, and nothing shows that both are of one account.',
  record_damaged: 'A damaged ledger record may be of a purchase that the task fits as well.',
};
