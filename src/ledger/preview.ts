import { createHash } from 'node:crypto';
import { systemClock } from '../async/clock.js';
import { fitOfKey, readStagedReference } from '../contract/image-reference.js';
import { MODEL } from '../contract/model.js';
import type { Buyer } from '../contract/purchase.js';
import type { VideoRequest } from '../contract/request.js';
import type { VideoResult } from '../contract/result.js';
import { cacheKey, canonicalRequest } from '../contract/validate.js';
import type { StoreOptions } from '../storage/asset-store.js';
import { findExistingPurchase } from './buy.js';
import type { Ledger } from './ledger.js';
import { DEFAULT_LEDGER_TIMES } from './times.js';

/** What a run of a request would do, as the ledger is now. */
export type Preview =
  /** The video is there, or can be downloaded again without buying. */
  | { readonly action: 'cache'; readonly cached: VideoResult }
  /** Another run is buying it, or has bought it; its purchase is open. */
  | { readonly action: 'follow'; readonly cached: null }
  | { readonly action: 'buy'; readonly cached: null }
  /** It was bought before, and its paid result was refused: the run fails, and buys nothing. */
  | { readonly action: 'refuse'; readonly cached: null }
  /** Only a worker can fetch the image, and only its content decides which of these it will be. */
  | { readonly action: 'fetch'; readonly cached: null };

/** No run has this identity, so every purchase that is found was made by another one. */
const NO_BUYER: Buyer = { workflowId: '', firstRunId: '' };

/**
 * Predicts what a run of a request would do, by the rules that runs follow. Reads only.
 * @param request - Its image as a worker reads it.
 * @throws VideoError as the ledger does.
 */
export async function previewRequest(
  ledger: Ledger,
  request: VideoRequest,
  options: StoreOptions = {},
): Promise<Preview> {
  const key = cacheKeyOf(request);
  if (key === undefined) return { action: 'fetch', cached: null };
  const { cache } = canonicalRequest(request);
  if (cache === 'off') return { action: 'buy', cached: null };
  const record = cache === 'use' ? await ledger.findCached(key, options) : undefined;
  if (record !== undefined && (await ledger.isIntact(record.result, options))) {
    return { action: 'cache', cached: record.result };
  }
  const query = { purchaseKey: key, cache, buyer: NO_BUYER, firstStartedAtMs: systemClock.now() };
  const deps = { ledger, clock: systemClock, times: DEFAULT_LEDGER_TIMES };
  const { found } = await findExistingPurchase(deps, query, options);
  if (found === undefined) return { action: 'buy', cached: null };
  if (found.kind === 'archived' || found.kind === 'restore') return { action: 'cache', cached: found.result };
  return { action: found.kind === 'failed' ? 'refuse' : 'follow', cached: null };
}

/** The cache key of a request; undefined when its image must be fetched first. */
export function cacheKeyOf(request: VideoRequest): string | undefined {
  const { reference_image: image } = request;
  const canonical = canonicalRequest(request);
  if (image.startsWith('oss:')) {
    return cacheKey(canonical, MODEL, { hash: createHash('sha256').update(image).digest('hex') });
  }
  const staged = readStagedReference(image);
  if (staged === undefined) return undefined;
  const fit = fitOfKey(staged.change, canonical.reference_background);
  return cacheKey(canonical, MODEL, { hash: staged.hash, fit });
}
