import { z } from 'zod';
import type { AuditedTask, AuditVerdict } from '../src/contract/audit.js';
import { isSamePurchase, type Purchase } from '../src/contract/purchase.js';
import { DAY_MS, HOUR_MS, utcMinute } from '../src/contract/utc.js';
import { VideoError } from '../src/contract/video-error.js';
import type { ListedTask, TaskSnapshot } from '../src/dashscope/wire.js';
import type { CandidateVideo } from '../src/ledger/evidence.js';
import type { AnnouncedPurchases } from '../src/ledger/open-purchases.js';
import { combineMatches, comparePrompts, compareTask, type Match } from '../src/ledger/proof.js';
import { boughtTask, endingOfTask, type PurchaseView } from '../src/ledger/purchase-view.js';
import { isOtherModel, type ReconcileDeps } from '../src/ledger/reconcile.js';
import { recordedIn } from '../src/ledger/recorded-task.js';
import type { ClaimedTask, NotCreated } from '../src/ledger/records.js';
import { alsoFits, isWithin, overlapRange, submitWindow } from '../src/ledger/submit-window.js';
import { videoKey } from '../src/storage/keys.js';
import { type ActivityDeps, ledgerParts } from './deps.js';
import { type OrphanedPurchase, orphansOf } from './find-orphans.js';

/** Decisions after which no task of the submit can exist: it was never sent, or the provider refused it. */
const NOTHING_CREATED: readonly NotCreated['reason'][] = ['not_sent', 'too_late', 'rejected'];

/** A task with its verdict, and what rescues it. */
export interface Examined {
  readonly task: AuditedTask;
  readonly orphan?: OrphanedPurchase;
}

/** A task that no record names, and that may be of purchases. */
export interface Undecided {
  readonly row: ListedTask;
  readonly seen: TaskSnapshot;
  readonly video?: CandidateVideo | undefined;
  /** The purchases from which it does not differ. */
  readonly fits: readonly { readonly view: PurchaseView; readonly match: Match }[];
  /** The verdict, unless it can be claimed. */
  readonly otherwise: AuditedTask;
}

interface AuditDeps extends ActivityDeps, Pick<ReconcileDeps, 'archiveCandidate'> {
  /** Rows of the list that name no readable task: each may be any task, so nothing is claimed next to one. */
  readonly unreadable: number;
  /** Called once a task was claimed that no purchase named. */
  readonly onRescue: (taskId: string) => void;
}

/**
 * Explains the tasks of an account one by one: first what each is by itself ({@link examine}), then what each undecided
 * one is among the others ({@link decide}).
 */
export class TaskAuditor {
  readonly #deps: AuditDeps;
  readonly #bills: ReadonlyMap<string, number>;
  readonly #signal: AbortSignal;
  /** Tasks of which nothing is known. */
  readonly #doubtful: ListedTask[] = [];
  readonly #announced = new Map<number, Promise<AnnouncedPurchases>>();

  constructor(deps: AuditDeps, bills: ReadonlyMap<string, number>, signal: AbortSignal) {
    this.#deps = deps;
    this.#bills = bills;
    this.#signal = signal;
  }

  /** Names a task of which nothing is known: nothing is claimed for a purchase that may have created it. */
  doubt(row: ListedTask): void {
    if (!isOtherModel(row.modelName)) this.#doubtful.push(row);
  }

  /** Explains one task; a fault on the way does not hide the others. */
  examine(row: ListedTask): Promise<Examined | Undecided> {
    return this.#orUnclear(row, () => this.#examine(row));
  }

  async #orUnclear<T>(row: ListedTask, look: () => Promise<T>): Promise<T | Examined> {
    try {
      return await look();
    } catch (error) {
      if (this.#signal.aborted || !(error instanceof VideoError)) throw error;
      this.doubt(row);
      const unknown = { purchase: null, provider_seconds: null, ledger_seconds: this.#bills.get(row.taskId) ?? null };
      return { task: { ...factsOf(row), verdict: 'unclear', why: error.message, ...unknown } };
    }
  }

  async #examine(row: ListedTask): Promise<Examined | Undecided> {
    const { ledger } = this.#deps;
    const store = { signal: this.#signal };
    const owner = await ledger.findTask(row.taskId, store);
    if (owner === undefined) return this.#examineUnknown(row);
    const purchase: Purchase = { key: owner.purchase_key, n: owner.n };
    let view = await ledger.requirePurchase(purchase, store);
    // A process died between the task's record and the claim: nothing else would lead to the task.
    if (recordedIn(view, row.taskId) === undefined) {
      await ledger.claim(purchase, owner, store);
      this.#deps.onRescue(row.taskId);
      view = await ledger.requirePurchase(purchase, store);
    }
    return this.#examineOwn(row, view, owner);
  }

  async #examineOwn(row: ListedTask, view: PurchaseView, claimed: ClaimedTask): Promise<Examined> {
    const { dashscope, store } = this.#deps;
    const { taskId } = row;
    const seen = await dashscope.queryTask(taskId, { signal: this.#signal });
    // The provider deletes a task after 24 hours, perhaps between the list and the query: the list has its end.
    const isDeleted = seen.status === 'UNKNOWN';
    const { status } = isDeleted ? row : seen;
    const hasVideo = status === 'SUCCEEDED';
    const say = (verdict: AuditVerdict, why: string): AuditedTask => ({
      ...factsOf(row, seen),
      verdict,
      why,
      purchase: `${view.purchase.key}/${view.purchase.n}`,
      provider_seconds: hasVideo ? (seen.usage?.duration ?? null) : 0,
      ledger_seconds: this.#bills.get(taskId) ?? (hasVideo ? null : 0),
    });
    const ending = endingOfTask(view, taskId);
    if (ending?.how === 'archived') {
      if ((await store.head(videoKey(taskId), { signal: this.#signal })) !== undefined) {
        const adopted = claimed.found_by !== 'submit';
        return { task: say(adopted ? 'adopted' : 'archived', adopted ? 'its lost reply was found' : 'in the store') };
      }
      return { task: say('orphan', await this.#missingVideo(row, view)) };
    }
    if (ending?.how === 'abandoned' || (ending?.how === 'failed' && hasVideo)) {
      return { task: say('given_up', ending.how === 'abandoned' ? 'given up by a person' : 'its result was refused') };
    }
    if (isFree({ status })) return { task: say('free', 'not billed') };
    if (ending !== undefined) {
      const now = isDeleted ? 'and the provider has deleted it' : 'while the provider still has it';
      return { task: say('orphan', `closed as ${ending.how} ${now}`) };
    }
    const orphans = await orphansOf(view, this.#deps, this.#signal);
    const orphan = orphans.find(({ extraTask }) => (extraTask?.taskId ?? taskId) === taskId);
    if (orphan === undefined) return { task: say('open', 'a run works on it') };
    return { task: say('orphan', 'no run works on it; a salvage was started'), orphan };
  }

  /**
   * What to do about an archived video that is not in the store. It is never fetched here: somebody may have deleted it
   * on purpose, and no record says so.
   */
  async #missingVideo({ taskId, createdAtMs }: ListedTask, view: PurchaseView): Promise<string> {
    const { ledger, clock } = this.#deps;
    const { purchase, intent } = view;
    const boughtMs = createdAtMs ?? intent.written_at_ms;
    const age = `${Math.max(0, Math.floor((clock.now() - boughtMs) / HOUR_MS))} h`;
    const missing = `was archived, is ${age} old, and its video is not in the store: deleted or lost`;
    const newest = await ledger.findNewest(purchase.key, { signal: this.#signal });
    const isNewest = newest?.purchase.n === purchase.n && recordedIn(view, taskId)?.role === 'claimed';
    // With `cache: off` the key is of one run alone.
    if (!isNewest || purchase.key !== intent.cache_key) return `${missing}; no other request fetches it`;
    const until = `until ${utcMinute(boughtMs + DAY_MS)} an equal request fetches it, and buys nothing`;
    // Run again, a request with `cache: refresh` would buy.
    const isRefresh = requestOf(intent.memo)?.cache === 'refresh';
    return `${missing}; ${until}: ${isRefresh ? 'send it with cache "use"' : `wan-video retry ${intent.workflow_id}`}`;
  }

  /** Judges a task that has no task record. */
  async #examineUnknown(row: ListedTask): Promise<Examined | Undecided> {
    const say = (verdict: AuditVerdict, why: string, seen?: TaskSnapshot) => ({
      task: notOurs({ row, seen }, verdict, why),
    });
    if (isOtherModel(row.modelName)) return say('other_software', `of the model ${row.modelName}`);
    const { views, damaged } = await this.#announcedNear(row);
    // A submit records the task in its purchase first, and may have died before `tasks/<id>.json`.
    for (const view of views) {
      const own = recordedIn(view, row.taskId);
      if (own !== undefined) return this.#examineOwn(row, view, own.task);
    }
    const [damage] = damaged;
    if (damage !== undefined) {
      this.doubt(row);
      return say('unclear', `may be of a purchase that cannot be read: ${damage.message}`);
    }
    if (isFree(row)) return say('other_software', 'no purchase names it; not billed');
    if (row.createdAtMs === undefined) {
      this.doubt(row);
      return say('unclear', 'the list does not say when it was created');
    }
    const nearby = this.#mayHaveMade(row, views);
    if (nearby.length === 0) return say('other_software', 'no submit of this ledger was near its time');
    const seen = await this.#deps.dashscope.queryTask(row.taskId, { signal: this.#signal });
    const alike = nearby.filter(({ intent }) => comparePrompts(intent.expects.prompt, seen.origPrompt) !== 'different');
    if (isFree(seen)) return say('free', 'not billed', seen);
    if (alike.length === 0) return say('other_software', 'its prompt is of no purchase', seen);
    const unsure = (verdict: AuditVerdict, why: string): Undecided => ({
      row,
      seen,
      fits: alike.map((view) => ({ view, match: 'unsure' })),
      otherwise: notOurs({ row, seen }, verdict, why),
    });
    if (alike.some(({ state }) => state.kind === 'unclaimed')) {
      return unsure('open', 'may be of a submit whose reply was lost; its run finds out');
    }
    if (seen.status !== 'SUCCEEDED') return unsure('unclear', 'may be ours, and is not over');
    return this.#compare(row, seen, alike);
  }

  /** Compares a finished task that no record names with purchases that were decided to have created nothing. */
  async #compare(row: ListedTask, seen: TaskSnapshot, alike: readonly PurchaseView[]): Promise<Examined | Undecided> {
    const video = await this.#deps.archiveCandidate(seen, this.#signal).catch((error: unknown) => {
      if (this.#signal.aborted) throw error;
      return undefined;
    });
    const fits = alike
      .map((view) => ({ view, match: combineMatches(compareTask(view.intent.expects, seen, video)) }))
      .filter(({ match }) => match !== 'different');
    if (fits.length === 0) return { task: notOurs({ row, seen }, 'other_software', 'its video is of no purchase') };
    const why = fits.some(({ view }) => decidedBy(view) === 'person')
      ? 'may be of a purchase of which a person decided that it created nothing'
      : 'may be of a purchase that was taken for not created; nothing proves it';
    return { row, seen, video, fits, otherwise: notOurs({ row, seen }, 'unclear', why) };
  }

  /**
   * Claims a task that no record names, when exactly one purchase fits it, equals it, and no other task of the account
   * fits that purchase. Call it one by one, once every task was examined.
   */
  decide(one: Undecided, all: readonly Undecided[]): Promise<Examined> {
    return this.#orUnclear(one.row, () => this.#decide(one, all));
  }

  async #decide(one: Undecided, all: readonly Undecided[]): Promise<Examined> {
    const { ledger, dashscope, onRescue } = this.#deps;
    const { times } = ledgerParts(this.#deps);
    const { row, seen, video, fits, otherwise } = one;
    const store = { signal: this.#signal };
    const say = (verdict: AuditVerdict, why: string) => ({ task: notOurs(one, verdict, why) });
    const [fit] = fits;
    if (fits.length !== 1 || fit?.match !== 'equal' || decidedBy(fit.view) !== 'none_found') return { task: otherwise };
    const { purchase, intent } = fit.view;
    const rivals = all.filter((other) => other.fits.some(({ view }) => isSamePurchase(view.purchase, purchase)));
    const inWindow = this.#doubtful.filter(({ createdAtMs }) => isWithin(submitWindow(fit.view, times), createdAtMs));
    if (rivals.length > 1 || inWindow.length > 0 || this.#deps.unreadable > 0) {
      return say('unclear', 'equal to a purchase that was taken for not created, and perhaps not alone');
    }
    // Announced or claimed since the purchases were read: `Ledger.claim` must not be called for such a task.
    const { fromMs, toMs } = overlapRange(fit.view, times);
    const { open, damaged } = await ledger.listOpenBetween(fromMs, toMs, store);
    for (const view of open) {
      const own = recordedIn(view, row.taskId);
      if (own !== undefined) return this.#examineOwn(row, view, own.task);
    }
    const [damage] = damaged;
    if (damage !== undefined) return say('unclear', `cannot be claimed: ${damage.message}`);
    const ended = { row, snapshot: seen, status: seen.status, unknownAnswers: 0, isFinal: true };
    const candidate = video === undefined ? ended : { ...ended, video };
    if (open.some((other) => alsoFits(other, fit.view, candidate, times))) {
      return say('open', 'may be of a submit whose reply was lost; its run finds out');
    }
    const now = await ledger.requirePurchase(purchase, store);
    if (decidedBy(now) !== 'none_found' || now.extraTasks.length > 0) {
      return say('unclear', 'equal to a purchase that was decided otherwise meanwhile');
    }
    const found: ClaimedTask = {
      task_id: row.taskId,
      request_id: row.requestId ?? null,
      key_fingerprint: await dashscope.keyFingerprint().catch(() => null),
      found_by: 'reconcile',
    };
    const claim = await ledger.claim(purchase, found, store);
    if (claim.kind === 'taken') return say('unclear', 'was taken for another purchase meanwhile');
    onRescue(row.taskId);
    const { task } = say('orphan', 'equal to a purchase that was taken for not created; a salvage was started');
    const extraTask = { ...boughtTask(purchase, intent, found), claim: 'extra' as const };
    return {
      task: { ...task, purchase: `${purchase.key}/${purchase.n}`, provider_seconds: seen.usage?.duration ?? null },
      orphan: { purchase, workflowId: intent.workflow_id, extraTask },
    };
  }

  /** Purchases without a task of their own whose submit may have created this one. */
  #mayHaveMade({ createdAtMs }: ListedTask, views: readonly PurchaseView[]): readonly PurchaseView[] {
    const { times } = ledgerParts(this.#deps);
    return views.filter((view) => {
      const { state, extraTasks } = view;
      const wasSent = state.kind === 'not_created' && !NOTHING_CREATED.includes(state.notCreated.reason);
      // One submit makes one task.
      const mayHave = state.kind === 'unclaimed' || (wasSent && extraTasks.length === 0);
      return mayHave && isWithin(submitWindow(view, times), createdAtMs);
    });
  }

  /** Every purchase that was announced in the hours around a task. */
  async #announcedNear({ createdAtMs }: ListedTask): Promise<AnnouncedPurchases> {
    if (createdAtMs === undefined) return { views: [], damaged: [] };
    const hours = [createdAtMs - HOUR_MS, createdAtMs, createdAtMs + HOUR_MS];
    const near: AnnouncedPurchases[] = [];
    for (const atMs of hours) near.push(await this.#announcedIn(atMs));
    return { views: near.flatMap(({ views }) => views), damaged: near.flatMap(({ damaged }) => damaged) };
  }

  /** The purchases that were announced in an hour, read once. */
  #announcedIn(atMs: number): Promise<AnnouncedPurchases> {
    const hour = Math.floor(atMs / HOUR_MS);
    const known =
      this.#announced.get(hour) ?? this.#deps.ledger.listAnnounced(hour * HOUR_MS, { signal: this.#signal });
    this.#announced.set(hour, known);
    known.catch(() => this.#announced.delete(hour)); // the next task may see the store again
    return known;
  }
}

const factsOf = ({ taskId, createdAtMs, status }: ListedTask, seen?: TaskSnapshot) => ({
  task_id: taskId,
  created_at_ms: createdAtMs ?? null,
  status: seen?.status ?? status,
});

const memoShape = z.object({ request: z.object({ cache: z.string().optional() }) });

const requestOf = (memo: unknown) => memoShape.safeParse(memo).data?.request;

/** What is said of a task that is not known as ours. */
const notOurs = (
  { row, seen }: { readonly row: ListedTask; readonly seen?: TaskSnapshot | undefined },
  verdict: AuditVerdict,
  why: string,
): AuditedTask => ({
  ...factsOf(row, seen),
  verdict,
  why,
  purchase: null,
  provider_seconds: null,
  ledger_seconds: null,
});

export const isFree = ({ status }: { readonly status: string }): boolean =>
  status === 'FAILED' || status === 'CANCELED';

/** Why a purchase counts as not created; `undefined` when it does not. */
const decidedBy = ({ state }: PurchaseView): NotCreated['reason'] | undefined =>
  state.kind === 'not_created' ? state.notCreated.reason : undefined;
