import { mapParallel } from '../src/async/map-parallel.js';
import { type Bill, kindOf, type SecondsByName } from '../src/contract/budget.js';
import type { OpenSlot, PaidPurchase, SpendingQuery, SpendingReport } from '../src/contract/slots.js';
import { DAY_MS, utcDay } from '../src/contract/utc.js';
import type { Ledger } from '../src/ledger/ledger.js';
import { openExtraTasks, type PurchaseView } from '../src/ledger/purchase-view.js';
import { type BillFacts, batchOf } from '../src/ledger/records.js';
import { batchManifestKey } from '../src/storage/keys.js';
import type { ActivityDeps } from './deps.js';
import { openSlot } from './slot-holders.js';
import { withSignal } from './with-signal.js';

/**
 * Bills of the latest minutes are reported by purchase even if the query does not name it: the slots may learn of such
 * a purchase by a message that crosses the reading. Such a message is at most minutes old, clock differences included.
 */
const RECENT_MS = 300_000;
/** The bills of a batch are read from its start on; of one that lasts longer, only those of these days. */
const BATCH_DAYS_MAX = 31;
/** Days that are read together, each with up to 32 bills at a time. */
const DAYS_AT_ONCE = 4;
/** Open purchases whose bills are looked for together, on up to three days each. */
const PURCHASES_AT_ONCE = 16;
/** The clocks of the store and of the workers may differ by as much. */
const CLOCK_SKEW_MS = 600_000;

/**
 * Reads from the ledger what was spent on a day and by batches, and which purchases are open. It lists the open ones
 * first: a purchase that ends meanwhile is then seen twice rather than not at all, and its bill says so.
 */
export function createFindSpending(deps: ActivityDeps) {
  return (query: SpendingQuery): Promise<SpendingReport> =>
    withSignal(async (signal) => {
      const startedAtMs = deps.clock.now();
      const { open } = await deps.ledger.listOpen(undefined, { signal });
      const totals = new SpendingTotals(query, startedAtMs);
      const days = await daysToRead(query, deps, startedAtMs, signal);
      const added = mapParallel(days, DAYS_AT_ONCE, async ({ date, writtenSinceMs }) => {
        // A bill that cannot be read counts as what was requested; `cost` and the sweep name it.
        const options = { signal, writtenSinceMs, damaged: [] };
        for await (const bill of deps.ledger.listBills(date, options)) totals.add(bill, date);
      });
      for await (const _ of added);
      const unpaid: OpenSlot[] = [];
      const checked = mapParallel(open, PURCHASES_AT_ONCE, async (view) => {
        const hasBill = await isPaid(deps.ledger, view, startedAtMs, signal);
        return hasBill ? undefined : openSlot(view);
      });
      for await (const slot of checked) if (slot !== undefined) unpaid.push(slot);
      return totals.report(unpaid);
    });
}

interface DayToRead {
  readonly date: string;
  /** By the store's clock; undefined: all of the day. */
  readonly writtenSinceMs: number | undefined;
}

/** The days on which a purchase that the query covers can have ended. */
async function daysToRead(
  { day, wholeDay, batches }: SpendingQuery,
  { store }: ActivityDeps,
  nowMs: number,
  signal: AbortSignal,
): Promise<DayToRead[]> {
  const oldestMs = nowMs - BATCH_DAYS_MAX * DAY_MS;
  let sinceMs = Number.POSITIVE_INFINITY;
  const manifests = mapParallel(batches, PURCHASES_AT_ONCE, (batch) => store.head(batchManifestKey(batch), { signal }));
  // A manifest is never replaced, so its time is the batch's start. A batch without one was started by hand.
  for await (const manifest of manifests) {
    sinceMs = Math.min(sinceMs, Math.max(oldestMs, (manifest?.modifiedAtMs ?? oldestMs) - CLOCK_SKEW_MS));
  }
  const days: DayToRead[] = [];
  for (let atMs = sinceMs; atMs < nowMs + DAY_MS; atMs += DAY_MS) {
    const date = utcDay(atMs);
    const isInFuture = date > utcDay(nowMs + CLOCK_SKEW_MS);
    if (!isInFuture && !(wholeDay && date === day)) days.push({ date, writtenSinceMs: sinceMs });
  }
  return wholeDay ? [...days, { date: day, writtenSinceMs: undefined }] : days;
}

/** Whether the ledger has the bill of an open purchase, on a day on which it may have ended. */
async function isPaid(ledger: Ledger, view: PurchaseView, nowMs: number, signal: AbortSignal) {
  const { state } = view;
  const tasks = [...(state.kind === 'claimed' ? [state.task] : []), ...openExtraTasks(view)];
  if (tasks.length === 0) return false;
  const dates = [nowMs - DAY_MS, nowMs, nowMs + CLOCK_SKEW_MS].map(utcDay);
  for (const { task_id } of tasks) if (!(await ledger.hasBill(task_id, dates, { signal }))) return false;
  return true;
}

/** Billed seconds by name and by kind, while they are added up. */
type Totals = Map<string, Map<string, number>>;

/** Adds up day records into the report that a query asks for. */
class SpendingTotals {
  readonly #query: SpendingQuery;
  readonly #recentSinceMs: number;
  readonly #reserved: ReadonlyMap<string, number>;
  readonly #tenants: Totals = new Map();
  readonly #batches: Totals;
  readonly #paid: PaidPurchase[] = [];

  constructor(query: SpendingQuery, startedAtMs: number) {
    this.#query = query;
    this.#recentSinceMs = startedAtMs - RECENT_MS;
    this.#reserved = new Map(query.reserved.map(({ key, afterPurchase }) => [key, afterPurchase]));
    this.#batches = new Map(query.batches.map((batch) => [batch, new Map()]));
  }

  add(record: BillFacts, date: string): void {
    const { day, wholeDay } = this.#query;
    const { purchase_key: key, n, tenant, memo, billed_seconds: seconds, resolution, audio } = record;
    const batch = batchOf(memo);
    const bill: Bill = { day: date, seconds, resolution, audio, tenant, batch };
    if (wholeDay && date === day) addTo(this.#tenants, tenant ?? '', bill);
    if (batch !== null && this.#batches.has(batch)) addTo(this.#batches, batch, bill);
    const afterPurchase = this.#reserved.get(key);
    const isReserved = afterPurchase !== undefined && n > afterPurchase;
    if (isReserved || record.written_at_ms >= this.#recentSinceMs) this.#paid.push({ key, n, bill });
  }

  report(open: readonly OpenSlot[]): SpendingReport {
    const { day, wholeDay } = this.#query;
    return {
      day: wholeDay ? { date: day, tenants: recordOf(this.#tenants) } : null,
      batches: recordOf(this.#batches),
      paid: this.#paid,
      open,
    };
  }
}

function addTo(totals: Totals, name: string, bill: Bill): void {
  const total = totals.get(name) ?? new Map<string, number>();
  const kind = kindOf(bill);
  totals.set(name, total.set(kind, (total.get(kind) ?? 0) + bill.seconds));
}

const recordOf = (totals: Totals): SecondsByName =>
  Object.fromEntries([...totals].map(([name, total]) => [name, Object.fromEntries(total)]));
