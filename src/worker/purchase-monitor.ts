import type { Client } from '@temporalio/client';
import type { Ledger } from '../ledger/ledger.js';
import type { WorkerMetrics } from '../metrics/worker-metrics.js';

/** Longest scan in milliseconds; it reads what is open. */
const LOOK_BOUND_MS = 60_000;
/** Temporal counts within milliseconds. */
const COUNT_BOUND_MS = 5_000;

/** What is monitored. */
export interface LookDeps {
  readonly metrics: WorkerMetrics;
  readonly ledger: Ledger;
  readonly client: Client;
  /** Whose runs are counted. */
  readonly taskQueue: string;
  /** Pause between two scans, in milliseconds. */
  readonly everyMs: number;
}

/**
 * Monitors what no step reports: the account's open purchases and the runs that wait for a person. One scan at a time,
 * bounded; a failed one leaves the metrics absent. Neither costs an Action on Temporal Cloud.
 * @returns stops it.
 */
export function monitorPurchases({ metrics, ledger, client, taskQueue, everyMs }: LookDeps): () => void {
  const stop = new AbortController();
  const look = async (): Promise<void> => {
    await Promise.all([
      openPurchases(ledger, stop.signal).then(
        (report) => metrics.openPurchases(report),
        () => metrics.openPurchases(undefined),
      ),
      needingAttention(client, taskQueue).then(
        (runs) => metrics.needingAttention(runs),
        () => metrics.needingAttention(undefined),
      ),
    ]);
    if (!stop.signal.aborted) timer = setTimeout(look, everyMs).unref();
  };
  let timer = setTimeout(look, 0).unref();
  return () => {
    stop.abort();
    clearTimeout(timer);
  };
}

async function openPurchases(ledger: Ledger, stop: AbortSignal) {
  const signal = AbortSignal.any([stop, AbortSignal.timeout(LOOK_BOUND_MS)]);
  const { open, damaged } = await ledger.listOpen(undefined, { signal });
  const nowMs = Date.now();
  return { agesMs: open.map(({ intent }) => Math.max(0, nowMs - intent.written_at_ms)), damaged: damaged.length };
}

async function needingAttention(client: Client, taskQueue: string): Promise<number> {
  const query = `VideoOutcome = 'needs_attention' AND ExecutionStatus = 'Running' AND TaskQueue = '${taskQueue}'`;
  const { count } = await client.withDeadline(Date.now() + COUNT_BOUND_MS, () => client.workflow.count(query));
  return count;
}
