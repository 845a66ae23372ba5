import { kindOf, type SecondsByKind } from '../src/contract/budget.js';
import { DAY_MS, utcDay } from '../src/contract/utc.js';
import type { Ledger, PurchaseView } from '../src/ledger/ledger.js';
import { batchOf, type DayRecord } from '../src/ledger/records.js';
import { batchManifestKey } from '../src/storage/keys.js';
import type { ActivityDeps } from './deps.js';
import { openSlot } from './slot-holders.js';
import type { OpenSlot, SpendingQuery, SpendingReport, VideoActivities } from './types.js';
import { withSignal } from './with-signal.js';

/** Whose bill is told by name besides those asked about: a settlement that crosses the reading is minutes old at most, clocks included. */
const RECENT_MS = 300_000;
/** A batch's bills are looked for from its start on; one that lasts longer is counted from here. */
const BATCH_DAYS_MAX = 31;
/** Store and workers may differ in their clocks by so much. */
const CLOCKS_MS = 600_000;

/**
 * Reads from the ledger what was spent on a day and by batches, and what stands open. The open purchases first: one that ends meanwhile
 * is then seen twice rather than not at all, and is told apart by its bill.
 */
export function createFindSpending(deps: ActivityDeps): VideoActivities['findSpending'] {
  return (question) =>
    withSignal(async (signal) => {
      const startedAtMs = deps.clock.now();
      const { open } = await deps.ledger.listOpen(undefined, { signal });
      const sum = new Sum(question, startedAtMs);
      for (const { date, writtenSinceMs } of await daysToRead(question, deps, startedAtMs, signal)) {
        for await (const record of deps.ledger.days(date, { signal, writtenSinceMs })) sum.add(record, date);
      }
      const unpaid: OpenSlot[] = [];
      for (const view of open) {
        if (!(await isPaid(deps.ledger, view, startedAtMs, signal))) unpaid.push(openSlot(view));
      }
      return sum.found(unpaid);
    });
}

interface DayToRead {
  readonly date: string;
  /** By the store's clock; undefined: all of the day. */
  readonly writtenSinceMs: number | undefined;
}

/** The days on which something of what is asked about can have ended. */
async function daysToRead(
  { day, whole, batches }: SpendingQuery,
  { store }: ActivityDeps,
  nowMs: number,
  signal: AbortSignal,
): Promise<DayToRead[]> {
  const oldestMs = nowMs - BATCH_DAYS_MAX * DAY_MS;
  let sinceMs = Number.POSITIVE_INFINITY;
  for (const batch of batches) {
    // Never replaced, so its time is the batch's start. A batch that has none was started by hand.
    const manifest = await store.head(batchManifestKey(batch), { signal });
    sinceMs = Math.min(sinceMs, Math.max(oldestMs, (manifest?.modifiedAtMs ?? oldestMs) - CLOCKS_MS));
  }
  const days: DayToRead[] = [];
  for (let atMs = sinceMs; atMs < nowMs + DAY_MS; atMs += DAY_MS) {
    const date = utcDay(atMs);
    if (date <= utcDay(nowMs + CLOCKS_MS) && !(whole && date === day)) days.push({ date, writtenSinceMs: sinceMs });
  }
  return whole ? [...days, { date: day, writtenSinceMs: undefined }] : days;
}

/** Whether the bill of an open purchase is in the ledger, on a day that its end may have been. */
async function isPaid(ledger: Ledger, { state, extraTasks }: PurchaseView, nowMs: number, signal: AbortSignal) {
  const open = extraTasks.filter(({ ending }) => ending === undefined).map(({ task }) => task);
  const tasks = state.kind === 'claimed' ? [state.task, ...open] : open;
  if (tasks.length === 0) return false;
  const dates = [nowMs - DAY_MS, nowMs, nowMs + CLOCKS_MS].map(utcDay);
  for (const { task_id } of tasks) if (!(await ledger.isPaid(task_id, dates, { signal }))) return false;
  return true;
}

class Sum {
  readonly #question: SpendingQuery;
  readonly #recentMs: number;
  readonly #reserved: ReadonlyMap<string, number>;
  readonly #tenants = new Map<string, Map<string, number>>();
  readonly #batches: Map<string, Map<string, number>>;
  readonly #paid: SpendingReport['paid'][number][] = [];

  constructor(question: SpendingQuery, startedAtMs: number) {
    this.#question = question;
    this.#recentMs = startedAtMs - RECENT_MS;
    this.#reserved = new Map(question.reserved.map(({ key, afterPurchase }) => [key, afterPurchase]));
    this.#batches = new Map(question.batches.map((batch) => [batch, new Map()]));
  }

  add(record: DayRecord, date: string): void {
    const { day, whole } = this.#question;
    const { purchase_key: key, n, tenant, memo } = record;
    if (whole && date === day) addTo(this.#tenants, tenant ?? '', record);
    const batch = batchOf(memo);
    if (batch !== null && this.#batches.has(batch)) addTo(this.#batches, batch, record);
    const afterPurchase = this.#reserved.get(key);
    if ((afterPurchase === undefined || n <= afterPurchase) && record.written_at_ms < this.#recentMs) return;
    const { billed_seconds: seconds, resolution, audio } = record;
    this.#paid.push({ key, n, billed: { day: date, seconds, resolution, audio, tenant, batch } });
  }

  found(open: readonly OpenSlot[]): SpendingReport {
    const { day, whole } = this.#question;
    return {
      day: whole ? { date: day, tenants: plain(this.#tenants) } : null,
      ...{ batches: plain(this.#batches), paid: this.#paid, open },
    };
  }
}

function addTo(sums: Map<string, Map<string, number>>, name: string, record: DayRecord): void {
  const sum = sums.get(name) ?? new Map<string, number>();
  const kind = kindOf(record);
  sums.set(name, sum.set(kind, (sum.get(kind) ?? 0) + record.billed_seconds));
}

const plain = (sums: ReadonlyMap<string, ReadonlyMap<string, number>>): Record<string, SecondsByKind> =>
  Object.fromEntries([...sums].map(([name, sum]) => [name, Object.fromEntries(sum)]));
