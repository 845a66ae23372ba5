import * as wf from '@temporalio/workflow';
import type { SlotAnswer } from '../../src/contract/slots.js';
import { slotSignal } from '../shared/messages.js';

/** Far below Temporal's limit of 2,000 signals in flight per workflow, so that they are delivered within a second. */
const IN_FLIGHT_MAX = 100;

/** An answer that is due to a requester. */
export interface DueAnswer {
  readonly requesterId: string;
  readonly key: string;
  /** Absent: what the state says when it is sent. */
  readonly answer?: SlotAnswer;
}

/** What the outbox needs to know. */
interface OutboxPort {
  /** The answer by the current state; undefined when there is none any more. */
  answerNow(due: DueAnswer): SlotAnswer | undefined;
  /** Called when a requester is no longer open. */
  undeliverable(due: DueAnswer): void;
}

/**
 * Sends answers to requesters, a bounded number at a time. An answer that waits is written when it is sent, so that
 * there is at most one per request, and it is the latest.
 */
export class Outbox {
  readonly #due = new Map<string, DueAnswer>();
  readonly #port: OutboxPort;
  #inFlight = 0;
  #isHeld = false;

  constructor(port: OutboxPort, due: readonly DueAnswer[] = []) {
    this.#port = port;
    for (const one of due) this.add(one);
  }

  /** Whether nothing that was sent is on its way. */
  get isDelivered(): boolean {
    return this.#inFlight === 0;
  }

  get isHeld(): boolean {
    return this.#isHeld;
  }

  /** How many answers wait to be sent. */
  get size(): number {
    return this.#due.size;
  }

  /** The answers that wait to be sent. */
  get due(): Iterable<DueAnswer> {
    return this.#due.values();
  }

  /** Makes an answer due; it replaces one to the same request that is not sent yet. */
  add(due: DueAnswer): void {
    this.#due.set(`${due.requesterId} ${due.key}`, due);
  }

  /** Sends nothing from now on. What waits is handed on to the next run of the workflow. */
  hold(): void {
    this.#isHeld = true;
  }

  /** Sends what is due, as far as the bound allows; the rest follows as answers are delivered. */
  send(): void {
    for (const [id, due] of this.#due) {
      if (this.#isHeld || this.#inFlight >= IN_FLIGHT_MAX) return;
      this.#due.delete(id);
      const answer = due.answer ?? this.#port.answerNow(due);
      if (answer !== undefined) this.#deliver(due, answer);
    }
  }

  #deliver(due: DueAnswer, answer: SlotAnswer): void {
    this.#inFlight += 1;
    wf.getExternalWorkflowHandle(due.requesterId)
      .signal(slotSignal, answer)
      .catch(() => this.#port.undeliverable(due))
      .finally(() => {
        this.#inFlight -= 1;
        this.send();
      });
  }
}
