import type { Purchase } from '../activities/types.js';
import type { VideoResult } from '../src/contract/result.js';
import { STEP_TIMES } from '../src/contract/times.js';
import { Progress } from './progress.js';
import { PurchaseInHand } from './purchase.js';
import { failureOf } from './run-failure.js';

/**
 * Sees an open purchase to its end when its run cannot: follows it, finds out what became of it, archives its video and closes it.
 * Buys nothing and cancels nothing.
 * @returns the video, or null when nothing was bought or what was bought was free.
 */
export async function salvageVideo({ purchase }: { purchase: Purchase }): Promise<VideoResult | null> {
  const progress = new Progress();
  const inHand = new PurchaseInHand(progress);
  try {
    const settled = await inHand.settle({ kind: 'follow', purchase }, STEP_TIMES);
    if (settled.kind === 'archived') return progress.finished(settled.result);
    if (settled.kind !== 'task') return progress.nothing();
    const end = await inHand.seeThrough(settled.task, STEP_TIMES);
    return 'free' in end ? progress.nothing() : progress.finished(end);
  } catch (error) {
    progress.failed(failureOf(error));
    throw error;
  }
}
