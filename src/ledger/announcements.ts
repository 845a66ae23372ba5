import { mapParallel } from '../async/map-parallel.js';
import type { Purchase } from '../contract/purchase.js';
import { HOUR_MS } from '../contract/utc.js';
import { LIST_PAGE, type StoreOptions } from '../storage/asset-store.js';
import { writeRecord } from '../storage/json-record.js';
import type { LedgerRecords } from './ledger-records.js';
import { type Announcement, LedgerPaths } from './paths.js';
import { type MarkerRecord, recentRecord, type Stamp } from './records.js';

/** Hours that are listed together; each is a request for every thousand names. */
const HOURS_AT_ONCE = 8;

/**
 * Enters a purchase into its hour. Put before the intent, so that no intent is ever invisible.
 * @param key - Of the announcement, in the hour in which `stamp` was written.
 */
export async function announce(
  records: LedgerRecords,
  key: string,
  purchase: Purchase,
  stamp: Stamp,
  options: StoreOptions,
): Promise<void> {
  await records.put(key, recentRecord, { kind: 'recent' as const, ...stamp }, purchase, options);
}

/**
 * Marks an announcement as over, after the record that says so. Without its marker a purchase is read once more with
 * every listing until the sweep marks it, so a fault of the store is not an error.
 */
export async function mark(
  records: LedgerRecords,
  announcementKey: string,
  purchase: Purchase,
  options: StoreOptions,
): Promise<void> {
  const record: MarkerRecord = { kind: 'settled', ...records.stamp(purchase) };
  const write = { ...options, ifAbsent: true };
  await writeRecord(records.store, LedgerPaths.marker(announcementKey), record, write).catch(() => {
    options.signal?.throwIfAborted();
  });
}

/**
 * Lists what was announced between two moments, in whole hours and in their order, and has no marker. One request for
 * every thousand names, and reads none of them.
 * @param fromMs - Milliseconds since the epoch, as `toMs`.
 */
export async function listUnmarked(
  records: LedgerRecords,
  fromMs: number,
  toMs: number,
  options: StoreOptions,
): Promise<readonly Announcement[]> {
  const marked = new Set<string>();
  const found: Announcement[] = [];
  for (const key of await listNames(records, fromMs, toMs, options)) {
    const name = LedgerPaths.parseAnnouncement(key);
    if (name?.isMarker) marked.add(idOf(name));
    else if (name !== undefined) found.push(name);
  }
  // A submit that began again in the next hour has announced its purchase twice, and marks it once.
  return found.filter((announcement) => !marked.has(idOf(announcement)));
}

/** The keys of the announcements and markers of some hours, in order. */
async function listNames(
  { store, paths }: LedgerRecords,
  fromMs: number,
  toMs: number,
  options: StoreOptions,
): Promise<string[]> {
  const keys: string[] = [];
  const end = paths.announcements(toMs + HOUR_MS);
  // A ledger that is not busy has all its hours on one page.
  for await (const { key } of store.list(paths.allAnnouncements, { ...options, after: paths.announcements(fromMs) })) {
    if (key >= end) return keys;
    keys.push(key);
    if (keys.length === LIST_PAGE) break;
  }
  const last = keys.at(-1);
  if (last === undefined || keys.length < LIST_PAGE) return keys;
  const hours: string[] = [];
  for (let atMs = fromMs; paths.announcements(atMs) < end; atMs += HOUR_MS) hours.push(paths.announcements(atMs));
  const rest = hours.filter((hour) => hour > last || last.startsWith(hour));
  const listed = mapParallel(rest, HOURS_AT_ONCE, async (hour) => {
    const found: string[] = [];
    for await (const { key } of store.list(hour, { ...options, after: last })) found.push(key);
    return found;
  });
  for await (const found of listed) for (const key of found) keys.push(key);
  return keys;
}

const idOf = ({ purchase: { key, n }, taskName = '' }: Announcement): string => `${key}/${n}/${taskName}`;
