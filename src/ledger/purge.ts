import { mapParallel } from '../async/map-parallel.js';
import type { AssetInfo, AssetStore, StoreOptions } from '../storage/asset-store.js';
import { safeName, videoKey } from '../storage/keys.js';
import { readLedgerRecord, recordDamaged } from './record-file.js';
import { cachedRecord, claimRecord, type IntentRecord, intentRecord, taskRecord } from './records.js';

/** The prefixes that are purged. Ledger records never are: that a video is bought once rests on them. */
export const PURGE_AREAS = ['videos', 'references', 'candidates', 'rejected'] as const;
export type PurgeArea = (typeof PURGE_AREAS)[number];

/**
 * What is younger stays when things are purged by their age, in milliseconds. The provider keeps a task for 24 hours; until then, and an
 * hour more, a run may still need an image or a candidate.
 */
export const PURGE_AGE_MIN_MS = 25 * 3_600_000;

/** What to purge: by age, or everything that was made from one staged image (its key, `references/<sha256>.<ext>`). */
export type PurgeChoice =
  | { readonly by: 'age'; readonly olderThanMs: number; readonly areas: readonly PurgeArea[] }
  | { readonly by: 'reference'; readonly key: string };

/** One object to delete, with the cache records that point to it. */
export interface PurgeItem {
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
}

/** Requests at once; an S3 answers each in some 30 ms. */
const AT_ONCE = 16;
/** A shared directory's time stamps may come from several machines: this much is allowed between their clocks. */
const CLOCKS_APART_MS = 3_600_000;
const PURCHASE_FILE = /^((ledger\/[^/]+\/[^/]+)\/purchases\/([0-9a-f]+)\/([1-9]\d{0,8})\/)(.+)\.json$/;
const TASK_FILE = /^ledger\/[^/]+\/[^/]+\/tasks\/([^/]+)\.json$/;
const TASK_OBJECT = /^(?:videos|candidates|rejected)\/([^/]+)\.(?:mp4|bin)$/;

/**
 * Finds what a purge would delete; deletes nothing. Looks at the records of every provider and account in the store, of any age, because
 * objects do not tell whose they are.
 * @param nowMs - Milliseconds since the epoch.
 * @throws VideoError `RecordDamaged` when a record that decides cannot be understood: nobody can tell what is open then.
 */
export async function planPurge(
  store: AssetStore,
  choice: PurgeChoice,
  nowMs: number,
  options: StoreOptions = {},
): Promise<PurgePlan> {
  const records = await readRecords(store, options);
  const made = choice.by === 'age' ? older(store, choice, nowMs, options) : madeFrom(records, choice.key, options);
  const items: PurgeItem[] = [];
  let [keptOpen, keptRecent] = [0, 0];
  for await (const found of mapParallel(made, AT_ONCE, (info) => records.itemOf(info, options))) {
    // A video may be deleted on the day that it was made; an image is needed until its purchases are decided.
    if (found === 'open') keptOpen += 1;
    else if (found.area === 'references' && found.modifiedAtMs > nowMs - PURGE_AGE_MIN_MS) keptRecent += 1;
    else items.push({ area: found.area, key: found.key, bytes: found.bytes, pointers: found.pointers });
  }
  return { items, keptOpen, keptRecent };
}

/** Deletes what a plan names. Broken off in the middle, it is done by planning anew. */
export async function purge(store: AssetStore, plan: Pick<PurgePlan, 'items'>, options: StoreOptions = {}) {
  const deleted = mapParallel(each(plan.items), AT_ONCE, async ({ key, pointers }) => {
    // The pointers first: without its video nobody would find them again.
    for (const pointer of pointers) await store.delete(pointer, options);
    await store.delete(key, options);
  });
  for await (const _ of deleted);
}

/** The objects of some areas that were stored long enough ago. */
async function* older(
  store: AssetStore,
  { olderThanMs, areas }: Extract<PurgeChoice, { by: 'age' }>,
  nowMs: number,
  options: StoreOptions,
): AsyncGenerator<AssetInfo> {
  const latestMs = nowMs - Math.max(olderThanMs, PURGE_AGE_MIN_MS);
  for (const area of areas) {
    for await (const info of store.list(`${area}/`, options)) if (info.modifiedAtMs <= latestMs) yield info;
  }
}

/** The objects of every purchase that was made from an image, and the image itself. */
async function* madeFrom(records: Records, reference: string, options: StoreOptions): AsyncGenerator<AssetInfo> {
  const { store } = records;
  const seen = new Set<string>([reference]);
  const purchases = mapParallel(each(records.purchases), AT_ONCE, async (files) => {
    const intent = await records.intent(files, options);
    return referenceOf(intent) === reference ? records.taskNames(files, options) : [];
  });
  for await (const names of purchases) {
    for (const name of names) {
      for (const key of [`videos/${name}.mp4`, `candidates/${name}.mp4`, `rejected/${name}.bin`]) seen.add(key);
    }
  }
  for (const key of seen) {
    const info = await store.head(key, options);
    if (info !== undefined) yield info;
  }
}

/** The record files of one purchase. */
interface PurchaseFiles {
  /** Key of its folder, with the slash. */
  readonly folder: string;
  /** Root of its ledger. */
  readonly root: string;
  readonly key: string;
  readonly n: number;
  readonly files: Map<string, AssetInfo>;
}

/** Lists the records of every ledger in the store, and reads those that may be open. */
async function readRecords(store: AssetStore, options: StoreOptions): Promise<Records> {
  const purchases = new Map<string, PurchaseFiles>();
  const tasks = new Map<string, string[]>();
  for await (const info of store.list('ledger/', options)) {
    const [, folder, root, key, n, name] = PURCHASE_FILE.exec(info.key) ?? [];
    const task = TASK_FILE.exec(info.key)?.[1];
    if (folder !== undefined && root !== undefined && key !== undefined && name !== undefined) {
      const purchase = purchases.get(folder) ?? { folder, root, key, n: Number(n), files: new Map() };
      purchase.files.set(name, info);
      purchases.set(folder, purchase);
    } else if (task !== undefined) tasks.set(task, [...(tasks.get(task) ?? []), info.key]);
  }
  const records = new Records(store, [...purchases.values()], tasks);
  await records.findOpen(options);
  return records;
}

/** What the ledgers of a store say about its objects. */
class Records {
  readonly store: AssetStore;
  readonly purchases: readonly PurchaseFiles[];
  /** Keys of the records of a task, by its name in keys; one in each ledger that knows it. */
  readonly #tasks: ReadonlyMap<string, readonly string[]>;
  /** Folders of open purchases, the names of their tasks, and the keys of their images. */
  readonly #open = { folders: new Set<string>(), tasks: new Set<string>(), references: new Set<string>() };
  /** When the first purchase was announced of which nobody knows the task; by the store's clock. */
  #unclaimedSinceMs = Number.POSITIVE_INFINITY;

  constructor(store: AssetStore, purchases: readonly PurchaseFiles[], tasks: ReadonlyMap<string, readonly string[]>) {
    this.store = store;
    this.purchases = purchases;
    this.#tasks = tasks;
  }

  async findOpen(options: StoreOptions): Promise<void> {
    for await (const _ of mapParallel(each(this.purchases), AT_ONCE, (files) => this.#seeOpen(files, options)));
  }

  async #seeOpen(purchase: PurchaseFiles, options: StoreOptions): Promise<void> {
    const { files, folder } = purchase;
    const lateOpen = [...files.keys()].some(
      (name) => name.startsWith('late/') && !name.endsWith('~closed') && !files.has(`${name}~closed`),
    );
    if (files.has('closed') && !lateOpen) return;
    const claim = await this.#claim(purchase, options);
    if (claim !== undefined && 'not_created' in claim.decision && !lateOpen) return;
    this.#open.folders.add(folder);
    for (const name of await this.taskNames(purchase, options)) this.#open.tasks.add(name);
    const intent = await this.intent(purchase, options);
    if (intent === undefined)
      throw recordDamaged(this.store, `${folder}intent.json`, 'is missing beside later records');
    const reference = referenceOf(intent);
    if (reference !== undefined) this.#open.references.add(reference);
    if (claim === undefined) {
      const storedAtMs = files.get('intent')?.modifiedAtMs ?? 0;
      this.#unclaimedSinceMs = Math.min(this.#unclaimedSinceMs, storedAtMs);
    }
  }

  /** What a purchase announced; undefined in a folder that holds no intent. */
  intent({ folder, key, n }: PurchaseFiles, options: StoreOptions): Promise<IntentRecord | undefined> {
    return readLedgerRecord(this.store, undefined, `${folder}intent.json`, intentRecord, { key, n }, options);
  }

  #claim({ folder, key, n, files }: PurchaseFiles, options: StoreOptions) {
    if (!files.has('claim')) return undefined;
    return readLedgerRecord(this.store, undefined, `${folder}claim.json`, claimRecord, { key, n }, options);
  }

  /** The tasks of a purchase, as keys name them. */
  async taskNames(purchase: PurchaseFiles, options: StoreOptions): Promise<string[]> {
    const names: string[] = [];
    const claim = await this.#claim(purchase, options);
    if (claim !== undefined && 'task_id' in claim.decision) names.push(safeName(claim.decision.task_id));
    for (const name of purchase.files.keys()) {
      if (name.startsWith('late/') && !name.endsWith('~closed')) names.push(name.slice('late/'.length));
    }
    return names;
  }

  /** What is to be deleted with an object; `open` when it has to stay. */
  async itemOf(info: AssetInfo, options: StoreOptions): Promise<(PurgeItem & AssetInfo) | 'open'> {
    const area = PURGE_AREAS.find((name) => info.key.startsWith(`${name}/`)) ?? 'rejected';
    if (area === 'references') return this.#open.references.has(info.key) ? 'open' : { ...info, area, pointers: [] };
    const name = TASK_OBJECT.exec(info.key)?.[1] ?? '';
    if (this.#open.tasks.has(name)) return 'open';
    const owners = this.#tasks.get(name) ?? [];
    // A candidate that no purchase has claimed may be the task of any that was announced before it.
    const unclaimed = area === 'candidates' && owners.length === 0;
    if (unclaimed && info.modifiedAtMs >= this.#unclaimedSinceMs - CLOCKS_APART_MS) return 'open';
    const pointers: string[] = [];
    for (const owner of owners) {
      const task = await readLedgerRecord(this.store, undefined, owner, taskRecord, undefined, options);
      if (task === undefined) continue;
      const root = owner.slice(0, owner.indexOf('/tasks/'));
      const [key, n] = [task.purchase_key, task.n];
      const folder = `${root}/purchases/${key}/${n}/`;
      if (this.#open.folders.has(folder)) return 'open';
      if (area !== 'videos') continue;
      const intent = await this.intent({ folder, root, key, n, files: new Map() }, options);
      if (intent === undefined) continue;
      const pointer = `cache/${root.slice('ledger/'.length)}/${intent.cache_key}.json`;
      const cached = await readLedgerRecord(this.store, undefined, pointer, cachedRecord, undefined, options);
      if (cached !== undefined && videoKey(cached.result.task_id) === info.key) pointers.push(pointer);
    }
    return { ...info, area, pointers };
  }
}

/** The key of the staged image that a purchase was made from; undefined for an image that lies at the provider. */
function referenceOf(intent: IntentRecord | undefined): string | undefined {
  const reference = intent?.memo['reference'];
  if (typeof reference !== 'object' || reference === null || !('key' in reference)) return undefined;
  return typeof reference.key === 'string' ? reference.key : undefined;
}

async function* each<T>(values: Iterable<T>): AsyncGenerator<T> {
  yield* values;
}
