import { type Billable, kindOf, type Payer } from '../../src/contract/budget.js';
import type { QueueIdentity, SlotPriority } from '../../src/contract/slots.js';
import { Batch, Lane, Line, rankBatch, Tenant } from './queue-groups.js';
import { payersOf, type Waiter } from './slot-entry.js';

const PRIORITIES: readonly SlotPriority[] = ['interactive', 'batch'];

/** A week of five slots that render for a minute each; a request beyond is asked to come again later. */
const REQUESTS_MAX = 60_000;
/** Such a queue is handed on in some ten pages of a megabyte. */
const ID_LENGTH_MAX = 12_000_000;

/** The turns that a batch and its tenant have had. */
export interface GroupTurns extends QueueIdentity {
  readonly tenantTurns: number;
  readonly batchTurns: number;
}

/** Requests of one batch with equal price and payers. */
export interface AlikeRequests {
  readonly first: Waiter;
  readonly all: () => readonly Waiter[];
}

/**
 * The requests that wait, and whose turn is next: interactive requests first, then tenants in turn, a tenant's batches
 * in turn, and within a batch in the order of requests. In each rotation the group with the fewest turns is next. A
 * group that comes new, or comes back, starts with as many turns as the one that has had the most: it neither catches
 * up on turns before its request nor gets ahead by staying away.
 *
 * Heaps hold each rotation, so a request, a withdrawal and a grant cost a logarithm of what waits.
 */
export class WaitingQueue {
  readonly #lines: Readonly<Record<SlotPriority, Line>> = { interactive: new Line(), batch: new Line() };
  /** In the order of requests. */
  readonly #byKey = new Map<string, Waiter>();
  readonly #batchesByName = new Map<string | null, Set<Batch>>();
  readonly #prices = new Map<string, { readonly cost: Billable; count: number }>();
  /** Groups of which nothing waits; the next grant forgets their turns. */
  readonly #emptied = new Set<Batch>();
  readonly #sharedLanes = new Set<Lane>();
  #nextSeq = 1;
  #batchesVersion = 0;
  /** Characters of the ids, which is nearly all that a request takes. */
  #idLength = 0;

  get size(): number {
    return this.#byKey.size;
  }

  /** Whether there are as many requests as one run of the workflow can hand on to the next. */
  get isFull(): boolean {
    return this.size >= REQUESTS_MAX || this.#idLength >= ID_LENGTH_MAX;
  }

  sizeOf(priority: SlotPriority): number {
    return this.#lines[priority].size;
  }

  get(key: string): Waiter | undefined {
    return this.#byKey.get(key);
  }

  /** The requests that wait, in the order of requests. */
  values(): Iterable<Waiter> {
    return this.#byKey.values();
  }

  /** Adds a request at the end of its batch. */
  add(entry: Omit<Waiter, 'seq'>): Waiter {
    const waiter = { ...entry, seq: this.#nextSeq };
    this.restore(waiter);
    return waiter;
  }

  /** Adds a request that another run of the workflow has handed on; in the order of requests. */
  restore(waiter: Waiter): void {
    this.#nextSeq = Math.max(this.#nextSeq, waiter.seq + 1);
    this.#byKey.set(waiter.key, waiter);
    this.#insert(waiter);
  }

  /** Replaces a request by one with the same key and place; its group, price or payers may differ. */
  replace(before: Waiter, waiter: Waiter): void {
    this.#take(before);
    this.#byKey.set(waiter.key, waiter); // keeps its place in the map
    this.#insert(waiter);
  }

  remove(waiter: Waiter): void {
    this.#take(waiter);
    this.#byKey.delete(waiter.key);
  }

  /**
   * Finds the next request that is accepted. One that is not keeps its place, costs its group no turn, and blocks
   * nobody.
   * @param accepts - Answers alike for requests of one batch with equal price and payers.
   */
  next(accepts?: (waiter: Waiter) => boolean): Waiter | undefined {
    const ofLane = (lane: Lane): Waiter | undefined => {
      const waiter = lane.waiters[lane.head] as Waiter;
      return accepts === undefined || accepts(waiter) ? waiter : undefined;
    };
    for (const priority of PRIORITIES) {
      const found = this.#lines[priority].inTurn.find((tenant) =>
        tenant.inTurn.find((batch) => batch.inOrder.find(ofLane)),
      );
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** Takes a request whose turn it is out of the queue, and counts the turn. */
  grant(waiter: Waiter): void {
    const batch = this.#batchOf(waiter);
    this.remove(waiter);
    this.#recount(batch, () => {
      batch.turns += 1;
      batch.tenant.turns += 1;
    });
  }

  /** Forgets the turns of groups of which nothing waits. */
  forgetEmptyGroups(): void {
    for (const batch of this.#emptied) {
      const { tenant } = batch;
      tenant.batches.delete(batch.name);
      tenant.tally.remove(batch);
      const named = this.#batchesByName.get(batch.name);
      named?.delete(batch);
      if (named?.size === 0) this.#batchesByName.delete(batch.name);
      if (tenant.batches.size > 0) continue;
      tenant.line.tenants.delete(tenant.name);
      tenant.line.tally.remove(tenant);
    }
    this.#emptied.clear();
  }

  /** The first requests in the order of grants; they keep waiting. */
  first(count: number): Waiter[] {
    const taken: { readonly waiter: Waiter; readonly lane: Lane }[] = [];
    for (const priority of PRIORITIES) {
      const { inTurn } = this.#lines[priority];
      for (let tenant = inTurn.first; tenant !== undefined && taken.length < count; tenant = inTurn.first) {
        const batch = tenant.inTurn.first as Batch;
        const lane = batch.inOrder.first as Lane;
        taken.push({ lane, waiter: lane.waiters[lane.head] as Waiter });
        this.#step(lane, 1);
      }
    }
    const first = taken.map(({ waiter }) => waiter);
    for (const { lane } of taken.reverse()) this.#step(lane, -1);
    return first;
  }

  /**
   * How many requests of its priority are granted a slot before a given one. Among groups with equally many turns the
   * older is counted as first, which is exact for the newest request.
   */
  countAhead(waiter: Waiter): number {
    const batch = this.#batchOf(waiter);
    const { tenant } = batch;
    let inBatch = 0;
    for (const lane of batch.lanes.values()) inBatch += lane.placeOf(waiter.seq) - lane.head;
    const inTenant = tenant.tally.takenBefore(batch.turns + inBatch + 1) - 1;
    return tenant.line.tally.takenBefore(tenant.turns + inTenant + 1) - 1;
  }

  /** The turns of every group that waits; they are handed on to the next run of the workflow. */
  *groups(): Iterable<GroupTurns> {
    for (const priority of PRIORITIES) {
      for (const tenant of this.#lines[priority].tenants.values()) {
        for (const batch of tenant.batches.values()) {
          if (batch.size === 0) continue;
          const [tenantTurns, batchTurns] = [tenant.turns, batch.turns];
          yield { priority, tenant: tenant.name, batch: batch.name, tenantTurns, batchTurns };
        }
      }
    }
  }

  /** Sets the turns of a group that waits. */
  setTurns({ priority, tenant: tenantName, batch: batchName, tenantTurns, batchTurns }: GroupTurns): void {
    const batch = this.#lines[priority].tenants.get(tenantName)?.batches.get(batchName);
    if (batch === undefined) return;
    this.#recount(batch, () => {
      batch.turns = batchTurns;
      batch.tenant.turns = tenantTurns;
    });
  }

  /** Changes when a payer of another batch comes. */
  get batchesVersion(): number {
    return this.#batchesVersion;
  }

  /** Payers of all batches that wait, each batch at least once. */
  *batchPayers(): Iterable<Payer> {
    for (const batch of this.#batchesByName.keys()) yield { tenant: null, batch };
    for (const lane of this.#sharedLanes)
      for (const waiter of lane.waiters.slice(lane.head, lane.head + 1)) yield* payersOf(waiter);
  }

  /** Whether a test holds for a price of any request that waits. */
  somePrice(test: (cost: Billable) => boolean): boolean {
    for (const { cost } of this.#prices.values()) if (test(cost)) return true;
    return false;
  }

  /** Whether every request that waits has a price, and a test holds for each of the prices. */
  everyPrice(test: (cost: Billable) => boolean): boolean {
    let priced = 0;
    for (const { cost, count } of this.#prices.values()) {
      if (!test(cost)) return false;
      priced += count;
    }
    return priced === this.size;
  }

  /**
   * The requests in sets that budgets treat alike: of some tenants and batches, and all that several payers share; or
   * all.
   */
  *alike(of?: {
    readonly tenants: ReadonlySet<string | null>;
    readonly batches: ReadonlySet<string | null>;
  }): Iterable<AlikeRequests> {
    for (const lane of of === undefined ? this.#lanes() : this.#lanesOf(of.tenants, of.batches)) {
      const first = lane.waiters[lane.head];
      if (first !== undefined) yield { first, all: () => lane.waiters.slice(lane.head) };
    }
  }

  *#lanes(): Iterable<Lane> {
    for (const line of Object.values(this.#lines))
      for (const tenant of line.tenants.values())
        for (const batch of tenant.batches.values()) yield* [...batch.lanes.values()];
  }

  #lanesOf(tenants: ReadonlySet<string | null>, batches: ReadonlySet<string | null>): Set<Lane> {
    const lanes = new Set(this.#sharedLanes);
    const add = (found: Iterable<Batch>): void => {
      for (const batch of found) for (const lane of batch.lanes.values()) lanes.add(lane);
    };
    for (const line of Object.values(this.#lines))
      for (const name of tenants) add(line.tenants.get(name)?.batches.values() ?? []);
    for (const name of batches) add(this.#batchesByName.get(name) ?? []);
    return lanes;
  }

  #insert(waiter: Waiter): void {
    const batch = this.#enter(waiter);
    const lane = this.#laneOf(batch, waiter);
    lane.waiters.splice(lane.placeOf(waiter.seq), 0, waiter);
    this.#recount(batch, () => this.#resize(batch, 1));
    this.#rank(lane);
    this.#emptied.delete(batch);
    this.#countIds(waiter, 1);
    this.#countPrice(waiter, 1);
  }

  #take(waiter: Waiter): void {
    const batch = this.#batchOf(waiter);
    const lane = batch.lanes.get(laneKeyOf(waiter)) as Lane;
    const at = lane.placeOf(waiter.seq);
    if (at === lane.head) lane.head += 1;
    else lane.waiters.splice(at, 1);
    lane.compact();
    this.#recount(batch, () => this.#resize(batch, -1));
    this.#rank(lane);
    if (lane.size === 0) {
      batch.lanes.delete(lane.key);
      this.#sharedLanes.delete(lane);
    }
    if (batch.size === 0) this.#emptied.add(batch);
    this.#countIds(waiter, -1);
    this.#countPrice(waiter, -1);
  }

  #batchOf({ priority, tenant, batch }: QueueIdentity): Batch {
    return this.#lines[priority].tenants.get(tenant)?.batches.get(batch) as Batch;
  }

  /** The group of a request, counted in its rotations. */
  #enter({ priority, tenant: tenantName, batch: batchName }: QueueIdentity): Batch {
    const line = this.#lines[priority];
    let tenant = line.tenants.get(tenantName);
    if (tenant === undefined) {
      tenant = new Tenant(tenantName, line);
      line.tenants.set(tenantName, tenant);
      line.tally.add(tenant);
    }
    let batch = tenant.batches.get(batchName);
    if (batch === undefined) {
      batch = new Batch(batchName, tenant);
      tenant.batches.set(batchName, batch);
      tenant.tally.add(batch);
      const named = this.#batchesByName.get(batchName) ?? new Set();
      if (named.size === 0) this.#batchesVersion += 1;
      this.#batchesByName.set(batchName, named.add(batch));
    }
    return batch;
  }

  #laneOf(batch: Batch, waiter: Waiter): Lane {
    const key = laneKeyOf(waiter);
    const found = batch.lanes.get(key);
    if (found !== undefined) return found;
    const lane = new Lane(key, batch);
    batch.lanes.set(key, lane);
    if (waiter.payers !== undefined) {
      this.#sharedLanes.add(lane);
      this.#batchesVersion += 1;
    }
    return lane;
  }

  /** Changes turns or size of a batch and its tenant, which their tallies count. */
  #recount(batch: Batch, change: () => void): void {
    const { tenant } = batch;
    tenant.tally.remove(batch);
    tenant.line.tally.remove(tenant);
    change();
    tenant.tally.add(batch);
    tenant.line.tally.add(tenant);
    rankBatch(batch);
  }

  #resize(batch: Batch, by: number): void {
    batch.size += by;
    batch.tenant.size += by;
    batch.tenant.line.size += by;
  }

  #rank(lane: Lane): void {
    if (lane.size > 0) lane.batch.inOrder.set(lane);
    else lane.batch.inOrder.delete(lane);
    rankBatch(lane.batch);
  }

  /** Takes the first request of a lane as a grant would, or puts it back; nothing but the order changes. */
  #step(lane: Lane, by: 1 | -1): void {
    const { batch } = lane;
    lane.head += by;
    batch.turns += by;
    batch.tenant.turns += by;
    this.#rank(lane);
  }

  #countIds({ key, requesters }: Waiter, by: 1 | -1): void {
    this.#idLength += by * requesters.reduce((length, id) => length + id.length, key.length);
  }

  #countPrice({ cost }: Waiter, by: number): void {
    if (cost == null) return;
    const kind = priceKeyOf(cost);
    const count = (this.#prices.get(kind)?.count ?? 0) + by;
    if (count === 0) this.#prices.delete(kind);
    else this.#prices.set(kind, { cost, count });
  }
}

const priceKeyOf = (cost: Billable): string => `${cost.seconds} ${kindOf(cost)}`;

function laneKeyOf(waiter: Waiter): string {
  const { cost, payers } = waiter;
  const price = cost == null ? '' : priceKeyOf(cost);
  return payers === undefined ? price : JSON.stringify([price, payersOf(waiter)]);
}
