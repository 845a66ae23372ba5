import { IndexedHeap } from './indexed-heap.js';
import type { Waiter } from './slot-entry.js';
import { TurnTally } from './turn-tally.js';

// The groups that take turns: priorities, their tenants, the tenants' batches, and in a batch lanes of equal requests.

/** What the order compares: the fewest turns first; among equals the one that has waited longest. */
interface Ranked {
  turns: number;
  /** Sequence number of its first request. */
  firstSeq: number;
}
const isBefore = (a: Ranked, b: Ranked): boolean =>
  a.turns < b.turns || (a.turns === b.turns && a.firstSeq < b.firstSeq);
const isOlder = (a: Ranked, b: Ranked): boolean => a.firstSeq < b.firstSeq;

/** Requests of one batch that budgets treat alike, because price and payers are equal; in the order of requests. */
export class Lane implements Ranked {
  readonly key: string;
  readonly batch: Batch;
  readonly turns = 0;
  readonly waiters: Waiter[] = [];
  /** Where the first one that still waits is. */
  head = 0;

  constructor(key: string, batch: Batch) {
    this.key = key;
    this.batch = batch;
  }

  get firstSeq(): number {
    return this.waiters[this.head]?.seq ?? Number.POSITIVE_INFINITY;
  }

  get size(): number {
    return this.waiters.length - this.head;
  }

  /** Where the request with a sequence number is, or would be. */
  placeOf(seq: number): number {
    let [low, high] = [this.head, this.waiters.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.waiters[middle] as Waiter).seq < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Drops the requests that were taken, once they are as many as those that wait. */
  compact(): void {
    if (this.head <= this.size) return;
    this.waiters.splice(0, this.head);
    this.head = 0;
  }
}

/** The requests of one batch of a tenant. */
export class Batch implements Ranked {
  readonly name: string | null;
  readonly tenant: Tenant;
  readonly lanes = new Map<string, Lane>();
  readonly inOrder = new IndexedHeap<Lane>(isOlder);
  turns: number;
  firstSeq = Number.POSITIVE_INFINITY;
  size = 0;

  constructor(name: string | null, tenant: Tenant) {
    this.name = name;
    this.tenant = tenant;
    this.turns = tenant.tally.most;
  }
}

/** The requests of one tenant and priority. */
export class Tenant implements Ranked {
  readonly name: string | null;
  readonly line: Line;
  readonly batches = new Map<string | null, Batch>();
  readonly inTurn = new IndexedHeap<Batch>(isBefore);
  readonly byAge = new IndexedHeap<Batch>(isOlder);
  readonly tally = new TurnTally();
  turns: number;
  firstSeq = Number.POSITIVE_INFINITY;
  size = 0;

  constructor(name: string | null, line: Line) {
    this.name = name;
    this.line = line;
    this.turns = line.tally.most;
  }
}

/** The requests of one priority. */
export class Line {
  readonly tenants = new Map<string | null, Tenant>();
  readonly inTurn = new IndexedHeap<Tenant>(isBefore);
  readonly tally = new TurnTally();
  size = 0;
}

/** Moves a batch and its tenant to where their turns and their first requests put them. */
export function rankBatch(batch: Batch): void {
  const { tenant } = batch;
  batch.firstSeq = batch.inOrder.first?.firstSeq ?? Number.POSITIVE_INFINITY;
  if (batch.inOrder.first === undefined) {
    tenant.inTurn.delete(batch);
    tenant.byAge.delete(batch);
  } else {
    tenant.inTurn.set(batch);
    tenant.byAge.set(batch);
  }
  tenant.firstSeq = tenant.byAge.first?.firstSeq ?? Number.POSITIVE_INFINITY;
  if (tenant.byAge.first === undefined) tenant.line.inTurn.delete(tenant);
  else tenant.line.inTurn.set(tenant);
}
