import type { SlotPriority, SlotRequestMessage } from '../../src/contract/slots.js';

/** A request of the plain queue. */
export interface PlainWaiter extends Pick<SlotRequestMessage, 'key' | 'tenant' | 'batch' | 'priority'> {
  readonly seq: number;
}

type Turns = Record<string, Record<string, number>>;

const PRIORITIES: readonly SlotPriority[] = ['interactive', 'batch'];
const tenantOf = ({ tenant }: PlainWaiter): string => JSON.stringify(tenant);
const batchOf = ({ batch }: PlainWaiter): string => JSON.stringify(batch);
const rotationOf = (waiter: PlainWaiter): string => `${waiter.priority} ${tenantOf(waiter)}`;

/** The order of grants as its definition says it, with lists that are sorted for each grant. */
export class PlainQueue {
  waiters: PlainWaiter[] = [];
  #turns: Turns = {};
  #seq = 1;

  add(waiter: Omit<PlainWaiter, 'seq'>): void {
    this.#insert({ ...waiter, seq: this.#seq++ });
  }

  /** Moves a request to another group; it keeps its place in the order of requests. */
  move(key: string, to: Pick<PlainWaiter, 'tenant' | 'batch' | 'priority'>): void {
    const waiter = this.waiters.find((one) => one.key === key);
    if (waiter === undefined) return;
    this.remove(key);
    this.#insert({ ...waiter, ...to });
  }

  remove(key: string): void {
    this.waiters = this.waiters.filter((one) => one.key !== key);
  }

  grant(accepts: (waiter: PlainWaiter) => boolean = () => true): PlainWaiter | undefined {
    const waiter = this.#next(accepts);
    if (waiter === undefined) return undefined;
    this.remove(waiter.key);
    this.#count(waiter.priority, tenantOf(waiter));
    this.#count(rotationOf(waiter), batchOf(waiter));
    this.forgetEmptyGroups();
    return waiter;
  }

  /** All that wait, in the order of grants. */
  order(): PlainWaiter[] {
    const copy = new PlainQueue();
    copy.waiters = [...this.waiters];
    copy.#turns = structuredClone(this.#turns);
    const order: PlainWaiter[] = [];
    for (let one = copy.grant(); one !== undefined; one = copy.grant()) order.push(one);
    return order;
  }

  #insert(waiter: PlainWaiter): void {
    this.waiters = [...this.waiters, waiter].sort((a, b) => a.seq - b.seq);
    for (const [rotation, group] of [
      [waiter.priority, tenantOf(waiter)],
      [rotationOf(waiter), batchOf(waiter)],
    ] as const) {
      const turns = this.#turns[rotation] ?? {};
      this.#turns[rotation] = { ...turns, [group]: turns[group] ?? Math.max(0, ...Object.values(turns)) };
    }
  }

  #next(accepts: (waiter: PlainWaiter) => boolean): PlainWaiter | undefined {
    for (const priority of PRIORITIES) {
      const line = this.waiters.filter((waiter) => waiter.priority === priority);
      for (const ofTenant of this.#inTurn(priority, line, tenantOf)) {
        for (const ofBatch of this.#inTurn(rotationOf(ofTenant[0]!), ofTenant, batchOf)) {
          const found = ofBatch.find(accepts);
          if (found !== undefined) return found;
        }
      }
    }
    return undefined;
  }

  #inTurn(rotation: string, waiters: PlainWaiter[], groupOf: (waiter: PlainWaiter) => string): PlainWaiter[][] {
    const groups = new Map<string, PlainWaiter[]>();
    for (const waiter of waiters) groups.set(groupOf(waiter), [...(groups.get(groupOf(waiter)) ?? []), waiter]);
    const turns = this.#turns[rotation] ?? {};
    return [...groups]
      .sort(([a, [first]], [b, [second]]) => (turns[a] ?? 0) - (turns[b] ?? 0) || first!.seq - second!.seq)
      .map(([, group]) => group);
  }

  #count(rotation: string, group: string): void {
    const turns = this.#turns[rotation] ?? {};
    this.#turns[rotation] = { ...turns, [group]: (turns[group] ?? 0) + 1 };
  }

  forgetEmptyGroups(): void {
    const groups = new Set(
      this.waiters.flatMap((one) => [`${one.priority}/${tenantOf(one)}`, `${rotationOf(one)}/${batchOf(one)}`]),
    );
    this.#turns = Object.fromEntries(
      Object.entries(this.#turns).map(([rotation, turns]) => [
        rotation,
        Object.fromEntries(Object.entries(turns).filter(([group]) => groups.has(`${rotation}/${group}`))),
      ]),
    );
  }
}
