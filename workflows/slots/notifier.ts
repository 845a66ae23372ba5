import type { SlotAnswer, SlotRequestMessage } from '../../src/contract/slots.js';
import type { Budgets } from './budgets.js';
import { type DueAnswer, idOf, type RequestRef } from './due-answers.js';
import { Outbox } from './outbox.js';
import { payersOf, type Waiter } from './slot-entry.js';
import { type GrantStep, roomForAnotherPayer } from './slot-queue.js';
import { budgetsOf, type SlotState } from './slot-state.js';
import { aheadOf, toPlace } from './slots-view.js';
import type { WaitingQueue } from './waiting-queue.js';

/** The first requests of the queue are compared with what they were sent at each step. */
const NEAR = 64;
/** The places further back are compared at most this many steps late. */
const FAR_STEPS_MAX = 65_536;

/** Answers to requests that are not in the queue that are handed on to the next run; each has some 400 bytes. */
const REPEATABLE_MAX = 500;

/** Sends requesters the answers that are due after a step of grants. */
export class Notifier {
  readonly #outbox: Outbox;
  /** Requests to share a slot that is held, by runs whose own budget has no room in addition. */
  readonly #pendingShares: SlotRequestMessage[] = [];
  /** Requests whose requester awaits a reply, and the requester. */
  readonly #awaitingReply: DueAnswer[] = [];
  /** Answers of the next step that are returned to their requester instead of sent, by request. */
  readonly #direct = new Map<string, SlotAnswer | undefined>();
  /** Requests by a signal since the last step. */
  readonly #signalled = new Set<string>();
  readonly #stateNow: () => SlotState;
  /** Places of the first requests as of the latest step. */
  #near = new Map<string, number>();
  #steps = 0;

  /**
   * @param due - Answers that the previous run of the workflow has not sent.
   * @param onUndeliverable - Called when a requester is no longer open.
   */
  constructor(
    stateNow: () => SlotState,
    due: readonly DueAnswer[] | undefined,
    onUndeliverable: (requesterId: string, key: string) => void,
  ) {
    this.#stateNow = stateNow;
    this.#outbox = new Outbox(
      {
        answerNow: (one) => this.#answerNow(one),
        undeliverable: ({ requesterId, key }) => onUndeliverable(requesterId, key),
      },
      due,
    );
  }

  /** Whether no answer is on its way. */
  get isDelivered(): boolean {
    return this.#outbox.isDelivered;
  }

  /** Whether answers are held back. */
  get isHeld(): boolean {
    return this.#outbox.isHeld;
  }

  /** How many grants and refusals wait to be sent. */
  get decisionsCount(): number {
    return this.#outbox.decisionsCount;
  }

  /** Sends nothing from now on, because the workflow continues as new. */
  hold(): void {
    this.#outbox.hold();
  }

  /**
   * The answers that are not sent yet and go to requesters that do not wait; for those that do, the request says that
   * an answer is due. Of answers to requests that are not in the queue only some are handed on, because their runs
   * request again within a minute, and a flood of them would exceed the input of the next run.
   */
  takeDue(): DueAnswer[] {
    for (const due of this.#awaitingReply.splice(0)) this.#outbox.addPlace(due);
    const { queue } = this.#stateNow();
    const others: DueAnswer[] = [];
    let repeatable = 0;
    for (const due of this.#outbox.due) {
      const { answer } = due;
      const waiter = answer === undefined ? queue.get(due.key) : undefined;
      if (answer !== undefined && answer.reached === undefined) repeatable += 1;
      if (waiter !== undefined) waiter.notified.isDue = true;
      else if (repeatable <= REPEATABLE_MAX) others.push(due);
    }
    return others;
  }

  /** Makes the answers due that the previous run of the workflow has not sent. */
  resume(queue: WaitingQueue): void {
    for (const { key, requesters, notified } of queue.values()) {
      if (!notified.isDue) continue;
      notified.isDue = false;
      for (const requesterId of requesters) this.#outbox.addPlace({ requesterId, key });
    }
  }

  /** Makes the next step answer a requester, whether its place has changed or not. */
  expectReply(requesterId: string, key: string): void {
    this.#awaitingReply.push({ requesterId, key });
  }

  /**
   * Makes the next step keep its answer to a request for {@link takeDirectAnswer}, or send it. A sender that has sent
   * the signal no longer waits for its Update, and of both in one step the signal comes first.
   */
  answer(request: RequestRef, isDirect: boolean): void {
    const id = idOf(request);
    if (!isDirect) this.#signalled.add(id);
    if (this.#signalled.has(id)) this.#direct.delete(id);
    else this.#direct.set(id, undefined);
  }

  /** The answer that was kept; null when there was none, or it was sent. */
  takeDirectAnswer(request: RequestRef): SlotAnswer | null {
    const answer = this.#direct.get(idOf(request)) ?? null;
    this.#direct.delete(idOf(request));
    return answer;
  }

  /**
   * Makes the next step answer a request that would share a held slot on a budget without room. Such a run waits
   * without being in the queue: it requests again, and by then finds the video that the others have bought.
   */
  addPendingShare(request: SlotRequestMessage): void {
    this.#pendingShares.push(request);
  }

  /** Makes the answer due that the queue is full; the run requests again later. */
  answerQueueFull({ requesterId, key, afterPurchase }: SlotRequestMessage, nowMs: number): void {
    const state = this.#stateNow();
    const { size } = state.queue;
    const ahead = aheadOf(size, state.queue.sizeOf('interactive'));
    const waiting = { ...toPlace(state, ahead, nowMs), queue_full: true as const };
    this.#outbox.addPlace({ requesterId, key, answer: { key, afterPurchase, waiting } });
  }

  /** Sends refusals, grants, and the places that are due. */
  sendAnswers(step: GrantStep, nowMs: number): void {
    const { state, refusals, grants } = step;
    const budgets = budgetsOf(state, nowMs);
    const isFinal = budgets === undefined || state.spending !== null;
    // Before the decisions: one on a request that has just come replaces the reply that would say its place.
    for (const due of this.#awaitingReply.splice(0)) {
      const waiter = state.queue.get(due.key);
      if (waiter !== undefined && !isFinal) waiter.notified.isProvisional = true;
      if (waiter === undefined) this.#outbox.addDecision(due);
      else this.#outbox.addPlace(due);
    }
    for (const { key, afterPurchase, requesterId, reached } of refusals) {
      const waiting = toPlace(state, aheadOf(0), nowMs);
      this.#outbox.addDecision({ requesterId, key, answer: { key, afterPurchase, waiting, reached } });
    }
    this.#answerPendingShares(state, budgets, nowMs);
    for (const { key, requesters } of grants) {
      for (const requesterId of requesters) this.#outbox.addDecision({ requesterId, key });
    }
    this.#addPlaces(state, isFinal);
    for (const id of this.#direct.keys()) this.#direct.set(id, this.#outbox.take(id));
    this.#signalled.clear();
    this.#outbox.send();
  }

  #answerPendingShares(state: SlotState, budgets: Budgets | undefined, nowMs: number): void {
    for (const request of this.#pendingShares.splice(0)) {
      const { key, afterPurchase, requesterId, cost } = request;
      const room = roomForAnotherPayer(state, request, nowMs);
      const blocking = cost === undefined ? undefined : budgets?.blockingBudget(request, cost);
      const waiting = toPlace(state, aheadOf(0), nowMs, blocking);
      const reached = typeof room === 'string' ? undefined : room;
      const answer = { key, afterPurchase, waiting, ...(reached !== undefined && { reached }) };
      this.#outbox.addPlace({ requesterId, key, answer });
    }
  }

  /**
   * Makes the places due that have halved since they were sent, so that moving up costs a few signals however long the
   * queue is. Every second step looks twice as far back as the one before, so that a step costs a logarithm of what
   * waits, and a place is at most an eighth late.
   */
  #addPlaces({ queue }: SlotState, isFinal: boolean): void {
    this.#steps = (this.#steps % FAR_STEPS_MAX) + 1;
    const first = queue.first(NEAR * (this.#steps & -this.#steps));
    this.#near = new Map();
    for (const [at, waiter] of first.entries()) {
      const { key, requesters, notified } = waiter;
      const position = at + 1;
      if (at < NEAR) this.#near.set(key, position);
      const hasHalved = position <= (notified.position ?? Number.POSITIVE_INFINITY) / 2;
      const isFinalNow = isFinal && notified.isProvisional;
      if (!hasHalved && !isFinalNow) continue;
      notified.isProvisional = !isFinal;
      notified.position = position;
      for (const requesterId of requesters) this.#outbox.addPlace({ requesterId, key });
    }
  }

  /** What the state says of a request: its slot is held, or its place. */
  #answerNow({ requesterId, key }: DueAnswer): SlotAnswer | undefined {
    const state = this.#stateNow();
    const held = state.holders.find((holder) => holder.key === key);
    if (held !== undefined) return { key, afterPurchase: held.afterPurchase, waiting: null };
    const waiter = state.queue.get(key);
    if (waiter === undefined || !waiter.requesters.includes(requesterId)) return undefined;
    const { afterPurchase, priority, notified } = waiter;
    const { queue } = state;
    const interactive = priority === 'batch' ? queue.sizeOf('interactive') : 0;
    const position = this.#near.get(key) ?? interactive + queue.countAhead(waiter) + 1;
    notified.position ??= position;
    const nowMs = Date.now();
    const ahead = aheadOf(position - 1, priority === 'batch' ? interactive : position - 1);
    const waiting = toPlace(state, ahead, nowMs, blockingBudget(waiter, budgetsOf(state, nowMs)));
    return { key, afterPurchase, waiting };
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
