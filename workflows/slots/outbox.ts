import * as wf from '@temporalio/workflow';
import type { SlotAnswer } from '../../src/contract/slots.js';
import { slotSignal } from '../shared/messages.js';
import { type DueAnswer, DueAnswers } from './due-answers.js';

/** Far below Temporal's limit of 2,000 signals in flight per workflow, so that they are delivered within a second. */
const IN_FLIGHT_MAX = 100;

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
  readonly #due = new DueAnswers();
  readonly #port: OutboxPort;
  #inFlight = 0;
  #isHeld = false;

  constructor(port: OutboxPort, due: readonly DueAnswer[] = []) {
    this.#port = port;
    for (const one of due) this.#due.addDecision(one);
  }

  /** Whether nothing that was sent is on its way. */
  get isDelivered(): boolean {
    return this.#inFlight === 0;
  }

  get isHeld(): boolean {
    return this.#isHeld;
  }

  /** How many grants and refusals wait to be sent. */
  get decisionsCount(): number {
    return this.#due.decisionsCount;
  }

  /** The answers that wait to be sent. */
  get due(): Iterable<DueAnswer> {
    return this.#due.values();
  }

  /** Makes a grant or a refusal due; it replaces an answer to the same request that is not sent yet. */
  addDecision(due: DueAnswer): void {
    this.#due.addDecision(due);
  }

  /** Makes a place due; it replaces an answer to the same request that is not sent yet. */
  addPlace(due: DueAnswer): void {
    this.#due.addPlace(due);
  }

  /** Removes the answer that is due to a request, and returns it as it would be sent now. */
  take(id: string): SlotAnswer | undefined {
    const due = this.#due.takeOf(id);
    return due && (due.answer ?? this.#port.answerNow(due));
  }

  /** Sends nothing from now on. What waits is handed on to the next run of the workflow. */
  hold(): void {
    this.#isHeld = true;
  }

  /** Sends what is due, as far as the bound allows; the rest follows as answers are delivered. */
  send(): void {
    while (!this.#isHeld && this.#inFlight < IN_FLIGHT_MAX) {
      const due = this.#due.take();
      if (due === undefined) return;
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
