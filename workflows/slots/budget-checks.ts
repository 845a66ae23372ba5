import type { Bill, BudgetTerms } from '../../src/contract/budget.js';
import { utcDay } from '../../src/contract/utc.js';
import type { Budgets, Spending } from './budgets.js';
import type { AlikeRequests, WaitingQueue } from './waiting-queue.js';

/** What the requests were compared with. */
interface Compared {
  readonly budget: BudgetTerms | null;
  readonly spending: Spending | null;
  readonly day: string;
}

/**
 * Knows which of the waiting requests may have lost their room: those that are new, and those whose budget was charged
 * since. After anything else that concerns money, all of them are compared again.
 */
export class BudgetChecks {
  readonly #requests = new Set<string>();
  readonly #tenants = new Set<string | null>();
  readonly #batches = new Set<string | null>();
  #compared: Compared | undefined;

  /** Notes that a request is new, or has changed. */
  addRequest(key: string): void {
    this.#requests.add(key);
  }

  /** Notes a bill, which is all by which the spending before differs from that after it. */
  addBill(before: Spending, { tenant, batch }: Bill, after: Spending): void {
    if (this.#compared?.spending !== before) return;
    this.#compared = { ...this.#compared, spending: after };
    this.#tenants.add(tenant);
    this.#batches.add(batch);
  }

  /** Makes all requests be compared again. */
  compareAll(): void {
    this.#compared = undefined;
  }

  /** Takes the requests that are to be compared. */
  takeDue(
    queue: WaitingQueue,
    { budget, spending }: Pick<Compared, 'budget' | 'spending'>,
    budgets: Budgets,
    nowMs: number,
  ): AlikeRequests[] {
    const now: Compared = { budget, spending, day: utcDay(nowMs) };
    const before = this.#compared;
    const isKnown = before?.budget === budget && before.spending === spending && before.day === now.day;
    // The day's budget concerns every request, so its charges are compared price by price.
    const isEach = !isKnown || (this.#tenants.size > 0 && queue.somePrice((cost) => budgets.isDayUsedUp(cost).forGood));
    const of = { tenants: new Set(this.#tenants), batches: new Set(this.#batches) };
    const changed = [...this.#requests].flatMap((key) => {
      const first = queue.get(key);
      // It may be of a set before this one, too, and refused by then: what is compared is what waits at that moment.
      return first === undefined ? [] : { first, all: () => [queue.get(key)].filter((one) => one !== undefined) };
    });
    this.#compared = now;
    for (const noted of [this.#requests, this.#tenants, this.#batches]) noted.clear();
    if (isEach) return [...queue.alike()];
    return of.tenants.size === 0 ? changed : [...queue.alike(of), ...changed];
  }
}
