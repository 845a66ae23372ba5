import { createHash } from 'node:crypto';
import { mapParallel } from '../async/map-parallel.js';
import type { StoreOptions } from '../storage/asset-store.js';
import { RECORD_BYTES_MAX, readRecord, writeRecord } from '../storage/json-record.js';
import { ignoreDamage, type LedgerRecords } from './ledger-records.js';
import { type DigestName, LedgerPaths } from './paths.js';
import { type DigestRecord, digestRecord } from './records.js';

/** How far the clocks of this machine and the store may differ where an hour is digested. */
const CLOCK_SKEW_MS = 120_000;
/** Digests that are read together. */
const DIGESTS_AT_ONCE = 16;

/** The names of an hour that are not over, and the prefix of that hour. */
export interface Digest {
  readonly prefix: string;
  /** When the names of the hour were listed, by the store's clock; milliseconds since the epoch. */
  readonly listedAtMs: number;
  /** Keys of announcements. */
  readonly keys: readonly string[];
}

/**
 * The time by the store's clock, when this machine's clock agrees with it; else undefined, and nothing is digested: an
 * hour that only seems to be over gets announcements later. A store without a clock of its own is a local one, which
 * lists fast.
 */
export function confirmedNow({ store, localNow }: LedgerRecords): number | undefined {
  const nowMs = store.now?.();
  return nowMs === undefined || Math.abs(nowMs - localNow()) > CLOCK_SKEW_MS ? undefined : nowMs;
}

/** The digests of some hours, by the prefix of their hour. */
export interface Digests {
  readonly digests: ReadonlyMap<string, Digest>;
  /** Prefixes of hours with a digest from the future: the clocks were wrong when it was made. */
  readonly premature: readonly string[];
}

/**
 * Reads the digests of the hours from a moment on. One that cannot be understood is left out, and so is each of an hour
 * with one from the future: that hour is listed.
 */
export async function readDigests(records: LedgerRecords, fromMs: number, options: StoreOptions): Promise<Digests> {
  const { store, paths, scope } = records;
  const latestMs = records.now() + CLOCK_SKEW_MS;
  // A later digest of an hour names less. Each of them is complete.
  const latest = new Map<string, DigestName & { readonly key: string }>();
  const [premature, revoked] = [new Set<string>(), new Set<string>()];
  for await (const { key } of store.list(paths.allDigests, { ...options, after: paths.digests(fromMs) })) {
    const name = paths.parseDigest(key);
    if (name === undefined) continue;
    if ('revokes' in name) revoked.add(name.revokes);
    else if (name.listedAtMs > latestMs) premature.add(name.prefix);
    else if (name.count < (latest.get(name.prefix)?.count ?? Number.POSITIVE_INFINITY)) {
      latest.set(name.prefix, { ...name, key });
    }
  }
  const usable = [...latest].filter(([prefix]) => !premature.has(prefix) && !revoked.has(prefix));
  const read = mapParallel(usable, DIGESTS_AT_ONCE, async ([prefix, { key, count, listedAtMs }]) => {
    const { data } = digestRecord.safeParse(await readRecord(store, key, options).catch(ignoreDamage));
    const isOurs = data?.provider === scope.provider && data.account === scope.account;
    if (data === undefined || !isOurs || data.names.length !== count) return undefined;
    const keys = data.names.map((name) => prefix + name);
    const areAnnouncements = keys.every((one) => LedgerPaths.parseAnnouncement(one)?.isMarker === false);
    return areAnnouncements ? { prefix, keys, listedAtMs } : undefined;
  });
  const digests = new Map<string, Digest>();
  for await (const digest of read) if (digest !== undefined) digests.set(digest.prefix, digest);
  return { digests, premature: [...premature].filter((prefix) => !revoked.has(prefix)) };
}

/**
 * Revokes the digests of an hour for good: they were made while the clocks were ahead, and once that time has come they
 * would count, and hide what was announced meanwhile.
 */
export async function revokeDigests(records: LedgerRecords, prefix: string, options: StoreOptions): Promise<void> {
  const { store, paths, scope } = records;
  const record = { kind: 'digests_revoked', v: 1, ...scope };
  await writeRecord(store, paths.revokedDigests(prefix), record, { ...options, ifAbsent: true });
}

/**
 * Writes a digest, unless there is an equal one. It is complete because what it was made from was listed long after the
 * end of its hour, and nothing that is over opens again; when it is written does not matter.
 */
export async function writeDigest(records: LedgerRecords, digest: Digest, options: StoreOptions): Promise<void> {
  const { store, paths, scope } = records;
  const names = digest.keys.map((key) => key.slice(digest.prefix.length));
  const record: DigestRecord = { kind: 'digest', v: 1, ...scope, names };
  const text = JSON.stringify(record);
  // An hour with some thousand open purchases is listed, as before.
  if (Buffer.byteLength(text) >= RECORD_BYTES_MAX) return;
  const id = createHash('sha256').update(text).digest('hex');
  const key = paths.digest(digest.prefix, { listedAtMs: digest.listedAtMs, count: names.length, id });
  await writeRecord(store, key, record, { ...options, ifAbsent: true });
}
