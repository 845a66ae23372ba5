import type { Client } from '@temporalio/client';
import type { WanBatchClient } from '../client/batch-client.js';
import { followBatch } from '../client/follow-batch.js';
import { VideoRunError } from '../client/run-error.js';
import type { BatchSummary } from '../contract/batch.js';
import { batchSummaryText } from '../text/batch.js';
import { batchLine } from '../text/batch-line.js';
import { ExitCode } from '../text/exit-code.js';
import type { CommandContext } from './context.js';
import type { Interrupts } from './interrupts.js';
import type { Settings } from './settings.js';

/** What a `batch` command works with. */
export interface BatchSession {
  readonly client: Client;
  readonly batches: WanBatchClient;
  readonly settings: Settings;
  readonly context: CommandContext;
}

/**
 * Waits for a batch with progress on stderr, and prints what it came to. An interrupt ends the command; the batch
 * continues.
 * @returns the exit code: 1 when a line has no video, 4 when only budgets had no room.
 * @throws VideoRunError `Interrupted`, or as the batch ended.
 */
export async function awaitBatch(
  batchId: string,
  { client, batches, settings, context }: BatchSession,
  { first }: Interrupts,
  { quiet }: { readonly quiet: boolean },
): Promise<number> {
  const prices = await settings.prices();
  const line = batchLine(context.io.stderr, context.io.env, prices);
  let summary: BatchSummary;
  try {
    summary = await followBatch(
      { client, batches },
      batchId,
      (status) => {
        if (!quiet) line.show(status, Date.now());
      },
      first,
    ).finally(() => line.end());
  } catch (error) {
    if (!first.aborted) throw error;
    throw new VideoRunError(batchId, {
      type: 'Interrupted',
      message: `The command ended; the batch ${batchId} continues.`,
      next_step: `Follow it with "wan-video batch watch ${batchId}"; "wan-video batch cancel ${batchId}" ends it.`,
    });
  }
  context.result(summary, batchSummaryText(summary, prices));
  const { failed, cancelled, needs_attention, budget_reached, invalid } = summary.counts;
  if (failed + cancelled + needs_attention + invalid > 0) return ExitCode.failed;
  return budget_reached > 0 ? ExitCode.budget : ExitCode.done;
}
