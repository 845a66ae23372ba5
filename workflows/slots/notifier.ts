import type { SlotRequestMessage } from '../../src/contract/slots.js';
import type { Budgets } from './budgets.js';
import { Outbox } from './outbox.js';
import { PlaceNotices } from './place-notices.js';
import { type GrantStep, roomForAnotherPayer } from './slot-queue.js';
import { budgetsOf, payersOf, type Waiter } from './slot-state.js';
import { toPlace } from './slots-view.js';

const NONE_AHEAD = { interactive: 0, batch: 0 };

/** Sends requesters the answers that are due after a step of grants. */
export class Notifier {
  readonly #outbox: Outbox;
  readonly #places: PlaceNotices;
  /** Requesters whose request has not been answered yet. */
  readonly #awaitingReply = new Set<string>();
  /** Requests to share a slot that is held, by runs whose own budget has no room in addition. */
  #pendingShares: SlotRequestMessage[] = [];

  /**
   * @param sentPlaces - By purchase key, the position that its requesters were sent last.
   * @param onUndeliverable - Called when a requester is no longer open.
   */
  constructor(
    sentPlaces: Readonly<Record<string, number>> | undefined,
    onUndeliverable: (requesterId: string, key: string) => void,
  ) {
    this.#places = new PlaceNotices(sentPlaces);
    this.#outbox = new Outbox(onUndeliverable);
  }

  /** Whether every answer has been delivered, or was found undeliverable. */
  get isDone(): boolean {
    return this.#outbox.isEmpty;
  }

  /** The positions that were sent last, of the given keys. */
  sentPlaces(keys: ReadonlySet<string>): Record<string, number> {
    return this.#places.lastSent(keys);
  }

  /** Makes the next step answer a requester, whether its place has changed or not. */
  expectReply(requesterId: string): void {
    this.#awaitingReply.add(requesterId);
  }

  /**
   * Makes the next step answer a request that would share a held slot on a budget without room. Such a run waits
   * without being in the queue: it requests again, and by then finds the video that the others have bought.
   */
  addPendingShare(request: SlotRequestMessage): void {
    this.#pendingShares.push(request);
  }

  /** Sends refusals, grants, and the places that are due. */
  sendAnswers(step: GrantStep, nowMs: number): void {
    const budgets = budgetsOf(step.state, nowMs);
    this.#sendRefusals(step, nowMs);
    this.#answerPendingShares(step, budgets, nowMs);
    this.#sendGrants(step);
    this.#sendPlaces(step, budgets, nowMs);
    this.#awaitingReply.clear();
  }

  #sendRefusals({ state, refusals }: GrantStep, nowMs: number): void {
    for (const { key, afterPurchase, requesterId, reached } of refusals) {
      const waiting = toPlace(state, NONE_AHEAD, nowMs);
      this.#outbox.send(requesterId, { key, afterPurchase, waiting, reached });
    }
  }

  #answerPendingShares({ state }: GrantStep, budgets: Budgets | undefined, nowMs: number): void {
    for (const request of this.#pendingShares.splice(0)) {
      const { key, afterPurchase, requesterId, cost } = request;
      const room = roomForAnotherPayer(state, request, nowMs);
      const blocking = cost === undefined ? undefined : budgets?.blockingBudget(request, cost);
      const waiting = toPlace(state, NONE_AHEAD, nowMs, blocking);
      const reached = typeof room === 'string' ? undefined : room;
      this.#outbox.send(requesterId, { key, afterPurchase, waiting, ...(reached !== undefined && { reached }) });
    }
  }

  #sendGrants({ state, grants }: GrantStep): void {
    const newGrants = new Set(grants);
    for (const held of state.holders) {
      const { key, afterPurchase, requesters } = held;
      const recipients = newGrants.has(held) ? requesters : requesters.filter((id) => this.#awaitingReply.has(id));
      for (const requesterId of recipients) this.#outbox.send(requesterId, { key, afterPurchase, waiting: null });
    }
  }

  #sendPlaces({ state, order }: GrantStep, budgets: Budgets | undefined, nowMs: number): void {
    this.#places.keepOnly(new Set(order.map(({ key }) => key)));
    const isFinal = budgets === undefined || state.spending !== null;
    const ahead = { ...NONE_AHEAD };
    for (const [at, waiter] of order.entries()) {
      const { key, afterPurchase, priority } = waiter;
      const recipients = this.#places.recipients(waiter, at + 1, this.#awaitingReply, isFinal);
      if (recipients.length > 0) {
        const waiting = toPlace(state, ahead, nowMs, blockingBudget(waiter, budgets));
        for (const requesterId of recipients) this.#outbox.send(requesterId, { key, afterPurchase, waiting });
      }
      ahead[priority] += 1;
    }
  }
}

/** The first budget of any payer of a waiting request that has no room for now. */
function blockingBudget(waiter: Waiter, budgets: Budgets | undefined) {
  const { cost } = waiter;
  if (budgets === undefined || cost == null) return undefined;
  return payersOf(waiter)
    .map((payer) => budgets.blockingBudget(payer, cost))
    .find((scope) => scope !== undefined);
}
