import { LIMITS } from '../contract/model.js';
import { canonicalHash } from '../contract/validate.js';

/** One purchase: the `n`-th (from 1) under its key. */
export interface Purchase {
  readonly key: string;
  readonly n: number;
}

/** Who buys: kept over retries of a step, and by a reset of the run. */
export interface Buyer {
  readonly workflowId: string;
  /** Run id of the first execution of the chain. */
  readonly firstRunId: string;
}

/**
 * The key under which equal requests share one purchase (hex): the cache key, and with `cache: off` one of the run's
 * own.
 */
export function purchaseKeyOf(cacheKey: string, cache: 'use' | 'refresh' | 'off', buyer: Buyer): string {
  if (cache !== 'off') return cacheKey;
  return canonicalHash({ v: 1, cacheKey, workflowId: buyer.workflowId, firstRunId: buyer.firstRunId });
}

/** The seed that is sent when the caller gave none: the same for every attempt of one purchase, in 0..2147483647. */
export function derivedSeed({ key, n }: Purchase): number {
  return Number.parseInt(canonicalHash({ v: 1, key, n }).slice(0, 8), 16) % (LIMITS.seedMax + 1);
}
