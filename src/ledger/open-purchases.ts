import { mapParallel } from '../async/map-parallel.js';
import { FailureType } from '../contract/failure-type.js';
import type { Purchase } from '../contract/purchase.js';
import { HOUR_MS } from '../contract/utc.js';
import { VideoError } from '../contract/video-error.js';
import type { StoreOptions } from '../storage/asset-store.js';
import { safeName } from '../storage/keys.js';
import { listUnmarked, mark } from './announcements.js';
import { type Digest, revokeDigests, writeDigest } from './digests.js';
import type { LedgerRecords } from './ledger-records.js';
import { type Announcement, LedgerPaths } from './paths.js';
import { mayHaveOpenExtraTask } from './purchase-files.js';
import { claimedTaskOf, findFiles, isOpen, type PurchaseView, readView, viewPurchase } from './purchase-view.js';
import type { ClaimedTask } from './records.js';

/** Longer than the provider keeps a task, which is 24 hours. */
export const OPEN_HOURS = 25;
/** Purchases that are read together; each is two round trips. */
const PURCHASES_AT_ONCE = 16;
/** Purchases of one hour that are read at most to find tasks of a key. */
const SAMPLES_PER_HOUR = 20;

/** Open purchases, and the records that could not be read on the way. */
export interface OpenPurchases {
  readonly open: readonly PurchaseView[];
  readonly damaged: readonly VideoError[];
  /** Announcements of purchases and tasks that are over, without their marker: see {@link markSettled}. */
  readonly unmarked: readonly Announcement[];
  /** Hours whose names the next listing need not list; absent: none. See {@link markSettled}. */
  readonly digests?: readonly Digest[];
  /** Prefixes of hours whose digests must never count; absent: none. */
  readonly premature?: readonly string[];
}

/**
 * Lists the open purchases that were announced between two moments, in whole hours, in the order of their
 * announcement's hour. Reads only those without a marker. A damaged record does not hide the others.
 * @param fromMs - Milliseconds since the epoch, as `toMs`.
 * @param options.digests - Whether an hour may be known by its digest; default: every name is listed.
 */
export async function listOpenBetween(
  records: LedgerRecords,
  fromMs: number,
  toMs: number,
  options: StoreOptions & { readonly digests?: boolean },
): Promise<OpenPurchases> {
  const purchases = new Map<string, Announcement[]>();
  const { announcements, withDigest, withoutDigest, premature } = await listUnmarked(records, fromMs, toMs, options);
  for (const announcement of announcements) {
    const name = nameOf(announcement.purchase);
    purchases.set(name, [...(purchases.get(name) ?? []), announcement]);
  }
  const open: PurchaseView[] = [];
  const damaged: VideoError[] = [];
  const unmarked: Announcement[] = [];
  const examined = mapParallel(purchases.values(), PURCHASES_AT_ONCE, (announced) =>
    examine(records, announced, options),
  );
  for await (const found of examined) {
    if (found instanceof VideoError) {
      damaged.push(found);
      continue;
    }
    if (found.view !== undefined) open.push(found.view);
    unmarked.push(...found.settled);
  }
  const over = new Set(unmarked.map(({ key }) => key));
  const within = (prefix: string) => announcements.map(({ key }) => key).filter((key) => key.startsWith(prefix));
  const shrunk = withDigest.filter(({ prefix }) => within(prefix).some((key) => over.has(key)));
  const digests = [...withoutDigest, ...shrunk].map(({ prefix, listedAtMs }) => ({
    prefix,
    listedAtMs,
    keys: within(prefix).filter((key) => !over.has(key)),
  }));
  return {
    open,
    damaged,
    unmarked,
    ...(digests.length > 0 && { digests }),
    ...(premature.length > 0 && { premature }),
  };
}

/** Lists the open purchases of the last `hours`; an hour that has a digest is not listed again. */
export function listOpen(records: LedgerRecords, hours: number, options: StoreOptions): Promise<OpenPurchases> {
  const now = records.now();
  // One hour ahead as well: another writer's clock may be a little early.
  return listOpenBetween(records, now - hours * HOUR_MS, now + HOUR_MS, { ...options, digests: true });
}

/**
 * Marks what is over, where the marker was lost or an earlier version wrote none, and digests the hours that are over.
 */
export async function markSettled(
  records: LedgerRecords,
  { unmarked, digests = [], premature = [] }: Omit<OpenPurchases, 'open' | 'damaged'>,
  options: StoreOptions,
): Promise<void> {
  const marked = mapParallel(unmarked, PURCHASES_AT_ONCE, ({ key, purchase }) => mark(records, key, purchase, options));
  for await (const _ of marked);
  const revoked = mapParallel(premature, PURCHASES_AT_ONCE, (prefix) => revokeDigests(records, prefix, options));
  for await (const _ of revoked);
  const digested = mapParallel(digests, PURCHASES_AT_ONCE, (digest) => writeDigest(records, digest, options));
  for await (const _ of digested);
}

/** What the announcements of one purchase lead to. */
interface Examined {
  /** Given when it is open. */
  readonly view?: PurchaseView;
  readonly settled: readonly Announcement[];
}

async function examine(
  records: LedgerRecords,
  announced: readonly Announcement[],
  options: StoreOptions,
): Promise<Examined | VideoError> {
  const [first] = announced;
  const files = first === undefined ? undefined : await findFiles(records, first.purchase, options);
  // Announced by a submit that died before its intent, or that is about to write it.
  if (files === undefined) return { settled: [] };
  /** @param ownTask - The name of the purchase's own task, once it is over. */
  const overWhen = (isSettled: boolean, ownTask?: string): Announcement[] =>
    announced.filter(({ taskName }) =>
      taskName === undefined ? isSettled : taskName === ownTask || files.extraTasks.get(taskName)?.closed !== undefined,
    );
  // The names of its records say so.
  if (files.closed !== undefined && !mayHaveOpenExtraTask(files)) return { settled: overWhen(true) };
  try {
    const view = await readView(records, files, options);
    const ownTask = view.state.kind === 'closed' ? safeName(view.state.task.task_id) : undefined;
    return isOpen(view) ? { view, settled: overWhen(false, ownTask) } : { settled: overWhen(true, ownTask) };
  } catch (error) {
    if (error instanceof VideoError && error.type === FailureType.RecordDamaged) return error;
    throw error;
  }
}

/**
 * Yields claimed tasks of the last `hours` that were bought or found with the given key, those of the hours next to
 * `aroundMs` first. Reads some purchases of each hour, however many it has.
 */
export async function* tasksClaimedWith(
  records: LedgerRecords,
  keyFingerprint: string,
  { hours, aroundMs }: { readonly hours: number; readonly aroundMs: number },
  options: StoreOptions,
): AsyncGenerator<ClaimedTask> {
  const now = records.now();
  const moments = Array.from({ length: hours + 1 }, (_, index) => now - index * HOUR_MS);
  for (const atMs of moments.sort((a, b) => Math.abs(a - aroundMs) - Math.abs(b - aroundMs))) {
    const sample = await purchasesOfHour(records, atMs, SAMPLES_PER_HOUR, options);
    const views = mapParallel(sample, PURCHASES_AT_ONCE, (purchase) => viewOrDamage(records, purchase, options));
    for await (const view of views) {
      const task = view === undefined || view instanceof VideoError ? undefined : claimedTaskOf(view);
      if (task?.key_fingerprint === keyFingerprint) yield task;
    }
  }
}

/** The purchases of an hour, and the records that could not be read on the way: they hide what their purchase has. */
export interface AnnouncedPurchases {
  readonly views: readonly PurchaseView[];
  readonly damaged: readonly VideoError[];
}

/** Reads every purchase that was announced in an hour, open or over. A damaged record does not hide the others. */
export async function listAnnounced(
  records: LedgerRecords,
  hourMs: number,
  options: StoreOptions,
): Promise<AnnouncedPurchases> {
  const purchases = await purchasesOfHour(records, hourMs, Number.POSITIVE_INFINITY, options);
  const views: PurchaseView[] = [];
  const damaged: VideoError[] = [];
  const read = mapParallel(purchases, PURCHASES_AT_ONCE, (purchase) => viewOrDamage(records, purchase, options));
  for await (const view of read) {
    if (view instanceof VideoError) damaged.push(view);
    else if (view !== undefined) views.push(view);
  }
  return { views, damaged };
}

const viewOrDamage = (records: LedgerRecords, purchase: Purchase, options: StoreOptions) =>
  viewPurchase(records, purchase, options).catch((error: unknown) => {
    if (error instanceof VideoError && error.type === FailureType.RecordDamaged) return error;
    throw error;
  });

/** The first purchases that were announced in an hour, at most `most`. */
async function purchasesOfHour(
  { store, paths }: LedgerRecords,
  atMs: number,
  most: number,
  options: StoreOptions,
): Promise<Purchase[]> {
  const purchases = new Map<string, Purchase>();
  for await (const { key } of store.list(paths.announcements(atMs), options)) {
    const purchase = LedgerPaths.parseAnnouncement(key)?.purchase;
    if (purchase !== undefined) purchases.set(nameOf(purchase), purchase);
    if (purchases.size === most) break;
  }
  return [...purchases.values()];
}

const nameOf = ({ key, n }: Purchase): string => `${key}/${n}`;
