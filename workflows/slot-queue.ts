import type { SlotAsk, SlotPriority, SlotShare, SlotView } from '../src/contract/slots.js';

/** One slot, held or wanted, and the runs that asked for it. */
export interface SlotEntry extends SlotShare {
  readonly key: string;
  readonly after: number;
  /** Workflow ids. Runs of one purchase key share one slot: only one of them buys, and the others follow it. */
  readonly askers: readonly string[];
  /** Milliseconds since the epoch: held, or waiting, since then. */
  readonly sinceMs: number;
}

/** Who waits, in the order of asking. */
export interface Waiter extends SlotEntry {
  readonly seq: number;
}

/**
 * How many turns each group has had; the group with the fewest is next. One that comes anew, or comes back, enters beside the one
 * that has had the most: it neither catches up on what it did not ask for nor gets ahead by staying away.
 */
export type Round = Readonly<Record<string, number>>;

/** Everything that `accountSlots` has to remember; plain JSON. */
export interface SlotState {
  readonly limit: number;
  readonly holders: readonly SlotEntry[];
  readonly waiters: readonly Waiter[];
  /** By priority for tenants, by priority and tenant for batches; only of groups that wait. */
  readonly rounds: Readonly<Record<string, Round>>;
  readonly nextSeq: number;
}

/** A purchase that stands open in the ledger. */
export interface OpenSlot {
  readonly key: string;
  readonly n: number;
  readonly workflowId: string;
  readonly tenant: string | null;
}

export const noSlots = (limit: number): SlotState => ({ limit, holders: [], waiters: [], rounds: {}, nextSeq: 1 });

/** Takes a request; one that is known already keeps its place, or its slot. */
export function asked(state: SlotState, ask: SlotAsk, nowMs: number): SlotState {
  const { key, after, asker, tenant, batch, priority } = ask;
  if (state.holders.some((held) => held.key === key)) {
    return { ...state, holders: state.holders.map((held) => (held.key === key ? joined(held, ask) : held)) };
  }
  const waiting = state.waiters.find((waiter) => waiter.key === key);
  if (waiting !== undefined) {
    const now = joined(waiting, ask);
    return enrolled({ ...state, waiters: state.waiters.map((waiter) => (waiter === waiting ? now : waiter)) }, now);
  }
  const waiter = { key, after, askers: [asker], tenant, batch, priority, sinceMs: nowMs, seq: state.nextSeq };
  return enrolled({ ...state, waiters: [...state.waiters, waiter], nextSeq: state.nextSeq + 1 }, waiter);
}

/** Gives the groups of a waiter their turns, unless they have them. */
function enrolled(state: SlotState, waiter: Waiter): SlotState {
  const rounds = { ...state.rounds };
  for (const { round, group } of groupsOf(waiter)) {
    const turns = rounds[round] ?? {};
    rounds[round] = { ...turns, [group]: turns[group] ?? Math.max(0, ...Object.values(turns)) };
  }
  return { ...state, rounds };
}

function joined<Entry extends SlotEntry>(entry: Entry, { after, asker, tenant, batch, priority }: SlotAsk): Entry {
  return {
    ...entry,
    after: Math.max(entry.after, after),
    askers: entry.askers.includes(asker) ? entry.askers : [...entry.askers, asker],
    // Somebody waits now for what only a batch had wanted.
    ...(priority === 'interactive' && entry.priority === 'batch' && { tenant, batch, priority }),
  };
}

/** Frees the slot of a purchase that is over; a return of one that was over when the slot was asked for changes nothing. */
export function returned(state: SlotState, key: string, n: number): SlotState {
  return { ...state, holders: state.holders.filter((held) => held.key !== key || n <= held.after) };
}

/** Takes a run out; what nobody else asked for is free. */
export function left(state: SlotState, key: string, asker: string): SlotState {
  const without = <Entry extends SlotEntry>(entries: readonly Entry[]): Entry[] =>
    entries
      .map((entry) => (entry.key === key ? { ...entry, askers: entry.askers.filter((one) => one !== asker) } : entry))
      .filter(({ askers }) => askers.length > 0);
  return { ...state, holders: without(state.holders), waiters: without(state.waiters) };
}

/** Counts purchases that stand open in the ledger as held, whatever the limit is: they are at the provider. */
export function takenOver(state: SlotState, open: readonly OpenSlot[], nowMs: number): SlotState {
  const holders = [...state.holders];
  for (const { key, n, workflowId: asker, tenant } of open) {
    if (holders.some((held) => held.key === key)) continue;
    const waiting = state.waiters.find((waiter) => waiter.key === key);
    const share = { tenant, batch: null, priority: 'interactive' } as const;
    holders.push(entryOf({ ...(waiting ?? { key, askers: [asker], ...share }), after: n - 1 }, nowMs));
  }
  return { ...state, holders, waiters: state.waiters.filter(({ key }) => !holders.some((held) => held.key === key)) };
}

/**
 * Grants what is free: interactive requests first, then tenants in turn, a tenant's batches in turn, and within one in the order
 * of asking.
 */
export function granted(state: SlotState, nowMs: number): { readonly state: SlotState; readonly grants: SlotEntry[] } {
  const turns = new Turns(state);
  const grants: SlotEntry[] = [];
  const gone = new Set<Waiter>();
  while (state.holders.length + grants.length < state.limit) {
    const waiter = turns.next();
    if (waiter === undefined) break;
    gone.add(waiter);
    grants.push(entryOf(waiter, nowMs));
  }
  if (grants.length === 0) return { state, grants };
  const waiters = state.waiters.filter((waiter) => !gone.has(waiter));
  return {
    state: { ...state, holders: [...state.holders, ...grants], waiters, rounds: turns.rounds() },
    grants,
  };
}

/** Who waits, in the order in which the slots will be granted if nobody else asks. */
export function inOrder(state: SlotState): Waiter[] {
  const turns = new Turns(state);
  const order: Waiter[] = [];
  for (let waiter = turns.next(); waiter !== undefined; waiter = turns.next()) order.push(waiter);
  return order;
}

/** An entry as people and programs are shown it. */
export const slotView = ({ key, askers, sinceMs, tenant, batch, priority }: SlotEntry): SlotView => ({
  ...{ purchase_key: key, runs: askers, tenant, batch, priority, since_ms: sinceMs },
});

const entryOf = (
  { key, after, askers, tenant, batch, priority }: Omit<SlotEntry, 'sinceMs'>,
  nowMs: number,
): SlotEntry => ({
  ...{ key, after, askers, tenant, batch, priority, sinceMs: nowMs },
});

const PRIORITIES: readonly SlotPriority[] = ['interactive', 'batch'];

/** The two levels at which turns are taken: tenants of a priority, and batches of a tenant. */
function groupsOf({
  priority,
  tenant,
  batch,
}: SlotShare): readonly { readonly round: string; readonly group: string }[] {
  const whose = JSON.stringify(tenant);
  return [
    { round: priority, group: whose },
    { round: `${priority} ${whose}`, group: JSON.stringify(batch) },
  ];
}

type Batches = Map<string, Waiter[]>;

/** Takes one waiter after the other out of a state, which itself stays as it is. */
class Turns {
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

  next(): Waiter | undefined {
    const priority = PRIORITIES.find((one) => this.#waiting.has(one));
    const tenants = priority === undefined ? undefined : this.#waiting.get(priority);
    if (priority === undefined || tenants === undefined) return undefined;
    const tenant = this.#take(priority, tenants, (batches) => Math.min(...[...batches.values()].map(firstSeq)));
    const batches = tenants.get(tenant) ?? new Map<string, Waiter[]>();
    const batch = this.#take(`${priority} ${tenant}`, batches, firstSeq);
    const queue = batches.get(batch) ?? [];
    const waiter = queue.shift();
    if (queue.length === 0) batches.delete(batch);
    if (batches.size === 0) tenants.delete(tenant);
    if (tenants.size === 0) this.#waiting.delete(priority);
    return waiter;
  }

  /** The turns of the groups that still wait. */
  rounds(): Record<string, Round> {
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

  /** The group that has had the fewest turns, and of those the one that has waited longest; it has one more now. */
  #take<Group>(round: string, groups: ReadonlyMap<string, Group>, seqOf: (group: Group) => number): string {
    const turns = at(this.#turns, round, () => new Map<string, number>());
    const [first] = [...groups]
      .map(([group, inside]) => ({ group, turn: turns.get(group) ?? 0, seq: seqOf(inside) }))
      .sort((a, b) => a.turn - b.turn || a.seq - b.seq);
    if (first === undefined) return '';
    turns.set(first.group, first.turn + 1);
    return first.group;
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
