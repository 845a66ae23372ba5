import { setTimeout as pause } from 'node:timers/promises';
import { SLOT_REQUESTS_BYTES_MAX, SLOT_REQUESTS_MAX, type SlotRequestsMessage } from '../contract/slots.js';

type GroupedRequest = SlotRequestsMessage['requests'][number];

interface WaitingRequest {
  readonly request: GroupedRequest;
  readonly bytes: number;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * Pause between two messages. While a workflow task is in progress, Temporal keeps at most a hundred messages of a
 * workflow; the next one fails the task, and its worker has to replay the history. So a crowd that requests faster than
 * a task ends would let none succeed.
 */
const PAUSE_MS = 500;

/** Sends the first request at once, and those that come within half a second of a message together in the next one. */
export class SlotRequests {
  readonly #send: (requests: readonly GroupedRequest[]) => Promise<unknown>;
  readonly #waiting: WaitingRequest[] = [];
  #isSending = false;

  /** @param send - Sends one message. */
  constructor(send: (requests: readonly GroupedRequest[]) => Promise<unknown>) {
    this.#send = send;
  }

  /** Resolves once Temporal has the request, and rejects as the message that it was part of. */
  send(request: GroupedRequest): Promise<void> {
    return new Promise((resolve, reject) => {
      const bytes = Buffer.byteLength(JSON.stringify(request)) + 1;
      this.#waiting.push({ request, bytes, resolve, reject });
      if (!this.#isSending) void this.#sendAll();
    });
  }

  async #sendAll(): Promise<void> {
    this.#isSending = true;
    while (this.#waiting.length > 0) {
      const group = this.#takeGroup();
      await this.#send(group.map(({ request }) => request)).then(
        () => {
          for (const { resolve } of group) resolve();
        },
        (error: unknown) => {
          for (const { reject } of group) reject(error);
        },
      );
      await pause(PAUSE_MS);
    }
    this.#isSending = false;
  }

  /** What fits into one message, at least one request. */
  #takeGroup(): WaitingRequest[] {
    let [count, bytes] = [0, 0];
    for (const one of this.#waiting.slice(0, SLOT_REQUESTS_MAX)) {
      bytes += one.bytes;
      if (count > 0 && bytes > SLOT_REQUESTS_BYTES_MAX) break;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }
}
