import * as wf from '@temporalio/workflow';
import type { AskedSlot } from '../activities/types.js';
import { BATCH_MEMO } from '../src/contract/names.js';
import type { SlotAnswer, SlotShare } from '../src/contract/slots.js';
import type { StepTimes } from '../src/contract/times.js';
import { leaveSlotsSignal, slotSignal } from './messages.js';
import type { Progress } from './progress.js';
import { steps } from './steps.js';

/** The batch that a run belongs to; null for one of its own. */
export function batchOf(): string | null {
  const batch = wf.workflowInfo().memo?.[BATCH_MEMO];
  return typeof batch === 'string' ? batch : null;
}

/** Whose turn a run is counted as: somebody waits for it, unless it belongs to a batch. */
export function shareOf(tenant: string | null): SlotShare {
  const batch = batchOf();
  return { tenant, batch, priority: batch === null ? 'interactive' : 'batch' };
}

/** The asking side of the account's slots (docs/slots.md). */
export class SlotInHand {
  readonly #progress: Progress;
  #asked: AskedSlot | undefined;
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

  /** Waits until the slot is granted, or until it is clear that nobody grants any: the slots order submits, they do not stop them. */
  async granted(slot: AskedSlot, share: SlotShare, times: StepTimes): Promise<void> {
    this.#asked = slot;
    const granted = () => this.#mine()?.waiting === null;
    if (granted()) return;
    this.#progress.enter('waiting_for_slot');
    this.#waiting = true;
    try {
      await this.#answered(granted, slot, share, times);
    } finally {
      this.#waiting = false;
    }
  }

  /** Says that this run does not buy any more; a purchase that another run has made keeps the slot. */
  async leave(): Promise<void> {
    if (this.#asked === undefined) return;
    const { slots, key } = this.#asked;
    this.#asked = undefined;
    const asker = wf.workflowInfo().workflowId;
    // Slots that are gone have nobody waiting.
    await wf
      .getExternalWorkflowHandle(slots)
      .signal(leaveSlotsSignal, { key, asker })
      .catch(() => undefined);
  }

  async #answered(granted: () => boolean, slot: AskedSlot, share: SlotShare, times: StepTimes): Promise<void> {
    this.#tell();
    for (;;) {
      const answered = this.#mine() !== undefined || (await within(times.slotAckMs, () => this.#mine() !== undefined));
      if (!answered) return wf.log.warn('the slots do not answer; going on without', { slots: slot.slots });
      if (granted() || (await within(times.slotAskAgainMs, granted))) return;
      this.#answer = undefined;
      const { key, after } = slot;
      await steps(times).askForSlot({ key, after, ...share, asker: wf.workflowInfo().workflowId });
    }
  }

  /** Leaves the slot with the purchase: whoever sees that to its end gives it back. */
  entrust(): void {
    this.#asked = undefined;
  }

  /** The latest answer, when it is about what was asked: an earlier one may still come in. */
  #mine(): SlotAnswer | undefined {
    const [answer, asked] = [this.#answer, this.#asked];
    if (answer === undefined || asked === undefined) return undefined;
    return answer.key === asked.key && answer.after >= asked.after ? answer : undefined;
  }

  #tell(): void {
    const waiting = this.#mine()?.waiting;
    if (waiting != null) this.#progress.waitingForSlot(waiting);
  }
}

const within = (ms: number, is: () => boolean): Promise<boolean> =>
  wf.condition(is, ms, { summary: 'the answer of the slots' });
