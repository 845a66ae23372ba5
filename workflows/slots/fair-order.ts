import type { QueueIdentity, SlotPriority } from '../../src/contract/slots.js';
import type { TurnCounts, Waiter } from './slot-state.js';

const PRIORITIES: readonly SlotPriority[] = ['interactive', 'batch'];

const tenantRotation = (priority: SlotPriority): string => priority;
const batchRotation = (priority: SlotPriority, tenantGroup: string): string => `${priority} ${tenantGroup}`;
/** The name of a tenant or batch as a group; JSON keeps `null` apart from a tenant that is called "null". */
const groupOf = (name: string | null): string => JSON.stringify(name);

/** The two rotations that a request takes part in, and its group there: tenants of a priority, batches of a tenant. */
export function rotationsOf(identity: QueueIdentity): readonly { readonly rotation: string; readonly group: string }[] {
  const { priority, tenant, batch } = identity;
  return [
    { rotation: tenantRotation(priority), group: groupOf(tenant) },
    { rotation: batchRotation(priority, groupOf(tenant)), group: groupOf(batch) },
  ];
}

/** The requests that wait in each batch of a tenant, in the order of requests. */
type Batches = Map<string, Waiter[]>;

/**
 * Takes waiting requests one by one in the order in which slots are granted: interactive requests first, then tenants
 * in turn, a tenant's batches in turn, and within a batch in the order of requests. In each rotation the group with the
 * fewest turns is next. The state that it is made from does not change.
 */
export class FairOrder {
  readonly #waiting = new Map<SlotPriority, Map<string, Batches>>();
  readonly #turns: Map<string, Map<string, number>>;

  constructor(waiters: Iterable<Waiter>, turnCounts: Readonly<Record<string, TurnCounts>>) {
    for (const waiter of waiters) {
      const tenants = getOrAdd(this.#waiting, waiter.priority, () => new Map<string, Batches>());
      const batches = getOrAdd(tenants, groupOf(waiter.tenant), () => new Map<string, Waiter[]>());
      getOrAdd(batches, groupOf(waiter.batch), () => []).push(waiter);
    }
    this.#turns = new Map(
      Object.entries(turnCounts).map(([rotation, counts]) => [rotation, new Map(Object.entries(counts))]),
    );
  }

  /**
   * Takes the next request that is accepted. One that is not keeps its place, costs its group no turn, and blocks
   * nobody.
   */
  next(accepts: (waiter: Waiter) => boolean = () => true): Waiter | undefined {
    for (const priority of PRIORITIES) {
      const tenants = this.#waiting.get(priority) ?? new Map<string, Batches>();
      for (const tenant of this.#inTurn(tenantRotation(priority), tenants, firstSeqOfTenant)) {
        const batches = tenants.get(tenant) ?? new Map<string, Waiter[]>();
        const rotation = batchRotation(priority, tenant);
        for (const batch of this.#inTurn(rotation, batches, firstSeq)) {
          const queue = batches.get(batch) ?? [];
          const at = queue.findIndex(accepts);
          const [waiter] = at < 0 ? [] : queue.splice(at, 1);
          if (waiter === undefined) continue;
          if (queue.length === 0) batches.delete(batch);
          if (batches.size === 0) tenants.delete(tenant);
          this.#recordTurn(tenantRotation(priority), tenant);
          this.#recordTurn(rotation, batch);
          return waiter;
        }
      }
    }
    return undefined;
  }

  /** Takes all requests that are left. */
  takeAll(): Waiter[] {
    const order: Waiter[] = [];
    for (let waiter = this.next(); waiter !== undefined; waiter = this.next()) order.push(waiter);
    return order;
  }

  /** The turns of the groups that still wait, by rotation. */
  turnCounts(): Record<string, TurnCounts> {
    const counts: Record<string, TurnCounts> = {};
    const countIn = (rotation: string, groups: Iterable<string>): void => {
      const turns = this.#turns.get(rotation);
      counts[rotation] = Object.fromEntries([...groups].map((group) => [group, turns?.get(group) ?? 0]));
    };
    for (const [priority, tenants] of this.#waiting) {
      if (tenants.size > 0) countIn(tenantRotation(priority), tenants.keys());
      for (const [tenant, batches] of tenants) countIn(batchRotation(priority, tenant), batches.keys());
    }
    return counts;
  }

  /** The groups of a rotation, the one with the fewest turns first; among equals the one that has waited longest. */
  #inTurn<Group>(rotation: string, groups: ReadonlyMap<string, Group>, firstSeqOf: (group: Group) => number): string[] {
    const turns = this.#turns.get(rotation);
    return [...groups]
      .map(([name, group]) => ({ name, turns: turns?.get(name) ?? 0, seq: firstSeqOf(group) }))
      .sort((a, b) => a.turns - b.turns || a.seq - b.seq)
      .map(({ name }) => name);
  }

  #recordTurn(rotation: string, group: string): void {
    const turns = getOrAdd(this.#turns, rotation, () => new Map<string, number>());
    turns.set(group, (turns.get(group) ?? 0) + 1);
  }
}

const firstSeq = (queue: readonly Waiter[]): number => queue[0]?.seq ?? Number.POSITIVE_INFINITY;
const firstSeqOfTenant = (batches: Batches): number => Math.min(...[...batches.values()].map(firstSeq));

function getOrAdd<Key, Value>(map: Map<Key, Value>, key: Key, create: () => Value): Value {
  const found = map.get(key);
  if (found !== undefined) return found;
  const created = create();
  map.set(key, created);
  return created;
}
