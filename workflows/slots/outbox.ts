import * as wf from '@temporalio/workflow';
import type { SlotAnswer } from '../../src/contract/slots.js';
import { slotSignal } from '../shared/messages.js';

/** A quarter of Temporal's limit of 2,000 signals in flight per workflow; further answers wait here. */
const IN_FLIGHT_MAX = 500;

/** Sends answers to requesters, a bounded number at a time. */
export class Outbox {
  readonly #queue: { readonly requesterId: string; readonly answer: SlotAnswer }[] = [];
  readonly #onUndeliverable: (requesterId: string, key: string) => void;
  #inFlight = 0;

  /** @param onUndeliverable - Called when the requester is no longer open. */
  constructor(onUndeliverable: (requesterId: string, key: string) => void) {
    this.#onUndeliverable = onUndeliverable;
  }

  /** Whether every answer has been delivered, or was found undeliverable. */
  get isEmpty(): boolean {
    return this.#inFlight === 0 && this.#queue.length === 0;
  }

  send(requesterId: string, answer: SlotAnswer): void {
    this.#queue.push({ requesterId, answer });
    this.#pump();
  }

  #pump(): void {
    while (this.#inFlight < IN_FLIGHT_MAX) {
      const next = this.#queue.shift();
      if (next === undefined) return;
      const { requesterId, answer } = next;
      this.#inFlight += 1;
      wf.getExternalWorkflowHandle(requesterId)
        .signal(slotSignal, answer)
        .catch(() => this.#onUndeliverable(requesterId, answer.key))
        .finally(() => {
          this.#inFlight -= 1;
          this.#pump();
        });
    }
  }
}
