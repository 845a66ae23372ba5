import { HOUR_MS, utcDay } from '../../src/contract/utc.js';
import { LedgerPaths } from '../../src/ledger/paths.js';
import type { BillRecord } from '../../src/ledger/records.js';
import { videoKey } from '../../src/storage/keys.js';

const SCOPE = { provider: 'emulator', account: 'default' };

/** A key that is as random as a hash, and the same for the same index. */
export const crowdKey = (index: number): string =>
  (BigInt(index + 1) * 0x9e3779b97f4a7c15f39cc0605cedc834n).toString(16).padStart(64, '0').slice(-64);

const crowdTask = (index: number): string => crowdKey(index).slice(-36);

/** What of a closed purchase is read when its day is added up; the other records count by their names. */
function billOf(index: number, endedAtMs: number): BillRecord {
  return {
    kind: 'day',
    v: 1,
    ...SCOPE,
    token: `${index}`,
    written_at_ms: endedAtMs,
    purchase_key: crowdKey(index),
    n: 1,
    task_id: crowdTask(index),
    end_time_ms: endedAtMs,
    billed_seconds: 5,
    resolution: '720P',
    audio: false,
    workflow_id: `video/${index}`,
    tenant: `tenant-${index % 20}`,
    memo: { batch_id: `batch-${index % 7}`, labels: { scene: `${index % 50}` }, request: { prompt: 'p'.repeat(400) } },
  };
}

/**
 * The keys and contents of purchases that were closed within the 24 hours before `nowMs`, evenly spread.
 * @param count - How many.
 */
export function* closedCrowd(count: number, nowMs: number): Generator<readonly [key: string, body: string]> {
  const paths = LedgerPaths.of(SCOPE);
  for (let index = 0; index < count; index += 1) {
    const atMs = nowMs - 24 * HOUR_MS + Math.floor((index / count) * 24 * HOUR_MS);
    const purchase = { key: crowdKey(index), n: 1 };
    const announcement = paths.announcement(purchase, atMs);
    for (const key of [announcement, LedgerPaths.marker(announcement)]) yield [key, ''];
    for (const key of [paths.intent(purchase), paths.claim(purchase), paths.closed(purchase)]) yield [key, '{}'];
    yield [paths.task(crowdTask(index)), '{}'];
    yield [paths.bill(utcDay(atMs), crowdTask(index)), JSON.stringify(billOf(index, atMs))];
    yield [videoKey(crowdTask(index)), 'video'];
  }
}
