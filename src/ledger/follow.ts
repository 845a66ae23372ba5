import { type Clock, stopwatch } from '../async/clock.js';
import type { Purchase } from '../contract/purchase.js';
import type { StoreOptions } from '../storage/asset-store.js';
import type { Ledger } from './ledger.js';
import { assessPurchase, type DecidedStatus } from './purchase-status.js';
import type { LedgerTimes } from './times.js';

export type FollowOutcome =
  | DecidedStatus
  /** Its buyer is silent beyond the bound: `reconcileSubmit`. */
  | { readonly kind: 'reconcile'; readonly purchase: Purchase };

export interface FollowOptions extends StoreOptions {
  /**
   * The purchase waits for a person (`reconcileSubmit` said `undecided`): wait without a bound, until any run, salvage
   * or person has decided it.
   */
  readonly parked?: boolean | undefined;
  /** For how long an earlier attempt had seen the intent unclaimed, in milliseconds. */
  readonly seenMs?: number | undefined;
  /** Called with `seenMs` after every read, for heartbeats. */
  readonly onRead?: ((seenMs: number) => void) | undefined;
}

/**
 * Follows a purchase that another execution made, in the ledger alone. For the step `awaitPurchase`, which heartbeats
 * meanwhile and hands its signal in.
 *
 * Ends within `submitBoundMs` and one read, unless `parked`. The bound counts from the first time that a stopwatch sees
 * the intent, never across two clocks; a retried step adds to what the earlier attempts had seen, and the time between
 * them is not counted.
 * @returns `task`: poll it; `archived`: the result; `restore`: see {@link DecidedStatus}; `failed`: fail with `error`;
 * `buy`: submit again; `reconcile`.
 */
export async function awaitPurchase(
  deps: { readonly ledger: Ledger; readonly clock: Clock; readonly times: LedgerTimes },
  purchase: Purchase,
  { signal, parked = false, seenMs = 0, onRead }: FollowOptions = {},
): Promise<FollowOutcome> {
  const { ledger, clock, times } = deps;
  const options: StoreOptions = { signal };
  const sinceFirstSeen = stopwatch(clock, seenMs);
  for (;;) {
    const view = await ledger.requirePurchase(purchase, options);
    const status = await assessPurchase(deps, view, [], options);
    if (status.kind !== 'unclaimed') return status;
    if (!parked && sinceFirstSeen.elapsedMs() >= times.submitBoundMs) return { kind: 'reconcile', purchase };
    onRead?.(sinceFirstSeen.elapsedMs());
    await clock.sleep(parked ? times.parkedEveryMs : times.followEveryMs, signal);
  }
}
