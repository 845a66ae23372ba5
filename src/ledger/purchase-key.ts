import { LIMITS } from '../contract/model.js';
import type { Buyer, Purchase } from '../contract/purchase.js';
import { canonicalHash } from '../contract/validate.js';

/** The key under which equal requests share a purchase (hex): the cache key; with `cache: off` one of the run's own. */
export function purchaseKeyOf(cacheKey: string, cache: 'use' | 'refresh' | 'off', buyer: Buyer): string {
  if (cache !== 'off') return cacheKey;
  return canonicalHash({ v: 1, cacheKey, workflowId: buyer.workflowId, firstRunId: buyer.firstRunId });
}

/** The seed that is sent when the caller gave none: the same for every attempt of one purchase, in 0..2147483647. */
export function derivedSeed({ key, n }: Purchase): number {
  return Number.parseInt(canonicalHash({ v: 1, key, n }).slice(0, 8), 16) % (LIMITS.seedMax + 1);
}
