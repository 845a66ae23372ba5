import type { Waiter } from './slot-state.js';

/**
 * Decides which requesters are sent their place in the queue: on each request, and again whenever the place has halved,
 * so that moving up costs a few signals however long the queue is.
 */
export class PlaceNotices {
  /** By purchase key, the position that its requesters were sent last. */
  readonly #lastSent: Map<string, number>;
  /** Keys whose place was sent before it was known what is spent; it is sent again. */
  readonly #provisional = new Set<string>();

  /** @param lastSent - What the previous run of the workflow has sent. */
  constructor(lastSent: Readonly<Record<string, number>> = {}) {
    this.#lastSent = new Map(Object.entries(lastSent));
  }

  /** Positions that were sent last, for the next run of the workflow; only of the given keys. */
  lastSent(keys: ReadonlySet<string>): Record<string, number> {
    return Object.fromEntries([...this.#lastSent].filter(([key]) => keys.has(key)));
  }

  /**
   * The requesters of a waiting request that are now sent its place.
   * @param awaitingReply - Requesters whose request has not been answered yet.
   * @param isFinal - Whether it is known what is spent, so that the place says whether a budget is in the way.
   */
  recipients(
    { key, requesters }: Waiter,
    position: number,
    awaitingReply: ReadonlySet<string>,
    isFinal: boolean,
  ): readonly string[] {
    const hasHalved = position <= (this.#lastSent.get(key) ?? Number.POSITIVE_INFINITY) / 2;
    if (hasHalved) this.#lastSent.set(key, position);
    const isFinalNow = isFinal && this.#provisional.has(key);
    const recipients = hasHalved || isFinalNow ? requesters : requesters.filter((id) => awaitingReply.has(id));
    if (recipients.length === 0) return recipients;
    if (isFinal) this.#provisional.delete(key);
    else this.#provisional.add(key);
    return recipients;
  }

  /** Forgets the keys that no longer wait. */
  keepOnly(waiting: ReadonlySet<string>): void {
    for (const key of this.#lastSent.keys()) if (!waiting.has(key)) this.#lastSent.delete(key);
    for (const key of this.#provisional) if (!waiting.has(key)) this.#provisional.delete(key);
  }
}
