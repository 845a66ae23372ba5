import type { Client } from '@temporalio/client';
import type { Ledger } from '../ledger/ledger.js';
import type { OpenPurchasesReport, WorkerMetrics } from '../metrics/worker-metrics.js';

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
  /** What this worker does. */
  readonly steps: () => StepCount;
}

/** Steps of a worker since its start. */
export interface StepCount {
  readonly begun: number;
  readonly running: number;
}

/**
 * Monitors what no step reports: the account's open purchases and the runs that wait for a person. One scan at a time,
 * bounded; a failed one leaves the metrics absent. Neither costs an Action on Temporal Cloud. The store is not asked
 * again while the last scan found nothing and this worker has run no step since: what another worker buys, that one
 * reports, and what it leaves the next step finds here, at the latest the sweep.
 * @returns stops it.
 */
export function monitorPurchases({ metrics, ledger, client, taskQueue, everyMs, steps }: LookDeps): () => void {
  const stop = new AbortController();
  /** The last scan that found nothing while nothing ran. */
  let quiet: { readonly report: OpenPurchasesReport; readonly begun: number } | undefined;
  const scan = async (): Promise<OpenPurchasesReport> => {
    const { begun, running } = steps();
    if (quiet?.begun === begun) return quiet.report;
    const report = await openPurchases(ledger, stop.signal);
    const isQuiet = running === 0 && report.agesMs.length === 0 && report.damaged === 0;
    quiet = isQuiet ? { report, begun } : undefined;
    return report;
  };
  const look = async (): Promise<void> => {
    await Promise.all([
      scan().then(
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

async function openPurchases(ledger: Ledger, stop: AbortSignal): Promise<OpenPurchasesReport> {
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
