import type { Client } from '@temporalio/client';
import { FAILING_TASKS, listEncoded, readProblem } from '../client/run-problem.js';
import { describeRun } from '../client/without-payloads.js';
import type { WorkerMetrics } from '../metrics/worker-metrics.js';
import { logNow } from './logger.js';

/** Runs that are named in the log at each look; the metric has the count of all. */
const NAMED_MAX = 10;
/** Ids that are remembered, so that each run is logged once. */
const REMEMBERED_MAX = 10_000;
/** Temporal answers within milliseconds. */
const LOOK_BOUND_MS = 10_000;

export interface StuckRunsDeps {
  readonly metrics: Pick<WorkerMetrics, 'stuckRuns'>;
  readonly client: Client;
  /** Whose runs are looked at. */
  readonly taskQueue: string;
  /** Pause between two looks, in milliseconds. */
  readonly everyMs: number;
}

/**
 * Counts the runs whose workflow task fails again and again, and logs each once, with the cure. They make no progress
 * and report nothing by themselves. A server that does not keep this leaves the metric absent.
 * @returns stops it.
 */
export function monitorStuckRuns({ metrics, client, taskQueue, everyMs }: StuckRunsDeps): () => void {
  const logged = new Set<string>();
  let stopped = false;
  const look = async (): Promise<void> => {
    try {
      await client.withDeadline(Date.now() + LOOK_BOUND_MS, async () => {
        const query = `${FAILING_TASKS} AND TaskQueue = '${taskQueue}'`;
        const { count } = await client.workflow.count(query);
        metrics.stuckRuns(count);
        if (count > 0) await logThem(client, await listEncoded(client, query, NAMED_MAX), logged);
      });
    } catch {
      metrics.stuckRuns(undefined);
    }
    if (logged.size > REMEMBERED_MAX) logged.clear();
    if (!stopped) timer = setTimeout(look, everyMs).unref();
  };
  let timer = setTimeout(look, 0).unref();
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}

async function logThem(
  client: Client,
  runs: readonly { readonly workflowId: string; readonly runId: string }[],
  logged: Set<string>,
): Promise<void> {
  for (const { workflowId, runId } of runs) {
    if (logged.has(runId)) continue;
    const problem = await readProblem(client, await describeRun(client, workflowId, runId), Date.now());
    if (problem === null) continue;
    logged.add(runId);
    logNow('WARN', 'A run is stuck', { workflowId, problem });
  }
}
