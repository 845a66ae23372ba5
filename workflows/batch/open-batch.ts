import * as wf from '@temporalio/workflow';
import type { BatchOpening, OpenBatchInput } from '../../activities/open-batch.js';
import type { VideoBatchInput } from '../../src/contract/batch.js';
import { batchInputIssues, inlineItems } from '../../src/contract/batch-input.js';
import { bytesOf, ID_BYTES_MAX } from '../../src/contract/bounds.js';
import { batchItemWorkflowId, batchWorkflowId } from '../../src/contract/names.js';
import { nominalTimeOf } from '../../src/contract/schedule-pause.js';
import { steps } from '../shared/activities.js';

/** Pause between two looks for a manifest that does not exist yet. */
const MANIFEST_RETRY_MS = 60_000;

/**
 * Checks the manifest or the items of a batch and copies them into the store; waits for a manifest as long as the input
 * says.
 * @param given - Any client may start a batch, with anything.
 * @param onMissing - Called before each pause, with the key that has no manifest yet.
 */
export async function openBatch(
  given: VideoBatchInput,
  batchId: string,
  onMissing: (manifestKey: string) => void,
): Promise<BatchOpening> {
  const input = openingOf(given, batchId);
  const untilMs = Date.now() + (inputOf(given).manifest_wait_seconds ?? 0) * 1000;
  for (;;) {
    const opening = await steps().openBatch(input);
    if (opening.kind === 'open' || Date.now() >= untilMs) return opening;
    onMissing(opening.manifestKey);
    const pauseMs = Math.min(MANIFEST_RETRY_MS, untilMs - Date.now());
    await wf.sleep(pauseMs, { summary: 'until the next look for the manifest' });
  }
}

/** What a batch was started with, when it is an object at all. */
export const inputOf = <Input extends object>(given: Input): Partial<Input> => (Object(given) === given ? given : {});

function openingOf(given: VideoBatchInput, batchId: string): OpenBatchInput {
  const {
    manifest_key,
    allow_invalid,
    timezone,
    items: givenItems,
    deliver,
    deliver_report,
    receiver,
  } = inputOf(given);
  const items = inlineItems(givenItems);
  const issues = batchInputIssues(given);
  // The id of each item, of at most 100 characters, is appended to that of the batch.
  const idBytes = bytesOf(batchItemWorkflowId(batchId, 'x'.repeat(100)));
  if (idBytes > ID_BYTES_MAX) {
    issues.push({ path: 'id', message: `is too long: the runs of its items would have ids of ${idBytes} bytes` });
  }
  return {
    batchId,
    timezone: timezone ?? 'UTC',
    allowInvalid: allow_invalid === true,
    ...(manifest_key != null && { manifestKey: manifest_key }),
    ...(items !== undefined && { items }),
    ...(receiver != null && { receiver }),
    ...(deliver != null && { deliver }),
    ...(deliver_report != null && { deliverReport: deliver_report }),
    // Reported by the step, which adds the faults of the items and knows the webhook.
    ...(issues.length > 0 && { issues }),
    nominalTime: nominalTimeOf(batchId) ?? wf.workflowInfo().startTime.toISOString(),
  };
}

/** The `<id>` of `batch/<id>`; the whole workflow id of a batch that was started under another one. */
export const batchIdOf = (workflowId: string): string => {
  const prefix = batchWorkflowId('');
  return workflowId.startsWith(prefix) ? workflowId.slice(prefix.length) : workflowId;
};
