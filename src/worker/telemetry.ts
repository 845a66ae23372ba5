import type { Client } from '@temporalio/client';
import type { InjectedSinks } from '@temporalio/worker';
import type { ActivityDeps, createActivities } from '../../activities/index.js';
import type { WorkerSinks } from '../../workflows/shared/worker-sinks.js';
import type { Config } from '../config/config.js';
import { WorkerMetrics } from '../metrics/worker-metrics.js';
import { WorkerHealth } from './health.js';
import { temporalMetricsAddress } from './logger.js';
import { monitorPurchases, type StepCount } from './purchase-monitor.js';
import { monitorStuckRuns } from './stuck-runs.js';
import { startTelemetryServer } from './telemetry-server.js';

/** Busy slots speak at least every ten checks; after twice that they are on another worker. */
const SLOTS_KEPT_CHECKS = 20;

/** A worker's metrics and health, and the server of both. */
export interface Telemetry {
  readonly metrics: WorkerMetrics;
  readonly health: WorkerHealth;
  /** Calls of the runs on this worker. */
  readonly sinks: InjectedSinks<WorkerSinks>;
  /** The steps, counted while they run. */
  counted(activities: ReturnType<typeof createActivities>): ReturnType<typeof createActivities>;
  /** How many of them have begun and are running. */
  steps(): StepCount;
  /** Starts the monitor of stuck runs, and that of ledger and Temporal, if metrics are served at all. */
  look(ledger: ActivityDeps['ledger'], client: Client): void;
  close(): Promise<void>;
}

/**
 * Starts counting, and serving at `WAN_VIDEO_METRICS`; before anything else, so that a failing start is visible.
 * @throws VideoError `ConfigurationInvalid` when that address cannot be listened on.
 */
export async function startTelemetry({ provider, metrics: address, times, taskQueues }: Config): Promise<Telemetry> {
  const metrics = new WorkerMetrics({ provider: provider.providerId, account: provider.account });
  const health = new WorkerHealth();
  metrics.readyWhen(async () => (await health.readiness()).ready);
  const sources = { metrics: () => metrics.text(), temporalMetrics: temporalMetricsAddress(), health };
  const server = address === undefined ? undefined : await startTelemetryServer(address, sources);
  const slotsKeptMs = SLOTS_KEPT_CHECKS * times.slotCheckMs;
  const steps = { begun: 0, running: 0 };
  let stopLooking = (): void => undefined;
  return {
    metrics,
    health,
    sinks: {
      wanVideo: {
        runEnded: {
          fn: ({ workflowType }, outcome, failureType) => metrics.runEnded(workflowType, outcome, failureType),
        },
        messageIgnored: {
          fn: ({ workflowType }, message, why) => metrics.messageIgnored(workflowType, message, why),
        },
        slots: {
          fn: (_info, limit, held, waiting, atMs) => metrics.slots({ limit, held, waiting, atMs }, slotsKeptMs),
          callDuringReplay: true,
        },
      },
    },
    steps: () => steps,
    counted: (activities) => countedSteps(activities, metrics, steps),
    look(ledger, client) {
      stopLooking();
      const at = { metrics, client, taskQueue: taskQueues.generate, everyMs: times.metricsEveryMs };
      const purchases = { ...at, ledger, steps: () => steps };
      const stops = [monitorStuckRuns(at), ...(server === undefined ? [] : [monitorPurchases(purchases)])];
      stopLooking = () => {
        for (const stop of stops) stop();
      };
    },
    async close() {
      stopLooking();
      await server?.close();
    },
  };
}

function countedSteps<Steps extends object>(
  steps: Steps,
  metrics: WorkerMetrics,
  count: { begun: number; running: number },
): Steps {
  const counted = Object.entries(steps).map(([name, step]: [string, (...input: unknown[]) => Promise<unknown>]) => [
    name,
    async (...input: unknown[]) => {
      const ended = metrics.stepBegins(name);
      count.begun += 1;
      count.running += 1;
      try {
        return await step(...input);
      } finally {
        count.running -= 1;
        ended();
      }
    },
  ]);
  return Object.fromEntries(counted) as Steps;
}
