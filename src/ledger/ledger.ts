import { randomUUID } from 'node:crypto';
import { FailureType } from '../contract/failure-type.js';
import type { VideoResult } from '../contract/result.js';
import { utcDay } from '../contract/utc.js';
import { VideoError } from '../contract/video-error.js';
import type { AssetInfo, AssetStore, StoreOptions } from '../storage/asset-store.js';
import { writeRecord } from '../storage/json-record.js';
import { cacheRecordKey, ledgerRoot, type Scope, safeName, videoKey } from '../storage/keys.js';
import type { Purchase } from './purchase-key.js';
import { type PutAnswer, putLedgerRecord, readLedgerRecord, recordDamaged } from './record-file.js';
import {
  type CachedRecord,
  type ClaimedTask,
  type ClaimRecord,
  type ClosedRecord,
  cachedRecord,
  claimRecord,
  closedRecord,
  type DayRecord,
  dayRecord,
  type Ending,
  type Expectation,
  type ExtraTaskRecord,
  extraTaskRecord,
  type IntentRecord,
  intentRecord,
  type NotCreated,
  type RecentRecord,
  recentRecord,
  type TaskRecord,
  taskRecord,
} from './records.js';

const HOUR_MS = 3_600_000;
/** Purchase keys are hashes in hex, so they are safe names as they stand. */
const PURCHASE_KEY = /^[0-9a-f]{16,128}$/;
const FILE = /^[0-9a-f]+\/([1-9]\d{0,8})\/((?:intent|claim|closed|late\/[^/]+))\.json$/;

export interface LedgerOptions {
  readonly store: AssetStore;
  readonly scope: Scope;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Text that no other execution makes; default a random UUID. */
  readonly newToken?: (() => string) | undefined;
  /** Told about every record that stands and was put by this ledger: once per record, whoever repeats what. Must not throw. */
  readonly onRecordWritten?: ((record: WrittenRecord) => void) | undefined;
}

/** A record of which this ledger's put is the one that stands. */
export type WrittenRecord =
  | IntentRecord
  | ClaimRecord
  | ClosedRecord
  | TaskRecord
  | ExtraTaskRecord
  | DayRecord
  | RecentRecord;

/** Where a purchase stands. Open are `unclaimed` and `claimed`. */
export type PurchaseState =
  /** Its POST may be under way, lost, or never sent. */
  | { readonly kind: 'unclaimed' }
  | { readonly kind: 'claimed'; readonly task: ClaimedTask }
  | { readonly kind: 'not_created'; readonly notCreated: NotCreated }
  | { readonly kind: 'closed'; readonly task: ClaimedTask; readonly ending: Ending };

export interface PurchaseView {
  readonly purchase: Purchase;
  readonly intent: IntentRecord;
  /** When the intent appeared, by the store's clock. */
  readonly storedAtMs: number;
  readonly state: PurchaseState;
  /** Further tasks of the same purchase, beside its decision, and how each ended; empty but in the rarest of cases. */
  readonly extraTasks: readonly ExtraTask[];
}

/** A task that was bought although its purchase had been decided otherwise. */
export interface ExtraTask {
  readonly task: ClaimedTask;
  readonly ending: Ending | undefined;
}

/** What an intent says. */
export interface IntentInput {
  readonly purchase: Purchase;
  readonly cacheKey: string;
  readonly workflowId: string;
  readonly firstRunId: string;
  readonly attempt: number;
  readonly expects: Expectation;
  readonly seed: number;
  readonly tenant: string | null;
  readonly keyFingerprint?: string | null | undefined;
  readonly memo: Readonly<Record<string, unknown>>;
}

/** How a task and its purchase belong together after {@link Ledger.claim}. */
export type Claiming =
  /** The purchase's one decision names this task. */
  | { readonly kind: 'claimed' }
  /** The purchase was decided otherwise before: this task is a second purchase, recorded beside it. */
  | { readonly kind: 'second' }
  /** The task belongs to another purchase. */
  | { readonly kind: 'taken'; readonly by: Purchase };

/** Open purchases, and the records that could not be read on the way. */
export interface OpenPurchases {
  readonly open: readonly PurchaseView[];
  readonly damaged: readonly VideoError[];
}

export interface OpenOptions extends StoreOptions {
  /**
   * For a reader that looks again and again: purchases that were found settled are added, and those in it are not read again. It so
   * misses a task that comes to light beside a settled purchase; the sweep, which must not, goes without.
   */
  readonly settled?: Set<string> | undefined;
}

/** What was paid. */
export interface DayInput {
  readonly purchase: Purchase;
  readonly taskId: string;
  /** End of the task by the provider's clock, milliseconds since the epoch. */
  readonly endTimeMs: number;
  readonly billedSeconds: number;
  readonly resolution: '720P' | '1080P';
  readonly audio: boolean;
}

/**
 * The purchases of one account at one provider: immutable records, each put where none was, none ever replaced (but
 * for the cache pointer). `docs/ledger.md` draws the states.
 *
 * Every method rejects with a {@link VideoError}: `RecordDamaged` (never retried; nothing was written) when a record on
 * the way cannot be understood, is of another scope or lies at the wrong place; `StoreUnavailable` (retryable) on I/O
 * faults; or, unchanged, with the reason of `options.signal`.
 */
export class Ledger {
  readonly scope: Scope;
  readonly store: AssetStore;
  readonly #root: string;
  readonly #now: () => number;
  readonly #newToken: () => string;
  readonly #onRecordWritten: (record: WrittenRecord) => void;

  constructor({ store, scope, now, newToken = randomUUID, onRecordWritten = () => undefined }: LedgerOptions) {
    this.store = store;
    this.scope = scope;
    this.#root = ledgerRoot(scope);
    this.#now = now;
    this.#newToken = newToken;
    this.#onRecordWritten = onRecordWritten;
  }

  /** The newest purchase under a key, or `undefined` when nothing was ever bought under it. */
  async newest(key: string, options: StoreOptions = {}): Promise<PurchaseView | undefined> {
    const prefix = `${this.#root}/purchases/${checkedKey(key)}/`;
    const found = await this.#files(prefix, options);
    const n = Math.max(0, ...found.keys());
    return n === 0 ? undefined : this.#view({ key, n }, found.get(n) ?? new Map(), options);
  }

  /** One purchase; `undefined` when it has no record. */
  async view(purchase: Purchase, options: StoreOptions = {}): Promise<PurchaseView | undefined> {
    const files = (await this.#files(this.#folder(purchase), options)).get(purchase.n);
    return files === undefined ? undefined : this.#view(purchase, files, options);
  }

  /**
   * One purchase that is known to exist.
   * @throws VideoError `ConfigurationInvalid`, retryable, when this store has no record of it: it is another store than the one that
   * the run began with, and the run goes on when the worker is mended or another one takes the step.
   */
  async require(purchase: Purchase, options: StoreOptions = {}): Promise<PurchaseView> {
    const view = await this.view(purchase, options);
    if (view !== undefined) return view;
    throw new VideoError(
      FailureType.ConfigurationInvalid,
      `Purchase ${purchase.key}/${purchase.n} is not in the asset store ${this.store.name}: the run began with another one`,
      { retryable: true, nextStep: 'Give every worker of this queue the same ASSET_STORE.' },
    );
  }

  /**
   * Announces a purchase: the only leave to send its POST, and only to the one execution that gets `won`.
   * Call it when everything else is ready: the POST must begin within `postWithinMs` of this call.
   */
  async openIntent(input: IntentInput, options: StoreOptions = {}): Promise<PutAnswer<IntentRecord>> {
    const { purchase } = input;
    const stamp = this.#stamp(purchase);
    // First, so that no intent is ever invisible to the sweep. One that stands already serves as well.
    const recent = `${this.#root}/recent/${hourOf(stamp.written_at_ms)}/${recentName(purchase)}`;
    await this.#put(recent, recentRecord, { kind: 'recent' as const, ...stamp }, purchase, options);
    const record: IntentRecord = {
      kind: 'intent',
      ...stamp,
      cache_key: input.cacheKey,
      workflow_id: input.workflowId,
      first_run_id: input.firstRunId,
      attempt: input.attempt,
      expects: input.expects,
      seed: input.seed,
      tenant: input.tenant,
      key_fingerprint: input.keyFingerprint ?? null,
      memo: input.memo,
    };
    return this.#put(`${this.#folder(purchase)}intent.json`, intentRecord, record, purchase, options);
  }

  /**
   * Says that a purchase is this task. Idempotent: also whoever finds a task record without its claim calls this.
   * A purchase that was decided otherwise keeps its decision, and the task is recorded beside it.
   */
  async claim(purchase: Purchase, found: ClaimedTask, options: StoreOptions = {}): Promise<Claiming> {
    const task = onlyTask(found);
    const stamp = this.#stamp(purchase);
    // Before the claim, so that no task ever serves two purchases.
    const owner = await this.#put(
      this.#taskKey(task.task_id),
      taskRecord,
      { kind: 'task' as const, ...stamp, ...task },
      undefined,
      options,
    );
    if (owner.record.task_id !== task.task_id) {
      throw recordDamaged(this.store, this.#taskKey(task.task_id), 'tells of another task');
    }
    const by: Purchase = { key: owner.record.purchase_key, n: owner.record.n };
    if (by.key !== purchase.key || by.n !== purchase.n) return { kind: 'taken', by };
    const { record } = await this.#put(
      `${this.#folder(purchase)}claim.json`,
      claimRecord,
      { kind: 'claim' as const, ...stamp, decision: task },
      purchase,
      options,
    );
    if ('task_id' in record.decision && record.decision.task_id === task.task_id) return { kind: 'claimed' };
    await this.recordExtraTask(purchase, task, options);
    return { kind: 'second' };
  }

  /**
   * Records a paid task beside its purchase although another purchase holds it: it was ours, and it must not be lost.
   */
  async recordExtraTask(purchase: Purchase, task: ClaimedTask, options: StoreOptions = {}): Promise<void> {
    const record: ExtraTaskRecord = { kind: 'late', ...this.#stamp(purchase), ...onlyTask(task) };
    await this.#put(this.#lateKey(purchase, task.task_id, ''), extraTaskRecord, record, purchase, options);
  }

  /**
   * Decides that a purchase created no task, unless it was decided before.
   * @returns the decision that stands, whoever made it.
   */
  async decideNotCreated(
    purchase: Purchase,
    notCreated: NotCreated,
    options: StoreOptions = {},
  ): Promise<ClaimRecord['decision']> {
    const record: ClaimRecord = { kind: 'claim', ...this.#stamp(purchase), decision: { not_created: notCreated } };
    const key = `${this.#folder(purchase)}claim.json`;
    return (await this.#put(key, claimRecord, record, purchase, options)).record.decision;
  }

  /**
   * Closes the purchase of a task, or the task recorded beside it. The last record of a purchase: after the video, the
   * day record and the cache pointer. Closed twice, the first ending stands.
   * @returns the ending that stands.
   * @throws VideoError `InvalidRequest` when no claim and no late record of the purchase names the task: claim it
   * first.
   */
  async close(
    purchase: Purchase,
    taskId: string,
    ending: Ending,
    { seen, ...options }: StoreOptions & { readonly seen?: PurchaseView | undefined } = {},
  ): Promise<Ending> {
    const view = seen ?? (await this.view(purchase, options));
    const decided = view?.state.kind === 'claimed' || view?.state.kind === 'closed' ? view.state.task.task_id : '';
    const late = view?.extraTasks.some(({ task }) => task.task_id === taskId) === true;
    if (decided !== taskId && !late) {
      throw new VideoError(
        FailureType.InvalidRequest,
        `Purchase ${purchase.key}/${purchase.n} cannot be closed with task ${taskId}: it has no claim for it`,
        { taskId, nextStep: 'Write the claim first.' },
      );
    }
    const record: ClosedRecord = { kind: 'closed', ...this.#stamp(purchase), task_id: taskId, ending };
    const key =
      decided === taskId ? `${this.#folder(purchase)}closed.json` : this.#lateKey(purchase, taskId, '~closed');
    return (await this.#put(key, closedRecord, record, purchase, options)).record.ending;
  }

  /** Which purchase a task belongs to, or `undefined` when it is none of this ledger's. */
  async findTask(taskId: string, options: StoreOptions = {}): Promise<TaskRecord | undefined> {
    const key = this.#taskKey(taskId);
    const record = await readLedgerRecord(this.store, this.scope, key, taskRecord, undefined, options);
    if (record !== undefined && record.task_id !== taskId) {
      throw recordDamaged(this.store, key, 'tells of another task');
    }
    return record;
  }

  /**
   * Records what was paid, once per task; call it when SUCCEEDED is first seen.
   * @returns whether it was this call that recorded it.
   */
  async recordDay(view: Pick<PurchaseView, 'intent'>, day: DayInput, options: StoreOptions = {}): Promise<boolean> {
    const { workflow_id, tenant, memo } = view.intent;
    const record: DayRecord = {
      kind: 'day',
      ...this.#stamp(day.purchase),
      task_id: day.taskId,
      end_time_ms: day.endTimeMs,
      billed_seconds: day.billedSeconds,
      resolution: day.resolution,
      audio: day.audio,
      workflow_id,
      tenant,
      memo,
    };
    const key = `${this.#root}/days/${utcDay(day.endTimeMs)}/${safeName(day.taskId)}.json`;
    return (await this.#put(key, dayRecord, record, undefined, options)).won;
  }

  /**
   * What was paid on one UTC day (`YYYY-MM-DD`).
   * @param options - `writtenSinceMs`: only what was recorded since then, by the store's clock; default all.
   */
  async *days(
    date: string,
    { writtenSinceMs = 0, ...options }: StoreOptions & { readonly writtenSinceMs?: number | undefined } = {},
  ): AsyncGenerator<DayRecord> {
    for await (const { key, modifiedAtMs } of this.store.list(`${this.#root}/days/${date}/`, options)) {
      if (modifiedAtMs < writtenSinceMs) continue;
      const record = await readLedgerRecord(this.store, this.scope, key, dayRecord, undefined, options);
      if (record !== undefined) yield record;
    }
  }

  /** Whether a task's bill stands on one of some UTC days (`YYYY-MM-DD`). */
  async isPaid(taskId: string, dates: readonly string[], options: StoreOptions = {}): Promise<boolean> {
    for (const date of dates) {
      const key = `${this.#root}/days/${date}/${safeName(taskId)}.json`;
      if ((await this.store.head(key, options)) !== undefined) return true;
    }
    return false;
  }

  /** The cached result of a cache key, with the purchase that made it. */
  async cached(cacheKey: string, options: StoreOptions = {}): Promise<CachedRecord | undefined> {
    const key = cacheRecordKey(this.scope, cacheKey);
    return readLedgerRecord(this.store, this.scope, key, cachedRecord, undefined, options);
  }

  /** Points a cache key at a result, unless a later purchase's stands there. */
  async setCached(
    cacheKey: string,
    purchase: Purchase,
    result: VideoResult,
    options: StoreOptions = {},
  ): Promise<void> {
    const record: CachedRecord = { kind: 'cached', ...this.#stamp(purchase), result };
    const write = (how: { readonly ifAbsent: boolean }) =>
      writeRecord(this.store, cacheRecordKey(this.scope, cacheKey), record, { ...options, ...how });
    if ((await write({ ifAbsent: true })).stored) return; // most often: one call then
    const standing = await this.cached(cacheKey, options);
    if (standing === undefined || standing.n < purchase.n) await write({ ifAbsent: false });
  }

  /**
   * The open purchases that were announced within the last hours, and closed ones with an open second task.
   * One damaged record does not hide the others; it is told beside them. For the sweep.
   * @param hours - Default 25: longer than the provider keeps a task.
   * @param options.settled - Purchases that an earlier look found settled; see {@link OpenOptions}.
   */
  async listOpen(hours = 25, options: OpenOptions = {}): Promise<OpenPurchases> {
    const now = this.#now();
    // One hour ahead as well: another writer's clock may be a little early.
    return this.openBetween(now - hours * HOUR_MS, now + HOUR_MS, options);
  }

  /** The same for the purchases announced between two moments (milliseconds since the epoch), in whole hours. */
  async openBetween(fromMs: number, toMs: number, options: OpenOptions = {}): Promise<OpenPurchases> {
    const open: PurchaseView[] = [];
    const damaged: VideoError[] = [];
    for await (const view of this.#recent(fromMs, toMs, damaged, options, options.settled)) {
      const { kind } = view.state;
      const lateOpen = view.extraTasks.some(({ ending }) => ending === undefined);
      if (kind === 'unclaimed' || kind === 'claimed' || lateOpen) open.push(view);
      else options.settled?.add(recentName(view.purchase));
    }
    return { open, damaged };
  }

  /** Every claimed or closed purchase of the last hours whose task was bought or found with the given key. */
  async *claimedUnder(keyFingerprint: string, hours: number, options: StoreOptions = {}): AsyncGenerator<ClaimedTask> {
    const now = this.#now();
    for await (const { state } of this.#recent(now - hours * HOUR_MS, now, [], options)) {
      if (state.kind !== 'claimed' && state.kind !== 'closed') continue;
      if (state.task.key_fingerprint === keyFingerprint) yield state.task;
    }
  }

  /** Whether the archived video is where and what its record says, as far as the store tells without reading it. */
  async isIntact(
    result: Pick<VideoResult, 'task_id' | 'bytes' | 'sha256'>,
    options: StoreOptions = {},
  ): Promise<boolean> {
    const info = await this.store.head(videoKey(result.task_id), options);
    return info?.bytes === result.bytes && (info.sha256 === undefined || info.sha256 === result.sha256);
  }

  async *#recent(
    fromMs: number,
    toMs: number,
    damaged: VideoError[],
    options: StoreOptions,
    settled?: ReadonlySet<string>,
  ): AsyncGenerator<PurchaseView> {
    const seen = new Set<string>();
    for (let hour = Math.floor(fromMs / HOUR_MS); hour * HOUR_MS <= toMs; hour += 1) {
      const prefix = `${this.#root}/recent/${hourOf(hour * HOUR_MS)}/`;
      for await (const { key } of this.store.list(prefix, options)) {
        const match = /^([0-9a-f]+)-(\d{1,9})\.json$/.exec(key.slice(prefix.length));
        const name = match?.[0];
        if (match?.[1] === undefined || name === undefined || seen.has(name) || settled?.has(name)) continue;
        seen.add(name);
        try {
          const view = await this.view({ key: match[1], n: Number(match[2]) }, options);
          if (view !== undefined) yield view;
        } catch (error) {
          if (!(error instanceof VideoError && error.type === FailureType.RecordDamaged)) throw error;
          damaged.push(error);
        }
      }
    }
  }

  /** The record files below a prefix, by purchase number and name. */
  async #files(prefix: string, options: StoreOptions): Promise<Map<number, Map<string, AssetInfo>>> {
    const found = new Map<number, Map<string, AssetInfo>>();
    for await (const info of this.store.list(prefix, options)) {
      const match = FILE.exec(info.key.slice(`${this.#root}/purchases/`.length));
      if (match?.[2] === undefined) continue;
      const n = Number(match[1]);
      const files = found.get(n) ?? new Map<string, AssetInfo>();
      found.set(n, files.set(match[2], info));
    }
    return found;
  }

  async #view(purchase: Purchase, files: ReadonlyMap<string, AssetInfo>, options: StoreOptions): Promise<PurchaseView> {
    const folder = this.#folder(purchase);
    const { store, scope } = this;
    // Together, as each is a round trip; none of them ever changes once it stands.
    const [intent, claim, closed] = await Promise.all([
      readLedgerRecord(store, scope, `${folder}intent.json`, intentRecord, purchase, options),
      // A listing is no snapshot: it may show the closing and have missed the claim that came before it.
      files.has('claim') || files.has('closed')
        ? readLedgerRecord(store, scope, `${folder}claim.json`, claimRecord, purchase, options)
        : undefined,
      files.has('closed')
        ? readLedgerRecord(store, scope, `${folder}closed.json`, closedRecord, purchase, options)
        : undefined,
    ]);
    if (intent === undefined) throw recordDamaged(store, `${folder}intent.json`, 'is missing beside later records');
    const late: ExtraTask[] = [];
    for (const name of files.keys()) {
      if (!name.startsWith('late/') || name.endsWith('~closed')) continue;
      const task = await readLedgerRecord(store, scope, `${folder}${name}.json`, extraTaskRecord, purchase, options);
      const ended = files.has(`${name}~closed`)
        ? await readLedgerRecord(store, scope, `${folder}${name}~closed.json`, closedRecord, purchase, options)
        : undefined;
      if (task !== undefined) late.push({ task, ending: ended?.ending });
    }
    return {
      purchase,
      intent,
      storedAtMs: files.get('intent')?.modifiedAtMs ?? intent.written_at_ms,
      state: this.#state(folder, claim, closed),
      extraTasks: late,
    };
  }

  #state(folder: string, claim: ClaimRecord | undefined, closed: ClosedRecord | undefined): PurchaseState {
    if (claim !== undefined && 'task_id' in claim.decision) {
      const task = claim.decision;
      if (closed === undefined) return { kind: 'claimed', task };
      if (closed.task_id === task.task_id) return { kind: 'closed', task, ending: closed.ending };
    }
    if (closed !== undefined)
      throw recordDamaged(this.store, `${folder}closed.json`, 'closes a task that was not claimed');
    if (claim === undefined) return { kind: 'unclaimed' };
    if ('not_created' in claim.decision) return { kind: 'not_created', notCreated: claim.decision.not_created };
    throw recordDamaged(this.store, `${folder}claim.json`, 'decides nothing');
  }

  async #put<T extends WrittenRecord>(
    key: string,
    schema: Parameters<typeof putLedgerRecord<T>>[3],
    record: T,
    place: Purchase | undefined,
    options: StoreOptions,
  ): Promise<PutAnswer<T>> {
    const answer = await putLedgerRecord(this.store, this.scope, key, schema, record, place, options);
    if (answer.won) this.#onRecordWritten(answer.record);
    return answer;
  }

  #stamp({ key, n }: Purchase): Stamp {
    return {
      v: 1,
      ...this.scope,
      token: this.#newToken(),
      written_at_ms: this.#now(),
      purchase_key: checkedKey(key),
      n,
    };
  }

  #folder({ key, n }: Purchase): string {
    return `${this.#root}/purchases/${checkedKey(key)}/${n}/`;
  }

  /** `~` and no hex digits after it: no encoded task id ends like the suffix. */
  #lateKey(purchase: Purchase, taskId: string, suffix: '' | '~closed'): string {
    return `${this.#folder(purchase)}late/${safeName(taskId)}${suffix}.json`;
  }

  #taskKey(taskId: string): string {
    return `${this.#root}/tasks/${safeName(taskId)}.json`;
  }
}

interface Stamp {
  readonly v: 1;
  readonly provider: string;
  readonly account: string;
  readonly token: string;
  readonly written_at_ms: number;
  readonly purchase_key: string;
  readonly n: number;
}

/** The four facts alone: a task record that was read carries its own stamp. */
function onlyTask({ task_id, request_id, key_fingerprint, found_by }: ClaimedTask): ClaimedTask {
  return { task_id, request_id, key_fingerprint, found_by };
}

function checkedKey(key: string): string {
  if (PURCHASE_KEY.test(key)) return key;
  throw new VideoError(FailureType.InvalidRequest, 'A purchase key must be a hash in lower-case hex', {
    billed: false,
  });
}

const recentName = ({ key, n }: Purchase): string => `${key}-${n}.json`;

/** `YYYY-MM-DDThh` in UTC. */
function hourOf(atMs: number): string {
  return new Date(atMs).toISOString().slice(0, 13);
}
