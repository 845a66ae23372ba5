import { type Client, WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import type { ActivityDeps } from '../../activities/deps.js';
import { type OrphanedPurchase, orphansOf } from '../../activities/find-orphans.js';
import { subscribedEvents } from '../../activities/post-event.js';
import type { Salvage } from '../../workflows/shared/start-salvage.js';
import { salvageWorkflowId, WorkflowType } from '../contract/names.js';
import type { Buyer, Purchase } from '../contract/purchase.js';
import { stepTimesOf } from '../contract/times.js';
import type { WrittenRecord } from '../ledger/ledger-records.js';

/** Longest look at one purchase: a few reads, and two requests to Temporal. */
const LOOK_BOUND_MS = 20_000;

/** What looking needs. */
type WatchDeps = Pick<ActivityDeps, 'ledger' | 'isRunOpen' | 'knowsAttributes' | 'webhook' | 'times'> & {
  readonly client: Client;
  /** Where salvages run. */
  readonly taskQueue: string;
};

/**
 * Watches the runs for which this worker has announced purchases. A run that is terminated, for example together with
 * its parent, cannot hand its purchase over: a salvage is started for it here, within a minute. The sweep finds what no
 * worker remembers. Describing a run is no Action on Temporal Cloud.
 */
export class OrphanWatch {
  /** By name of the purchase. */
  readonly #bought = new Map<string, Buyer & { readonly purchase: Purchase }>();

  /** Takes note of a record that this worker has written. */
  wrote(record: WrittenRecord): void {
    const { purchase_key: key, n } = record;
    const name = `${key}/${n}`;
    if (record.kind === 'intent') {
      const { workflow_id: workflowId, first_run_id: firstRunId } = record;
      this.#bought.set(name, { purchase: { key, n }, workflowId, firstRunId });
    }
    const isOver = record.kind === 'closed' || (record.kind === 'claim' && 'not_created' in record.decision);
    if (isOver) this.#bought.delete(name);
  }

  /**
   * Looks at every purchase from time to time, one after the other; a look that fails is repeated with the next.
   * @param everyMs - Pause between two rounds.
   * @returns stops it.
   */
  start(deps: WatchDeps, everyMs: number): () => void {
    const stop = new AbortController();
    const round = async (): Promise<void> => {
      for (const [name, bought] of this.#bought) {
        if (stop.signal.aborted) return;
        const isOver = await look(bought, deps, stop.signal).catch(() => false);
        if (isOver) this.#bought.delete(name);
      }
      if (!stop.signal.aborted) timer = setTimeout(round, everyMs).unref();
    };
    let timer = setTimeout(round, everyMs).unref();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }
}

/** Whether the purchase needs no further look: its run has ended, and what it left open is salvaged. */
async function look(
  { purchase, workflowId, firstRunId }: Buyer & { readonly purchase: Purchase },
  deps: WatchDeps,
  stop: AbortSignal,
): Promise<boolean> {
  if (await deps.isRunOpen(workflowId, firstRunId)) return false;
  const signal = AbortSignal.any([stop, AbortSignal.timeout(LOOK_BOUND_MS)]);
  const view = await deps.ledger.findPurchase(purchase, { signal });
  for (const orphan of view === undefined ? [] : await orphansOf(view, deps, signal)) await salvage(orphan, deps);
  return true;
}

async function salvage({ purchase, extraTask, workflowId }: OrphanedPurchase, deps: WatchDeps): Promise<void> {
  const { client, taskQueue, times } = deps;
  const input: Salvage = {
    purchase,
    task: extraTask,
    attributes: await deps.knowsAttributes(),
    times: stepTimesOf(times),
    ...subscribedEvents(deps),
  };
  try {
    await client.workflow.start(WorkflowType.salvageVideo, {
      taskQueue,
      workflowId: salvageWorkflowId(purchase.key, purchase.n, extraTask?.taskId),
      args: [input],
      staticSummary: `finishes a purchase whose run ${workflowId} is gone`,
    });
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
  }
}
