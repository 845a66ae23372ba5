import { mapParallel } from '../async/map-parallel.js';
import { FailureType } from '../contract/failure-type.js';
import type { Purchase } from '../contract/purchase.js';
import { HOUR_MS } from '../contract/utc.js';
import { VideoError } from '../contract/video-error.js';
import type { StoreOptions } from '../storage/asset-store.js';
import { writeRecord } from '../storage/json-record.js';
import { confirmedNow, type Digest, type Digests, readDigests } from './digests.js';
import type { LedgerRecords } from './ledger-records.js';
import { type Announcement, LedgerPaths } from './paths.js';
import { type MarkerRecord, recentRecord, type Stamp } from './records.js';

/** Hours that are listed together; each is a request for every thousand names. */
const HOURS_AT_ONCE = 8;
const NO_DIGESTS: Digests = { digests: new Map(), premature: [] };

/**
 * Enters a purchase into its hour. Put before the intent, so that no intent is ever invisible.
 * @param key - Of the announcement, in the hour in which `stamp` was written.
 * @throws VideoError `StoreUnavailable` also when it is in its hour only now that the hour may be over for long.
 */
export async function announce(
  records: LedgerRecords,
  key: string,
  purchase: Purchase,
  stamp: Stamp,
  options: StoreOptions,
): Promise<void> {
  await records.put(key, recentRecord, { kind: 'recent' as const, ...stamp }, purchase, options);
  // Its hour may have a digest by now that does not name it.
  if (Math.abs(records.now() - stamp.written_at_ms) <= records.rules.announcedWithinMs) return;
  throw new VideoError(FailureType.StoreUnavailable, `${records.store.name} took too long to announce a purchase`, {
    retryable: true,
    nextStep: 'Wait; the step is tried again. Nothing was recorded.',
  });
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

/** What was announced and has no marker, and what is to be done about its hours. */
export interface Unmarked {
  readonly announcements: readonly Announcement[];
  /** Hours with more than a page of names that are over: a digest spares the next reader their names. */
  readonly withoutDigest: readonly ListedHour[];
  /** Hours whose digest was read instead of their names. */
  readonly withDigest: readonly ListedHour[];
  /** Prefixes of hours whose digest was made while the clocks were ahead. */
  readonly premature: readonly string[];
}

/** An hour: the prefix of its announcements, and when its names were listed by the store's clock. */
type ListedHour = Pick<Digest, 'prefix' | 'listedAtMs'>;

/**
 * Lists what was announced between two moments, in whole hours and in their order, and has no marker. One request for
 * every thousand names, and reads none of them.
 * @param fromMs - Milliseconds since the epoch, as `toMs`.
 * @param options.digests - Reads the digest of an hour instead of its names, where there is one and the hours have more
 * than a page of names.
 */
export async function listUnmarked(
  records: LedgerRecords,
  fromMs: number,
  toMs: number,
  { digests = false, ...options }: StoreOptions & { readonly digests?: boolean },
): Promise<Unmarked> {
  const { hours, premature } = await listHours(records, fromMs, toMs, digests, options);
  const marked = new Set<string>();
  const found: Announcement[] = [];
  for (const name of hours.flatMap(({ keys }) => keys.map(LedgerPaths.parseAnnouncement))) {
    if (name?.isMarker) marked.add(idOf(name));
    else if (name !== undefined) found.push(name);
  }
  return {
    // A submit that began again in the next hour has announced its purchase twice, and marks it once.
    announcements: found.filter((announcement) => !marked.has(idOf(announcement))),
    withoutDigest: hours.flatMap(({ due }) => due ?? []),
    withDigest: hours.flatMap(({ digest }) => digest ?? []),
    premature,
  };
}

/** The keys of announcements and markers of one hour, or of several that are on one page. */
interface Listed {
  readonly keys: readonly string[];
  /** Given when the keys are those of its digest, without markers. */
  readonly digest?: ListedHour;
  /** Given when a digest can be made of the keys. */
  readonly due?: ListedHour | undefined;
}

async function listHours(
  records: LedgerRecords,
  fromMs: number,
  toMs: number,
  useDigests: boolean,
  options: StoreOptions,
): Promise<{ readonly hours: readonly Listed[]; readonly premature: readonly string[] }> {
  const { store, paths, rules } = records;
  const listedAtMs = confirmedNow(records);
  const keys: string[] = [];
  const end = paths.announcements(toMs + HOUR_MS);
  // A ledger that is not busy has all its hours on one page.
  for await (const { key } of store.list(paths.allAnnouncements, { ...options, after: paths.announcements(fromMs) })) {
    if (key >= end) return { hours: [{ keys }], premature: [] };
    keys.push(key);
    if (keys.length === rules.pageNames) break;
  }
  const last = keys.at(-1);
  if (last === undefined || keys.length < rules.pageNames) return { hours: [{ keys }], premature: [] };
  const { digests, premature } = useDigests ? await readDigests(records, fromMs, options) : NO_DIGESTS;
  const hours: { readonly prefix: string; readonly endMs: number }[] = [];
  for (let atMs = Math.floor(fromMs / HOUR_MS) * HOUR_MS; paths.announcements(atMs) < end; atMs += HOUR_MS) {
    hours.push({ prefix: paths.announcements(atMs), endMs: atMs + HOUR_MS });
  }
  const listed = mapParallel(hours, HOURS_AT_ONCE, async ({ prefix, endMs }): Promise<Listed> => {
    const digest = digests.get(prefix);
    if (digest !== undefined) return { keys: digest.keys, digest };
    const found = keys.filter((key) => key.startsWith(prefix));
    if (prefix > last || last.startsWith(prefix)) {
      for await (const { key } of store.list(prefix, { ...options, after: last })) found.push(key);
    }
    const isDue = useDigests && found.length > rules.pageNames && endMs + rules.digestAfterMs <= (listedAtMs ?? 0);
    return { keys: found, due: isDue && listedAtMs !== undefined ? { prefix, listedAtMs } : undefined };
  });
  const all: Listed[] = [];
  for await (const hour of listed) all.push(hour);
  return { hours: all, premature };
}

const idOf = ({ purchase: { key, n }, taskName = '' }: Announcement): string => `${key}/${n}/${taskName}`;
