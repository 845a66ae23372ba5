import * as wf from '@temporalio/workflow';
import type { RequestedSlot } from '../../activities/types.js';
import { budgetReachedFailure } from '../../src/contract/budget.js';
import type { QueueIdentity, SlotAnswer } from '../../src/contract/slots.js';
import type { StepTimes } from '../../src/contract/times.js';
import { steps } from '../shared/activities.js';
import { failure } from '../shared/failures.js';
import { slotSignal, withdrawSlotRequestSignal } from '../shared/messages.js';
import type { Progress } from './progress.js';

/** The asking side of the account's slots (docs/slots.md). */
export class SlotRequest {
  readonly #progress: Progress;
  #asked: RequestedSlot | undefined;
  #answer: SlotAnswer | undefined;
  #waiting = false;

  constructor(progress: Progress) {
    this.#progress = progress;
    // From the first moment: the answer may be here before the step that asked has told so.
    wf.setHandler(slotSignal, (answer) => {
      this.#answer = answer;
      if (this.#waiting) this.#tell();
    });
  }

  /**
   * Waits until the slot is granted, or, without budgets, until it is clear that nobody grants any: the slots order submits, they do not
   * stop them. With budgets nothing is bought without them.
   * @throws ApplicationFailure `BudgetReached` when a budget has no room.
   */
  async waitForGrant(slot: RequestedSlot, share: QueueIdentity, times: StepTimes): Promise<void> {
    this.#asked = slot;
    const decided = () => this.#mine()?.waiting === null || this.#mine()?.reached !== undefined;
    if (!decided()) {
      this.#progress.enter('waiting_for_slot');
      this.#waiting = true;
      try {
        await this.#answered(decided, slot, share, times);
      } finally {
        this.#waiting = false;
      }
    }
    const reached = this.#mine()?.reached;
    if (reached === undefined) return;
    this.#asked = undefined; // the slots have forgotten the request
    throw failure(budgetReachedFailure(reached));
  }

  /**
   * Says that this run does not buy any more; a purchase that another run has made keeps the slot.
   * @param nothingBought - Whether it is certain that this run has bought nothing: what is reserved for it is free at once.
   */
  async withdraw(nothingBought: boolean): Promise<void> {
    if (this.#asked === undefined) return;
    const { slots, key } = this.#asked;
    this.#asked = undefined;
    const requesterId = wf.workflowInfo().workflowId;
    // Slots that are gone have nobody waiting.
    await wf
      .getExternalWorkflowHandle(slots)
      .signal(withdrawSlotRequestSignal, { key, requesterId, nothingBought })
      .catch(() => undefined);
  }

  async #answered(decided: () => boolean, slot: RequestedSlot, share: QueueIdentity, times: StepTimes): Promise<void> {
    this.#tell();
    for (;;) {
      const answered = this.#mine() !== undefined || (await within(times.slotAckMs, () => this.#mine() !== undefined));
      if (!answered && slot.cost === undefined)
        return wf.log.warn('the slots do not answer; going on without', { slots: slot.slots });
      if (!answered) this.#progress.waitingForSlots();
      else if (decided() || (await within(times.slotAskAgainMs, decided))) return;
      this.#answer = undefined;
      const { key, afterPurchase, cost } = slot;
      const requesterId = wf.workflowInfo().workflowId;
      await steps(times).requestSlot({
        key,
        afterPurchase,
        ...share,
        ...(cost !== undefined && { cost }),
        requesterId,
      });
    }
  }

  /** Leaves the slot with the purchase: whoever sees that to its end gives it back. */
  transferToSalvage(): void {
    this.#asked = undefined;
  }

  /** The latest answer, when it is about what was asked: an earlier one may still come in. */
  #mine(): SlotAnswer | undefined {
    const [answer, asked] = [this.#answer, this.#asked];
    if (answer === undefined || asked === undefined) return undefined;
    return answer.key === asked.key && answer.afterPurchase >= asked.afterPurchase ? answer : undefined;
  }

  #tell(): void {
    const waiting = this.#mine()?.waiting;
    if (waiting != null) this.#progress.waitingForSlot(waiting);
  }
}

const within = (ms: number, is: () => boolean): Promise<boolean> =>
  wf.condition(is, ms, { summary: 'the answer of the slots' });
