import type { VideoResult } from './result.js';

/** A result for a run that did not buy its video: it is billed nothing, and what the purchase was billed is kept. */
export function sharedResult(result: VideoResult, source: 'cache' | 'adopted'): VideoResult {
  const { usage } = result;
  const original_billed_seconds = usage.original_billed_seconds ?? usage.billed_seconds;
  return { ...result, source, usage: { ...usage, billed_seconds: 0, original_billed_seconds } };
}
