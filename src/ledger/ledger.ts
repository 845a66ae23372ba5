import { FailureType } from '../contract/failure-type.js';
import type { Purchase } from '../contract/purchase.js';
import type { VideoResult } from '../contract/result.js';
import { DAY_MS, utcDay } from '../contract/utc.js';
import { VideoError } from '../contract/video-error.js';
import type { AssetStore, StoreOptions } from '../storage/asset-store.js';
import { writeRecord } from '../storage/json-record.js';
import { type Scope, videoKey } from '../storage/keys.js';
import { announce, mark } from './announcements.js';
import { hasBill, type ListBillsOptions, listBills, recordBill, type TaskBill } from './bills.js';
import { claimTask, decide, ensureOwner, readOwner, recordFoundTask, recordOwner, taskFacts } from './claims.js';
import { type LedgerOptions, LedgerRecords, type PutAnswer } from './ledger-records.js';
import {
  type AnnouncedPurchases,
  listAnnounced,
  listOpen,
  listOpenBetween,
  markSettled,
  OPEN_HOURS,
  type OpenPurchases,
  tasksClaimedWith,
} from './open-purchases.js';
import { isOwnedBy, type PurchaseView, viewNewest, viewPurchase } from './purchase-view.js';
import { findOwnersTime, type RecordedTask, recallTask, recordedIn, type TaskRef } from './recorded-task.js';
import {
  type BillFacts,
  type BillRecord,
  type CachedRecord,
  type ClaimedTask,
  type ClaimRecord,
  type ClosedRecord,
  cachedRecord,
  closedRecord,
  type Ending,
  type IntentRecord,
  intentRecord,
  type NotCreated,
  type Stamp,
  type TaskRecord,
  toFailureRecord,
} from './records.js';
import { writeStatements } from './statements.js';

/** What an intent says, in addition to its stamp. */
export type IntentFields = Omit<IntentRecord, keyof Stamp | 'kind'>;

/** How a task and its purchase belong together after {@link Ledger.claim}. */
export type ClaimResult =
  /** The purchase's one decision names this task. */
  | { readonly kind: 'claimed' }
  /** The purchase was decided otherwise before: this task is a second purchase, recorded in addition. */
  | { readonly kind: 'extra' }
  /** The task belongs to another purchase. */
  | { readonly kind: 'taken'; readonly by: Purchase };

/** How a bought task ended; see {@link Ledger.finish}. */
export type TaskEnd =
  /** Its video is in the store under `videos/`. The result is cached under `cacheKey`; null with `cache: off`. */
  | { readonly how: 'archived'; readonly result: VideoResult; readonly cacheKey: string | null }
  | { readonly how: 'failed'; readonly error: VideoError }
  /** `expired`: paid and lost, as `provesGone` says. `abandoned`: a person gave its result up. */
  | { readonly how: 'cancelled' | 'expired' | 'abandoned' };

/**
 * The purchases of one account at one provider: immutable records, each put where none was, none ever replaced (but
 * for the cache pointer). `docs/ledger.md` draws the states.
 *
 * Every method rejects with a {@link VideoError}: `RecordDamaged` (never retried; nothing was written) when a record on
 * the way cannot be understood, or belongs to another account or purchase; `StoreUnavailable` (retryable) on I/O
 * faults; or, unchanged, with the reason of `options.signal`.
 */
export class Ledger {
  readonly scope: Scope;
  readonly store: AssetStore;
  readonly #records: LedgerRecords;

  constructor(options: LedgerOptions) {
    this.scope = options.scope;
    this.store = options.store;
    this.#records = new LedgerRecords(options);
  }

  /** The time that this ledger dates records with: the store's where it has a clock; milliseconds since the epoch. */
  now(): number {
    return this.#records.now();
  }

  /** Reads the newest purchase under a key; `undefined` when nothing was ever bought under it. */
  findNewest(key: string, options: StoreOptions = {}): Promise<PurchaseView | undefined> {
    return viewNewest(this.#records, key, options);
  }

  /** Reads one purchase; `undefined` when it has no record. */
  findPurchase(purchase: Purchase, options: StoreOptions = {}): Promise<PurchaseView | undefined> {
    return viewPurchase(this.#records, purchase, options);
  }

  /**
   * Reads one purchase that is known to exist.
   * @throws VideoError `ConfigurationInvalid`, retryable, when this store has no record of it: the run began with
   * another store, and it continues as soon as the worker is configured correctly or another worker takes the step.
   */
  async requirePurchase(purchase: Purchase, options: StoreOptions = {}): Promise<PurchaseView> {
    const view = await this.findPurchase(purchase, options);
    if (view !== undefined) return view;
    throw new VideoError(
      FailureType.ConfigurationInvalid,
      `Purchase ${purchase.key}/${purchase.n} is not in the asset store ${this.store.name}, so the run began with ` +
        'another one',
      { retryable: true, nextStep: 'Give every worker of this queue the same ASSET_STORE.' },
    );
  }

  /**
   * Announces a purchase. Only the one execution that gets `won` may send its POST, and that must begin within
   * `postWithinMs` of this call: call it when everything else is ready.
   */
  async openIntent(
    purchase: Purchase,
    fields: IntentFields,
    options: StoreOptions = {},
  ): Promise<PutAnswer<IntentRecord>> {
    const stamp = this.#records.stamp(purchase);
    const { paths } = this.#records;
    await announce(this.#records, paths.announcement(purchase, stamp.written_at_ms), purchase, stamp, options);
    const record: IntentRecord = { kind: 'intent', ...stamp, ...fields };
    const answer = await this.#records.put(paths.intent(purchase), intentRecord, record, purchase, options);
    this.#records.remember(paths.intent(purchase), answer.record);
    return answer;
  }

  /**
   * Records that a purchase is this task, which was found for it. Idempotent; a reader that finds a task record without
   * its claim calls it, too. A purchase that was decided otherwise keeps its decision, and the task is recorded in
   * addition. Call it only for a task that no open purchase names: its task record may be missing.
   */
  async claim(purchase: Purchase, found: ClaimedTask, options: StoreOptions = {}): Promise<ClaimResult> {
    const task = taskFacts(found);
    let owner = await this.findTask(task.task_id, options);
    if (owner === undefined) {
      await recordFoundTask(this.#records, purchase, task, options);
      // Before the claim, so that no task ever serves two purchases.
      owner = await recordOwner(this.#records, purchase, task, options);
    }
    if (!isOwnedBy(owner, purchase)) return { kind: 'taken', by: { key: owner.purchase_key, n: owner.n } };
    return { kind: await claimTask(this.#records, purchase, task, options) };
  }

  /**
   * Records the claim of a task that was bought with a submit. Idempotent; for `pollTask` after `claim: 'unwritten'`,
   * with every query until it succeeds.
   *
   * The task record comes last: nothing leads from the purchase to it, so a process that dies between the two must
   * have left the one in the purchase's folder. The steps that end the task write it where it is missing.
   * @returns `extra` when the purchase had been decided otherwise, or when the task belongs to another purchase: it is
   * recorded in addition, settles nothing here, and must be reported.
   */
  async ensureClaim(
    { purchase, taskId, requestId, keyFingerprint }: TaskRef,
    options: StoreOptions = {},
  ): Promise<'claimed' | 'extra'> {
    const claimed: ClaimedTask = {
      task_id: taskId,
      request_id: requestId,
      key_fingerprint: keyFingerprint,
      found_by: 'submit',
    };
    const role = await claimTask(this.#records, purchase, claimed, options);
    // Another purchase may have taken our own task for its lost one. It is paid, and recorded where it was bought.
    const owner = await recordOwner(this.#records, purchase, claimed, options);
    return isOwnedBy(owner, purchase) ? role : 'extra';
  }

  /**
   * Decides that a purchase created no task, unless it was decided before, and marks it as over.
   * @returns the decision that is recorded now, which may be an earlier one.
   */
  async decideNotCreated(
    purchase: Purchase,
    notCreated: NotCreated,
    options: StoreOptions = {},
  ): Promise<ClaimRecord['decision']> {
    const { paths } = this.#records;
    const stamp = this.#records.stamp(purchase);
    const record: ClaimRecord = { kind: 'claim', ...stamp, decision: { not_created: notCreated } };
    const decision = await decide(this.#records, purchase, record, options);
    const intent = this.#records.recall<IntentRecord>(paths.intent(purchase));
    // Another one's decision is marked by that one, or by the sweep.
    if (intent !== undefined && decision === record.decision) {
      await mark(this.#records, paths.announcement(purchase, intent.written_at_ms), purchase, options);
    }
    return decision;
  }

  /** Finds the purchase that a task belongs to; `undefined` when it is none of this ledger's. */
  findTask(taskId: string, options: StoreOptions = {}): Promise<TaskRecord | undefined> {
    return readOwner(this.#records, taskId, options);
  }

  /**
   * The intent behind a bought task: what another run needs to finish it. Not read again in a process that has written
   * or read the purchase before; a step that needs it later calls this early.
   */
  async findIntent(task: TaskRef, options: StoreOptions = {}): Promise<IntentRecord> {
    return (recallTask(this.#records, task) ?? (await this.requirePurchase(task.purchase, options))).intent;
  }

  /**
   * Records what was paid for a task. For `pollTask`, when SUCCEEDED is first seen; idempotent.
   * @returns whether it was this call that recorded it, and the bill that is recorded now: an earlier look's, if any.
   */
  async recordBill(task: TaskRef, bill: TaskBill, options: StoreOptions = {}): Promise<PutAnswer<BillRecord>> {
    const recorded = await this.#recordedTask(task, options);
    const owner = await ensureOwner(this.#records, task.purchase, recorded.task, options);
    const boughtAtMs = await findOwnersTime(this.#records, owner, recorded, options);
    return recordBill(this.#records, { ...task, boughtAtMs }, recorded.intent, bill, options);
  }

  /**
   * Ends a bought task: points the cache at its result, if it has one, then closes its purchase, or the extra task that
   * it is, and marks that as over. Call it after the video and {@link recordBill}, and before a failure is thrown, so
   * that followers end the same way and buy nothing. Idempotent.
   * @returns the ending that is recorded now: an earlier one when another run was first.
   */
  async finish(task: TaskRef, end: TaskEnd, options: StoreOptions = {}): Promise<Ending> {
    const { paths } = this.#records;
    const { purchase, taskId } = task;
    const recorded = await this.#recordedTask(task, options);
    const { role, announcedAtMs } = recorded;
    // Once the purchase is closed nothing but this record says whose task it is.
    await ensureOwner(this.#records, purchase, recorded.task, options);
    const stamp = this.#records.stamp(purchase);
    const record: ClosedRecord = { kind: 'closed', ...stamp, task_id: taskId, ending: endingOf(end) };
    const isExtra = role === 'extra';
    const key = isExtra ? paths.extraTaskClosed(purchase, taskId) : paths.closed(purchase);
    // Together: without the pointer an equal request finds the same result by its purchase.
    const [closed] = await Promise.all([
      this.#records.put(key, closedRecord, record, purchase, options),
      end.how === 'archived' && end.cacheKey !== null
        ? this.setCached(end.cacheKey, purchase, end.result, options)
        : undefined,
    ]);
    const { ending } = closed.record;
    const announcement = isExtra
      ? paths.extraTaskAnnouncement(purchase, taskId, announcedAtMs)
      : paths.announcement(purchase, announcedAtMs);
    await mark(this.#records, announcement, purchase, options);
    return ending;
  }

  /** Reads every purchase that was announced in the hour that begins at `hourMs`, decided or not. */
  listAnnounced(hourMs: number, options: StoreOptions = {}): Promise<AnnouncedPurchases> {
    return listAnnounced(this.#records, hourMs, options);
  }

  /** Yields what was paid on one UTC day (`YYYY-MM-DD`). */
  listBills(day: string, options: ListBillsOptions = {}): AsyncGenerator<BillFacts> {
    return listBills(this.#records, day, options);
  }

  /**
   * Repeats the bills of the last days in statements, so that they are listed without being read one by one.
   * @returns the bills that cannot be read.
   */
  async writeStatements(options: StoreOptions = {}): Promise<readonly VideoError[]> {
    const now = this.#records.now();
    const damaged: VideoError[] = [];
    // A bill of the day before yesterday may be recorded today: its task was not seen for a day.
    for (const atMs of [now - 2 * DAY_MS, now - DAY_MS, now]) {
      damaged.push(...(await writeStatements(this.#records, utcDay(atMs), options)));
    }
    return damaged;
  }

  /** Whether a task's bill is recorded on one of some UTC days (`YYYY-MM-DD`). */
  hasBill(taskId: string, days: readonly string[], options: StoreOptions = {}): Promise<boolean> {
    return hasBill(this.#records, taskId, days, options);
  }

  /** Reads the cached result of a cache key, with the purchase that made it. */
  findCached(cacheKey: string, options: StoreOptions = {}): Promise<CachedRecord | undefined> {
    return this.#records.read(this.#records.paths.cachedResult(cacheKey), cachedRecord, undefined, options);
  }

  /** Points a cache key at a result, unless it points at the result of a later purchase. */
  async setCached(
    cacheKey: string,
    purchase: Purchase,
    result: VideoResult,
    options: StoreOptions = {},
  ): Promise<void> {
    const record: CachedRecord = { kind: 'cached', ...this.#records.stamp(purchase), result };
    const write = (how: { readonly ifAbsent: boolean }) =>
      writeRecord(this.store, this.#records.paths.cachedResult(cacheKey), record, { ...options, ...how });
    if ((await write({ ifAbsent: true })).stored) return; // most often: one call then
    const current = await this.findCached(cacheKey, options);
    if (current === undefined || current.n < purchase.n) await write({ ifAbsent: false });
  }

  /** Whether the archived video is where its record says and as large, as far as the store shows without reading it. */
  async isIntact(
    result: Pick<VideoResult, 'task_id' | 'bytes' | 'sha256'>,
    options: StoreOptions = {},
  ): Promise<boolean> {
    const info = await this.store.head(videoKey(result.task_id), options);
    return info?.bytes === result.bytes && (info.sha256 === undefined || info.sha256 === result.sha256);
  }

  /**
   * Lists the open purchases that were announced within the last hours, and closed ones with an open extra task. Costs
   * what is open, and one request for every thousand names. A damaged record does not hide the others.
   * @param hours - Default 25: longer than the provider keeps a task.
   */
  listOpen(hours: number = OPEN_HOURS, options: StoreOptions = {}): Promise<OpenPurchases> {
    return listOpen(this.#records, hours, options);
  }

  /** The same for the purchases announced between two moments (milliseconds since the epoch), in whole hours. */
  listOpenBetween(fromMs: number, toMs: number, options: StoreOptions = {}): Promise<OpenPurchases> {
    return listOpenBetween(this.#records, fromMs, toMs, options);
  }

  /**
   * Marks what a listing has found to be over without its marker, so that the next one does not read it, and digests
   * hours with many names, so that the next one does not list them.
   */
  markSettled(found: Omit<OpenPurchases, 'open' | 'damaged'>, options: StoreOptions = {}): Promise<void> {
    return markSettled(this.#records, found, options);
  }

  /**
   * Yields claimed tasks of the last hours that were bought or found with the given key, those announced next to
   * `aroundMs` (milliseconds since the epoch) first.
   */
  tasksClaimedWith(
    keyFingerprint: string,
    when: { readonly hours: number; readonly aroundMs: number },
    options: StoreOptions = {},
  ): AsyncGenerator<ClaimedTask> {
    return tasksClaimedWith(this.#records, keyFingerprint, when, options);
  }

  /** A task as its purchase names it; its claim is written if it was missing. */
  async #recordedTask(task: TaskRef, options: StoreOptions): Promise<RecordedTask> {
    const { purchase, taskId } = task;
    const found = recallTask(this.#records, task) ?? recordedIn(await this.requirePurchase(purchase, options), taskId);
    if (found !== undefined) return found;
    await this.ensureClaim(task, options);
    const written = recordedIn(await this.requirePurchase(purchase, options), taskId);
    if (written !== undefined) return written;
    throw new VideoError(
      FailureType.StoreUnavailable,
      `The claim of task ${taskId} is written, and the asset store ${this.store.name} does not show it`,
      { retryable: true, taskId, nextStep: 'Wait; the step is tried again.' },
    );
  }
}

function endingOf(end: TaskEnd): Ending {
  switch (end.how) {
    case 'archived':
      return { how: 'archived', result: end.result };
    case 'failed':
      return { how: 'failed', failure: toFailureRecord(end.error) };
    default:
      return { how: end.how };
  }
}
