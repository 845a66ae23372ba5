import type { SlotAnswer } from '../../src/contract/slots.js';

/** A request among those that are answered. */
export interface RequestRef {
  readonly requesterId: string;
  readonly key: string;
}

/** An answer that is due to a requester. */
export interface DueAnswer extends RequestRef {
  /** Absent: what the state says when it is sent. */
  readonly answer?: SlotAnswer;
}

/**
 * Answers that are due, at most one to each request. Decisions come first: a slot is granted and idle until its run
 * knows, while a place only shows how long it may take, and thousands of them may be due.
 */
export class DueAnswers {
  readonly #decisions = new Map<string, DueAnswer>();
  readonly #places = new Map<string, DueAnswer>();

  /** How many grants and refusals are due. */
  get decisionsCount(): number {
    return this.#decisions.size;
  }

  /** Adds a grant or a refusal; it replaces an answer to the same request. */
  addDecision(due: DueAnswer): void {
    this.#places.delete(idOf(due));
    this.#decisions.set(idOf(due), due);
  }

  /** Adds a place; it replaces an answer to the same request, and is sent as early as that. */
  addPlace(due: DueAnswer): void {
    const earlier = this.#decisions.has(idOf(due)) ? this.#decisions : this.#places;
    earlier.set(idOf(due), due);
  }

  /** Takes the next answer to send. */
  take(): DueAnswer | undefined {
    const next = this.#decisions.size > 0 ? this.#decisions : this.#places;
    for (const [id, due] of next) {
      next.delete(id);
      return due;
    }
    return undefined;
  }

  /** Takes the answer to one request. */
  takeOf(id: string): DueAnswer | undefined {
    const due = this.#decisions.get(id) ?? this.#places.get(id);
    this.#decisions.delete(id);
    this.#places.delete(id);
    return due;
  }

  /** All of them, in the order in which they are sent. */
  *values(): Iterable<DueAnswer> {
    yield* this.#decisions.values();
    yield* this.#places.values();
  }
}

/** Identifies a request. */
export const idOf = ({ requesterId, key }: RequestRef): string => `${requesterId} ${key}`;
