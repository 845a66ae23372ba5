import { VideoRunError } from '../client/run-error.js';
import { WanVideoClient } from '../client/video-client.js';
import type { VideoStatus } from '../client/video-run.js';
import { FailureType } from '../contract/failure-type.js';
import type { CommandContext } from './context.js';
import { findPurchase, SEARCHED_DAYS, type StoredRun, storedRun } from './find-stored.js';

/**
 * What is known of a run: by Temporal, else by the store.
 * @param id - Workflow id; or, as the store knows them, the id of a task or a purchase.
 * @throws VideoRunError `RunNotFound` when neither knows it.
 */
export async function runStatus(id: string, context: CommandContext): Promise<VideoStatus | StoredRun> {
  return context.temporal(async ({ client }) => {
    const videos = new WanVideoClient({ client });
    const inTemporal = (workflowId: string, runId?: string): Promise<VideoStatus | undefined> =>
      videos.describe(workflowId, { runId }).catch((error: unknown) => {
        if (error instanceof VideoRunError && error.error.type === FailureType.RunNotFound) return undefined;
        throw error;
      });
    const run = await inTemporal(id);
    if (run !== undefined) return run;
    const found = await findPurchase(await context.ledger(), id, Date.now());
    if (found === undefined) {
      throw new VideoRunError(id, {
        type: FailureType.RunNotFound,
        message: `Temporal knows no run ${id}, and the store knows no purchase by this id`,
        next_step: `A run that bought something more than ${SEARCHED_DAYS} days ago is found by the id of its task.`,
      });
    }
    const { workflow_id, first_run_id } = found.intent;
    const buyer = workflow_id === id ? undefined : await inTemporal(workflow_id, first_run_id);
    return buyer ?? storedRun(id, found);
  });
}
