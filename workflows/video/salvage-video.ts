import * as wf from '@temporalio/workflow';
import type { VideoResult } from '../../src/contract/result.js';
import { STEP_TIMES, type StepTimes } from '../../src/contract/times.js';
import { notifyEnded } from '../shared/deliver-webhook.js';
import { failureOf, failureOrUnexpected, runFailure } from '../shared/failures.js';
import { fieldsOf, isCount, isName, isObject } from '../shared/message-checks.js';
import { answersGiven } from '../shared/message-handlers.js';
import { requireInput } from '../shared/require-input.js';
import type { Salvage } from '../shared/start-salvage.js';
import { readWebLinks } from '../shared/web-ui.js';
import { Progress } from './progress.js';
import { PurchaseTracker } from './purchase-tracker.js';

/**
 * Brings an open purchase to its end when its run cannot: follows it, finds out what became of it, archives its video
 * and closes it. Buys nothing and cancels nothing.
 * @returns the video, or null when nothing was bought or what was bought was free.
 */
export async function salvageVideo(salvage: Salvage): Promise<VideoResult | null> {
  requireInput(isSalvage(salvage));
  const { purchase, task, attributes, webhookEvents, webLinks } = salvage;
  const times = hasTimes(salvage) ? salvage.times : STEP_TIMES;
  const progress = new Progress();
  progress.useAttributes(attributes);
  progress.links = readWebLinks(webLinks);
  const tracker = new PurchaseTracker(progress);
  tracker.webhookEvents = webhookEvents;
  try {
    const step =
      task === null ? await tracker.settle({ kind: 'follow', purchase }, times) : ({ kind: 'task', task } as const);
    switch (step.kind) {
      case 'archived':
      case 'restore': // archived before; the next request restores it
        return progress.finished(step.result);
      case 'buy':
      case 'failed':
        return progress.nothingBought();
      case 'task': {
        const end = await tracker.watchToEnd(step.task, times);
        if (end.kind !== 'archived') return progress.nothingBought();
        await notifyEnded(webhookEvents, { state: 'salvaged', result: end.result });
        return progress.finished(end.result);
      }
    }
  } catch (error) {
    progress.failed(failureOf(error));
    if (!wf.isCancellation(error)) {
      await notifyEnded(webhookEvents, { state: 'failed', failure: failureOrUnexpected(error) });
    }
    throw runFailure(error);
  } finally {
    await answersGiven();
  }
}

/** Whether a value names a purchase; the steps read the rest. */
function isSalvage(value: unknown): value is Salvage {
  const { purchase, task } = fieldsOf(value);
  const { key, n } = fieldsOf(purchase);
  return isName(key) && isCount(n) && (task === null || isObject(task));
}

/** Whether a salvage names every time; one that was started by another version may not. */
function hasTimes(salvage: Salvage): salvage is Salvage & { readonly times: StepTimes } {
  const times = fieldsOf(salvage.times);
  return Object.keys(STEP_TIMES).every((name) => isCount(times[name]));
}
