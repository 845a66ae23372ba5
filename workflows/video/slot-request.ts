import * as wf from '@temporalio/workflow';
import type { RequestedSlot } from '../../activities/upload-reference.js';
import { budgetReachedFailure } from '../../src/contract/budget.js';
import type { QueueIdentity, SlotAnswer, SlotsHealth } from '../../src/contract/slots.js';
import type { StepTimes } from '../../src/contract/times.js';
import { steps } from '../shared/activities.js';
import { failure } from '../shared/failures.js';
import { fieldsOf, isName } from '../shared/message-checks.js';
import { checkedBy, onSignal } from '../shared/message-handlers.js';
import { slotSignal, slotsRestartedSignal, withdrawSlotRequestSignal } from '../shared/messages.js';
import type { Progress } from './progress.js';
import { furtherAnswer, isDecision, isSlotAnswer } from './slot-answer.js';

/** A place from which on a run asks again more rarely than others. */
const FAR_BACK = 1_000;

/** The requesting side of the account's slots (docs/slots.md). */
export class SlotRequest {
  readonly #progress: Progress;
  #requested: RequestedSlot | undefined;
  /** Purchase key of this run; undefined until it is prepared. */
  #key: string | undefined;
  /** What a step that runs may request, or has requested without having returned yet. */
  #expected: Pick<RequestedSlot, 'slots' | 'key'> | undefined;
  /** What was withdrawn: a step that is cancelled may still request it afterwards. */
  #withdrawn: (Pick<RequestedSlot, 'slots' | 'key'> & { readonly nothingBought: boolean }) | undefined;
  #lastAnswer: SlotAnswer | undefined;
  #isWaiting = false;
  /** Whether the slots have started again since the request, and do not know of it. */
  #areSlotsNew = false;

  constructor(progress: Progress) {
    this.#progress = progress;
    // The handler is set from the start, because an answer may arrive before the step that requested has returned.
    onSignal(slotSignal, checkedBy(isSlotAnswer), (answer) => {
      // An earlier run under this workflow id may still hold a slot, and is answered here as well.
      if (this.#key !== undefined && answer.key !== this.#key) return;
      this.#lastAnswer = answer;
      if (answer.key === this.#withdrawn?.key && answer.reached === undefined) void this.#sendWithdrawal();
      if (this.#isWaiting) this.#showPlace();
    });
    onSignal(slotsRestartedSignal, checkedBy(isSlotsRestarted), ({ slots }) => {
      if (this.#isWaiting && slots === this.#requested?.slots) this.#areSlotsNew = true;
    });
  }

  /**
   * Notes that a step may request the slot from now on, so that a cancel that comes before its answer withdraws it.
   * @param slots - Workflow id of the account's slots; undefined in runs that an earlier version prepared.
   */
  expectRequest(slots: string | undefined, key: string): void {
    this.#key = key;
    this.#expected = slots === undefined ? undefined : { slots, key };
    this.#withdrawn = undefined; // what was withdrawn before is requested again
  }

  /** Notes that the step has requested nothing. */
  expectNothing(): void {
    this.#expected = undefined;
  }

  /**
   * Waits until the slot is granted. Without budgets it also returns when nobody answers for the slots, because they
   * order submits and do not stop them; slots that are only late are waited for. With budgets nothing is bought without
   * a grant.
   * @param answer - What the request was answered at once, if it was.
   * @throws ApplicationFailure `BudgetReached` when a budget has no room.
   */
  async waitForGrant(
    slot: RequestedSlot,
    answer: SlotAnswer | null | undefined,
    queueIdentity: QueueIdentity,
    times: StepTimes,
  ): Promise<void> {
    this.#requested = slot;
    this.#expected = undefined;
    this.#take(answer);
    if (!this.#isDecided) {
      this.#progress.enter('waiting_for_slot');
      this.#isWaiting = true;
      try {
        await this.#waitForDecision(slot, queueIdentity, times);
      } finally {
        this.#isWaiting = false;
      }
    }
    const reached = this.#answer?.reached;
    if (reached === undefined) return;
    this.#requested = undefined; // a refused request is no longer in the queue
    throw failure(budgetReachedFailure(reached));
  }

  /**
   * Withdraws the request, because this run no longer buys. A purchase that another run has made keeps the slot.
   * @param nothingBought - Whether it is certain that this run has bought nothing: its reserved money is then free at
   * once.
   */
  async withdraw(nothingBought: boolean): Promise<void> {
    const given = this.#requested ?? this.#expected;
    this.#requested = undefined;
    this.#expected = undefined;
    if (given === undefined) return;
    this.#withdrawn = { slots: given.slots, key: given.key, nothingBought };
    await this.#sendWithdrawal();
  }

  async #sendWithdrawal(): Promise<void> {
    if (this.#withdrawn === undefined) return;
    const { slots, key, nothingBought } = this.#withdrawn;
    const { workflowId: requesterId } = wf.workflowInfo();
    await wf.CancellationScope.nonCancellable(() =>
      wf.getExternalWorkflowHandle(slots).signal(withdrawSlotRequestSignal, { key, requesterId, nothingBought }),
    ).catch(() => undefined); // slots that do not run have no requests
  }

  /** Keeps the slot for the purchase: the salvage that watches it to its end releases the slot. */
  transferToSalvage(): void {
    this.#requested = undefined;
    this.#expected = undefined;
  }

  async #waitForDecision(slot: RequestedSlot, queueIdentity: QueueIdentity, times: StepTimes): Promise<void> {
    const { key, afterPurchase, cost } = slot;
    const { workflowId: requesterId } = wf.workflowInfo();
    const { requestSlot, assessSlots } = steps(times);
    this.#showPlace();
    for (;;) {
      if (await within(times.slotAckMs, () => this.#answer !== undefined || this.#areSlotsNew)) {
        await within(this.#askAgainMs(times), () => this.#isDecided || this.#areSlotsNew);
        if (this.#isDecided) return;
      } else {
        // Late slots have the request. A run that continued without them would be one more in a crowd at the provider.
        const health = await assessSlots();
        if (this.#isDecided) return;
        if (isAbsent(health) && cost === undefined) {
          wf.log.warn('the slots are gone; the run continues without one', { slots: slot.slots, ...health });
          return;
        }
        this.#progress.waitingForSlots(health, cost !== undefined);
      }
      this.#lastAnswer = undefined;
      this.#areSlotsNew = false;
      const request = { key, afterPurchase, requesterId, ...queueIdentity, ...(cost !== undefined && { cost }) };
      this.#take(await requestSlot(request));
    }
  }

  /** Takes the answer that a request was given at once, unless a signal meanwhile says more. */
  #take(answer: SlotAnswer | null | undefined): void {
    if (answer != null) this.#lastAnswer = furtherAnswer(this.#answer, answer);
    if (this.#isWaiting) this.#showPlace();
  }

  /** A run far back asks less often: its answer is as valuable as its turn is near, and there are many like it. */
  #askAgainMs({ slotAskAgainMs }: StepTimes): number {
    const { position = 1 } = this.#answer?.waiting ?? {};
    return slotAskAgainMs * Math.max(1, position / FAR_BACK);
  }

  /** The latest answer to the current request; one to an earlier request may still arrive. */
  get #answer(): SlotAnswer | undefined {
    const [answer, requested] = [this.#lastAnswer, this.#requested];
    if (answer === undefined || requested === undefined) return undefined;
    return answer.key === requested.key && answer.afterPurchase >= requested.afterPurchase ? answer : undefined;
  }

  /** Whether the slot is granted or refused. */
  get #isDecided(): boolean {
    return this.#answer !== undefined && isDecision(this.#answer);
  }

  #showPlace(): void {
    const place = this.#answer?.waiting;
    if (place != null) this.#progress.waitingForSlot(place);
  }
}

const isSlotsRestarted = (message: unknown): message is { readonly slots: string } =>
  isName(fieldsOf(message)['slots']);

/** Whether nobody answers for the slots until somebody repairs that. */
const isAbsent = ({ state }: SlotsHealth): boolean => state === 'unattended' || state === 'failing';

const within = (ms: number, isTrue: () => boolean): Promise<boolean> =>
  wf.condition(isTrue, ms, { summary: 'answer of the slots' });
