import { mapParallel } from '../async/map-parallel.js';
import { FailureType } from '../contract/failure-type.js';
import type { Purchase } from '../contract/purchase.js';
import { VideoError } from '../contract/video-error.js';
import type { AssetInfo, AssetStore, StoreOptions } from '../storage/asset-store.js';
import { conformedRoot, safeName, taskNameOf, taskObjectKeys, videoKey } from '../storage/keys.js';
import { listParallel } from '../storage/list-parallel.js';
import { readLedgerRecord, recordDamaged } from './ledger-records.js';
import { ALL_LEDGERS, LedgerPaths } from './paths.js';
import { addFile, mayHaveOpenExtraTask, type PurchaseFiles } from './purchase-files.js';
import { isOwnedBy } from './purchase-view.js';
import { type ClaimRecord, cachedRecord, claimRecord, type IntentRecord, intentRecord, taskRecord } from './records.js';

/** The prefixes that are purged. Ledger records never are: that a video is bought once rests on them. */
export const PURGE_AREAS = ['videos', 'references', 'candidates', 'rejected', 'conformed'] as const;
export type PurgeArea = (typeof PURGE_AREAS)[number];

/**
 * Younger objects stay when things are purged by their age, in milliseconds. The provider keeps a task for 24 hours;
 * until then, and an hour more, a run may still need an image or a candidate.
 */
const PURGE_AGE_MIN_MS = 25 * 3_600_000;

/** What to purge: by age, or everything that was made from one staged image (its key, `references/<sha256>.<ext>`). */
export type PurgeChoice =
  | { readonly by: 'age'; readonly olderThanMs: number; readonly areas: readonly PurgeArea[] }
  | { readonly by: 'reference'; readonly key: string };

/** One object to delete, with the cache records that point to it. */
interface PurgeItem {
  readonly area: PurgeArea;
  readonly key: string;
  readonly bytes: number;
  readonly pointers: readonly string[];
}

/** What a purge deletes, and how many objects of the choice stay. */
export interface PurgePlan {
  readonly items: readonly PurgeItem[];
  /** They belong to an open purchase, or may. */
  readonly keptOpen: number;
  /** Younger than {@link PURGE_AGE_MIN_MS}; counted with a reference only. */
  readonly keptRecent: number;
  /** A record that cannot be read decides about them, so they stay. */
  readonly keptUnreadable: number;
  /** The records that cannot be read, each once. */
  readonly damaged: readonly VideoError[];
}

/** Requests at once; an S3 server answers each in some 30 ms. */
const PARALLEL = 16;
/** A shared directory's time stamps may come from several machines: this much is allowed between their clocks. */
const CLOCK_SKEW_MS = 3_600_000;

/**
 * Finds what a purge would delete; deletes nothing. Reads the records of every provider and account in the store, of
 * any age, because the key of an object does not name its account. A record that cannot be understood is named, and
 * what it may protect stays.
 * @param nowMs - Milliseconds since the epoch.
 */
export async function planPurge(
  store: AssetStore,
  choice: PurgeChoice,
  nowMs: number,
  options: StoreOptions = {},
): Promise<PurgePlan> {
  const records = await StoreRecords.read(store, options);
  const chosen =
    choice.by === 'age' ? listOlder(store, choice, nowMs, options) : listMadeFrom(records, choice.key, options);
  const items: PurgeItem[] = [];
  let [keptOpen, keptRecent, keptUnreadable] = [0, 0, 0];
  for await (const found of mapParallel(chosen, PARALLEL, (info) => records.itemOf(info, options))) {
    // A video may be deleted on the day that it was made; an image is needed until its purchases are decided.
    if (found === 'open') keptOpen += 1;
    else if (found === 'unreadable') keptUnreadable += 1;
    else if (found.area === 'references' && found.modifiedAtMs > nowMs - PURGE_AGE_MIN_MS) keptRecent += 1;
    else items.push({ area: found.area, key: found.key, bytes: found.bytes, pointers: found.pointers });
  }
  return { items, keptOpen, keptRecent, keptUnreadable, damaged: records.damaged };
}

/** Deletes what a plan names. When it was interrupted, plan again and delete the rest. */
export async function purge(store: AssetStore, plan: Pick<PurgePlan, 'items'>, options: StoreOptions = {}) {
  const deleted = mapParallel(plan.items, PARALLEL, async ({ key, pointers }) => {
    // The pointers first: without its video no later purge would find them.
    for (const pointer of pointers) await store.delete(pointer, options);
    await store.delete(key, options);
  });
  for await (const _ of deleted);
}

/** The objects of some areas that were stored long enough ago. */
async function* listOlder(
  store: AssetStore,
  { olderThanMs, areas }: Extract<PurgeChoice, { by: 'age' }>,
  nowMs: number,
  options: StoreOptions,
): AsyncGenerator<AssetInfo> {
  const latestMs = nowMs - Math.max(olderThanMs, PURGE_AGE_MIN_MS);
  for (const area of areas) {
    for await (const info of listParallel(store, `${area}/`, options)) if (info.modifiedAtMs <= latestMs) yield info;
  }
}

/** The objects of every purchase that was made from an image, and the image itself. */
async function* listMadeFrom(
  records: StoreRecords,
  reference: string,
  options: StoreOptions,
): AsyncGenerator<AssetInfo> {
  const keys = new Set<string>([reference]);
  const purchases = mapParallel(records.purchases, PARALLEL, async (files) => {
    // Of a purchase that cannot be read nobody knows its image, and its video stays.
    const references = referencesOf(await records.intent(files, options).catch(records.note));
    if (!references.includes(reference)) return { references: [], tasks: [] };
    return { references, tasks: await records.taskNames(files, options) };
  });
  for await (const { references, tasks } of purchases) {
    for (const key of references) keys.add(key);
    for (const name of tasks) {
      for (const key of Object.values(taskObjectKeys(name))) keys.add(key);
      for await (const { key } of records.store.list(conformedRoot(name), options)) keys.add(key);
    }
  }
  for (const key of keys) {
    const info = await records.store.head(key, options);
    if (info !== undefined) yield info;
  }
}

/** The record of a task in one account's ledger. */
interface TaskFile {
  readonly paths: LedgerPaths;
  readonly key: string;
}

/** The accounts that have records in a store; a request for each. */
async function listAccounts(store: AssetStore, options: StoreOptions): Promise<LedgerPaths[]> {
  const accounts: LedgerPaths[] = [];
  for (let after: string | undefined; ; ) {
    let first: string | undefined;
    for await (const { key } of store.list(ALL_LEDGERS, { ...options, after })) {
      first = key;
      break;
    }
    if (first === undefined) return accounts;
    const paths = LedgerPaths.accountOf(first);
    if (paths !== undefined) accounts.push(paths);
    after = paths?.afterAccount ?? first;
  }
}

/** What the ledgers of a store say about its objects. */
class StoreRecords {
  readonly store: AssetStore;
  /** The records that could not be read, by what is wrong with each. */
  readonly #damaged = new Map<string, VideoError>();
  /** Whether the image of an open purchase is not known: it may be any of them. */
  #isAnyReferenceOpen = false;
  /** By the prefix of the purchase. */
  readonly #purchases = new Map<string, PurchaseFiles>();
  /** By the task's name in keys; one in each ledger that knows it. */
  readonly #tasks = new Map<string, TaskFile[]>();
  /** Prefixes of open purchases, the names of their tasks, and the keys of their images. */
  readonly #open = { purchases: new Set<string>(), tasks: new Set<string>(), references: new Set<string>() };
  /** When the first purchase was announced whose task is not known; by the store's clock. */
  #unclaimedSinceMs = Number.POSITIVE_INFINITY;

  private constructor(store: AssetStore) {
    this.store = store;
  }

  /** Lists the records of every ledger in the store, and reads those that may be open. */
  static async read(store: AssetStore, options: StoreOptions): Promise<StoreRecords> {
    const records = new StoreRecords(store);
    for (const paths of await listAccounts(store, options)) {
      for (const prefix of paths.purchasesAndTasks) {
        for await (const info of listParallel(store, prefix, options)) records.#add(info);
      }
    }
    const purchases = records.#purchases.values();
    for await (const _ of mapParallel(purchases, PARALLEL, (files) => records.#addIfOpen(files, options)));
    return records;
  }

  #add(info: AssetInfo): void {
    const record = LedgerPaths.parse(info.key);
    if (record?.kind === 'task') {
      const tasks = this.#tasks.get(record.taskName) ?? [];
      this.#tasks.set(record.taskName, [...tasks, { paths: record.paths, key: info.key }]);
    } else if (record !== undefined) {
      addFile(this.#purchases, record, info);
    }
  }

  get purchases(): Iterable<PurchaseFiles> {
    return this.#purchases.values();
  }

  get damaged(): readonly VideoError[] {
    return [...this.#damaged.values()];
  }

  /** Takes note of a record that cannot be read; throws every other error. */
  readonly note = (error: unknown): undefined => {
    if (!(error instanceof VideoError && error.type === FailureType.RecordDamaged)) throw error;
    this.#damaged.set(error.message, error);
    return undefined;
  };

  async #addIfOpen(files: PurchaseFiles, options: StoreOptions): Promise<void> {
    if (files.closed !== undefined && !mayHaveOpenExtraTask(files)) return;
    // Without a claim that can be read it may have any task.
    const claim = await this.#claim(files, options).catch(this.note);
    const extra = await this.#extraTasks(files, claim, options);
    const isDecided = files.closed !== undefined || (claim !== undefined && 'not_created' in claim.decision);
    if (isDecided && !extra.some(({ isOpen }) => isOpen)) return;
    const { paths, purchase } = files;
    this.#open.purchases.add(paths.purchase(purchase));
    for (const name of namesOf(claim, extra)) this.#open.tasks.add(name);
    const intent = await this.intent(files, options).catch(this.note);
    if (intent === undefined) {
      this.#isAnyReferenceOpen = true;
      if (files.intent === undefined) {
        this.note(recordDamaged(this.store, paths.intent(purchase), 'is missing although later records exist'));
      }
    }
    for (const reference of referencesOf(intent)) this.#open.references.add(reference);
    if (claim === undefined) {
      this.#unclaimedSinceMs = Math.min(this.#unclaimedSinceMs, files.intent?.modifiedAtMs ?? 0);
    }
  }

  /** What a purchase announced; undefined when its intent is missing. */
  intent(
    { paths, purchase }: Pick<PurchaseFiles, 'paths' | 'purchase'>,
    options: StoreOptions,
  ): Promise<IntentRecord | undefined> {
    return readLedgerRecord(this.store, paths.intent(purchase), intentRecord, { purchase, ...options });
  }

  async #claim({ purchase, claim }: PurchaseFiles, options: StoreOptions): Promise<ClaimRecord | undefined> {
    if (claim === undefined) return undefined;
    return readLedgerRecord(this.store, claim.key, claimRecord, { purchase, ...options });
  }

  /** The tasks of a purchase, as keys name them. */
  async taskNames(files: PurchaseFiles, options: StoreOptions): Promise<string[]> {
    const claim = await this.#claim(files, options).catch(this.note);
    return namesOf(claim, await this.#extraTasks(files, claim, options));
  }

  /** The tasks that were bought in addition to the purchase's decision. */
  async #extraTasks(
    { purchase, extraTasks }: PurchaseFiles,
    claim: ClaimRecord | undefined,
    options: StoreOptions,
  ): Promise<ExtraTask[]> {
    const extra: ExtraTask[] = [];
    for (const [name, { found, task, closed }] of extraTasks) {
      const isExtra =
        task !== undefined ||
        (found !== undefined && !claimedNames(claim).includes(name) && (await this.#isOwner(purchase, name, options)));
      if (isExtra) extra.push({ name, isOpen: closed === undefined });
    }
    return extra;
  }

  /** Whether a task is this purchase's, or may be. */
  async #isOwner(purchase: Purchase, taskName: string, options: StoreOptions): Promise<boolean> {
    for (const { key } of this.#tasks.get(taskName) ?? []) {
      const owner = await readLedgerRecord(this.store, key, taskRecord, options).catch((error: unknown) => {
        this.note(error);
        return 'unreadable' as const;
      });
      if (owner === 'unreadable' || (owner !== undefined && isOwnedBy(owner, purchase))) return true;
    }
    return false;
  }

  /** What is to be deleted with an object, or why it has to stay: a record that decides about it cannot be read. */
  async itemOf(info: AssetInfo, options: StoreOptions): Promise<(PurgeItem & AssetInfo) | 'open' | 'unreadable'> {
    try {
      return await this.#itemOf(info, options);
    } catch (error) {
      this.note(error);
      return 'unreadable';
    }
  }

  async #itemOf(info: AssetInfo, options: StoreOptions): Promise<(PurgeItem & AssetInfo) | 'open' | 'unreadable'> {
    const area = PURGE_AREAS.find((name) => info.key.startsWith(`${name}/`)) ?? 'rejected';
    if (area === 'references') {
      if (this.#open.references.has(info.key)) return 'open';
      return this.#isAnyReferenceOpen ? 'unreadable' : { ...info, area, pointers: [] };
    }
    const taskName = taskNameOf(info.key) ?? '';
    if (this.#open.tasks.has(taskName)) return 'open';
    const owners = this.#tasks.get(taskName) ?? [];
    // A candidate that no purchase has claimed may be the task of any that was announced before it.
    const isUnclaimed = area === 'candidates' && owners.length === 0;
    if (isUnclaimed && info.modifiedAtMs >= this.#unclaimedSinceMs - CLOCK_SKEW_MS) return 'open';
    const pointers: string[] = [];
    for (const { paths, key } of owners) {
      const task = await readLedgerRecord(this.store, key, taskRecord, options);
      if (task === undefined) continue;
      const purchase = { key: task.purchase_key, n: task.n };
      if (this.#open.purchases.has(paths.purchase(purchase))) return 'open';
      if (area !== 'videos') continue;
      const intent = await this.intent({ paths, purchase }, options);
      if (intent === undefined) continue;
      const pointer = paths.cachedResult(intent.cache_key);
      const cached = await readLedgerRecord(this.store, pointer, cachedRecord, options);
      if (cached !== undefined && videoKey(cached.result.task_id) === info.key) pointers.push(pointer);
    }
    return { ...info, area, pointers };
  }
}

/** A task that was bought in addition to its purchase's decision, as keys name it. */
interface ExtraTask {
  readonly name: string;
  readonly isOpen: boolean;
}

const namesOf = (claim: ClaimRecord | undefined, extra: readonly ExtraTask[]): string[] => [
  ...claimedNames(claim),
  ...extra.map(({ name }) => name),
];

const claimedNames = (claim: ClaimRecord | undefined): string[] =>
  claim !== undefined && 'task_id' in claim.decision ? [safeName(claim.decision.task_id)] : [];

/**
 * The keys of the image that a purchase was made from: of what was sent, and of the file that it was made from. None
 * for an image that is stored at the provider.
 */
function referencesOf(intent: IntentRecord | undefined): readonly string[] {
  const reference = intent?.memo['reference'];
  if (typeof reference !== 'object' || reference === null) return [];
  const { key, source } = reference as { readonly key?: unknown; readonly source?: unknown };
  return [key, source].filter((found) => typeof found === 'string');
}
