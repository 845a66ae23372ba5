import type { QueueIdentity, SlotPriority } from '../../src/contract/slots.js';
import type { SlotState, Waiter } from './slot-queue.js';

/**
 * How many turns each group has had; the group with the fewest is next. One that comes anew, or comes back, enters beside the one
 * that has had the most: it neither catches up on what it did not ask for nor gets ahead by staying away.
 */
export type TurnCounts = Readonly<Record<string, number>>;

const PRIORITIES: readonly SlotPriority[] = ['interactive', 'batch'];

/** The two levels at which turns are taken: tenants of a priority, and batches of a tenant. */
export function groupsOf({
  priority,
  tenant,
  batch,
}: QueueIdentity): readonly { readonly round: string; readonly group: string }[] {
  const whose = JSON.stringify(tenant);
  return [
    { round: priority, group: whose },
    { round: `${priority} ${whose}`, group: JSON.stringify(batch) },
  ];
}

type Batches = Map<string, Waiter[]>;

/**
 * Takes one waiter after the other out of a state, which itself stays as it is: interactive requests first, then tenants in turn, a tenant's
 * batches in turn, and within one in the order of asking.
 */
export class FairOrder {
  readonly #waiting = new Map<SlotPriority, Map<string, Batches>>();
  readonly #turns: Map<string, Map<string, number>>;

  constructor({ waiters, rounds }: SlotState) {
    for (const waiter of waiters) {
      const tenants = at(this.#waiting, waiter.priority, () => new Map<string, Batches>());
      const batches = at(tenants, JSON.stringify(waiter.tenant), () => new Map<string, Waiter[]>());
      at(batches, JSON.stringify(waiter.batch), () => []).push(waiter);
    }
    this.#turns = new Map(Object.entries(rounds).map(([round, turns]) => [round, new Map(Object.entries(turns))]));
  }

  /** The next one that is accepted; groups without any lose no turn, and nobody is held up by one that is not. */
  next(accepts: (waiter: Waiter) => boolean = () => true): Waiter | undefined {
    for (const priority of PRIORITIES) {
      const tenants = this.#waiting.get(priority);
      if (tenants === undefined) continue;
      const seqOf = (batches: Batches) => Math.min(...[...batches.values()].map(firstSeq));
      for (const tenant of this.#inTurn(priority, tenants, seqOf)) {
        const batches = tenants.get(tenant) ?? new Map<string, Waiter[]>();
        for (const batch of this.#inTurn(`${priority} ${tenant}`, batches, firstSeq)) {
          const queue = batches.get(batch) ?? [];
          const at = queue.findIndex(accepts);
          const [waiter] = at < 0 ? [] : queue.splice(at, 1);
          if (waiter === undefined) continue;
          if (queue.length === 0) batches.delete(batch);
          if (batches.size === 0) tenants.delete(tenant);
          if (tenants.size === 0) this.#waiting.delete(priority);
          this.#had(priority, tenant);
          this.#had(`${priority} ${tenant}`, batch);
          return waiter;
        }
      }
    }
    return undefined;
  }

  /** The turns of the groups that still wait. */
  rounds(): Record<string, TurnCounts> {
    const rounds: Record<string, Record<string, number>> = {};
    for (const tenants of this.#waiting.values()) {
      for (const batches of tenants.values()) {
        for (const [waiter] of batches.values()) {
          for (const { round, group } of waiter === undefined ? [] : groupsOf(waiter)) {
            rounds[round] = { ...rounds[round], [group]: this.#turns.get(round)?.get(group) ?? 0 };
          }
        }
      }
    }
    return rounds;
  }

  /** The groups of a round, those that have had the fewest turns first, and of those the one that has waited longest. */
  #inTurn<Group>(round: string, groups: ReadonlyMap<string, Group>, seqOf: (group: Group) => number): string[] {
    const turns = this.#turns.get(round);
    return [...groups]
      .map(([group, inside]) => ({ group, turn: turns?.get(group) ?? 0, seq: seqOf(inside) }))
      .sort((a, b) => a.turn - b.turn || a.seq - b.seq)
      .map(({ group }) => group);
  }

  #had(round: string, group: string): void {
    const turns = at(this.#turns, round, () => new Map<string, number>());
    turns.set(group, (turns.get(group) ?? 0) + 1);
  }
}

const firstSeq = (queue: readonly Waiter[]): number => queue[0]?.seq ?? Number.POSITIVE_INFINITY;

function at<Key, Value>(map: Map<Key, Value>, key: Key, make: () => Value): Value {
  const found = map.get(key);
  if (found !== undefined) return found;
  const made = make();
  map.set(key, made);
  return made;
}
