import { FailureType } from '../contract/failure-type.js';
import type { Purchase } from '../contract/purchase.js';
import { VideoError } from '../contract/video-error.js';
import type { StoreOptions } from '../storage/asset-store.js';
import type { LedgerRecords } from './ledger-records.js';
import { LedgerPaths } from './paths.js';
import { claimedTaskOf, isOpen, type PurchaseView, viewPurchase } from './purchase-view.js';
import { type ClaimedTask, recentRecord, type Stamp } from './records.js';

const HOUR_MS = 3_600_000;
/** Longer than the provider keeps a task, which is 24 hours. */
export const OPEN_HOURS = 25;

/** Open purchases, and the records that could not be read on the way. */
export interface OpenPurchases {
  readonly open: readonly PurchaseView[];
  readonly damaged: readonly VideoError[];
}

export interface OpenOptions extends StoreOptions {
  /**
   * For a reader that comes back again and again: purchases that were found settled are added, and those in it are not
   * read again. Such a reader misses an extra task that appears after its purchase was settled; the sweep, which must
   * not, goes without.
   */
  readonly settled?: Set<string> | undefined;
}

/**
 * Enters a purchase into its hour, by which {@link listOpen} finds it. Put before the intent, so that no intent is ever
 * invisible.
 */
export async function announce(
  records: LedgerRecords,
  purchase: Purchase,
  stamp: Stamp,
  options: StoreOptions,
): Promise<void> {
  const key = records.paths.announcement(purchase, stamp.written_at_ms);
  await records.put(key, recentRecord, { kind: 'recent' as const, ...stamp }, purchase, options);
}

/**
 * Lists the open purchases that were announced between two moments, in whole hours, in the order of their
 * announcement's hour. A damaged record does not hide the others.
 * @param fromMs - Milliseconds since the epoch, as `toMs`.
 */
export async function listOpenBetween(
  records: LedgerRecords,
  fromMs: number,
  toMs: number,
  options: OpenOptions,
): Promise<OpenPurchases> {
  const open: PurchaseView[] = [];
  const damaged: VideoError[] = [];
  for await (const view of announcedBetween(records, fromMs, toMs, damaged, options)) {
    if (isOpen(view)) open.push(view);
    else options.settled?.add(nameOf(view.purchase));
  }
  return { open, damaged };
}

/** Lists the open purchases of the last `hours`. */
export function listOpen(records: LedgerRecords, hours: number, options: OpenOptions): Promise<OpenPurchases> {
  const now = records.now();
  // One hour ahead as well: another writer's clock may be a little early.
  return listOpenBetween(records, now - hours * HOUR_MS, now + HOUR_MS, options);
}

/** Yields every claimed task of the last `hours` that was bought or found with the given key. */
export async function* tasksClaimedWith(
  records: LedgerRecords,
  keyFingerprint: string,
  hours: number,
  options: StoreOptions,
): AsyncGenerator<ClaimedTask> {
  const now = records.now();
  for await (const view of announcedBetween(records, now - hours * HOUR_MS, now, [], options)) {
    const task = claimedTaskOf(view);
    if (task?.key_fingerprint === keyFingerprint) yield task;
  }
}

async function* announcedBetween(
  records: LedgerRecords,
  fromMs: number,
  toMs: number,
  damaged: VideoError[],
  { settled, ...options }: OpenOptions,
): AsyncGenerator<PurchaseView> {
  const seen = new Set<string>();
  for (let hour = Math.floor(fromMs / HOUR_MS); hour * HOUR_MS <= toMs; hour += 1) {
    for await (const { key } of records.store.list(records.paths.announcements(hour * HOUR_MS), options)) {
      const purchase = LedgerPaths.parseAnnouncement(key);
      const name = purchase === undefined ? undefined : nameOf(purchase);
      if (purchase === undefined || name === undefined || seen.has(name) || settled?.has(name)) continue;
      seen.add(name);
      try {
        const view = await viewPurchase(records, purchase, options);
        if (view !== undefined) yield view;
      } catch (error) {
        if (!(error instanceof VideoError && error.type === FailureType.RecordDamaged)) throw error;
        damaged.push(error);
      }
    }
  }
}

const nameOf = ({ key, n }: Purchase): string => `${key}/${n}`;
