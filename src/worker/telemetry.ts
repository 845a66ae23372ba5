import type { Client } from '@temporalio/client';
import type { InjectedSinks } from '@temporalio/worker';
import type { ActivityDeps, createActivities } from '../../activities/index.js';
import type { WorkerSinks } from '../../workflows/shared/worker-sinks.js';
import type { Config } from '../config/config.js';
import { WorkerMetrics } from '../metrics/worker-metrics.js';
import { WorkerHealth } from './health.js';
import { temporalMetricsAddress } from './logger.js';
import { lookPeriodically } from './purchase-monitor.js';
import { startTelemetryServer } from './telemetry-server.js';

/** Busy slots speak at least every ten checks; after twice that they are on another worker. */
const SLOTS_KEPT_CHECKS = 20;

/** What a worker tells of itself: numbers, health, and where both are served. */
export interface Telemetry {
  readonly metrics: WorkerMetrics;
  readonly health: WorkerHealth;
  /** What runs on this worker tell it. */
  readonly sinks: InjectedSinks<WorkerSinks>;
  /** The steps, counted while they run. */
  counted(activities: ReturnType<typeof createActivities>): ReturnType<typeof createActivities>;
  /** Begins the periodic look at ledger and Temporal, where metrics are served at all. */
  look(ledger: ActivityDeps['ledger'], client: Client): void;
  close(): Promise<void>;
}

/**
 * Starts counting, and serving where `WAN_VIDEO_METRICS` says; before anything else, so that a worker that cannot start says so.
 * @throws VideoError `ConfigurationInvalid` when that address cannot be listened on.
 */
export async function startTelemetry({ provider, metrics: address, times, taskQueues }: Config): Promise<Telemetry> {
  const metrics = new WorkerMetrics({ provider: provider.providerId, account: provider.account });
  const health = new WorkerHealth();
  metrics.readyWhen(async () => (await health.readiness()).ready);
  const sources = { metrics: () => metrics.text(), temporalMetrics: temporalMetricsAddress(), health };
  const server = address === undefined ? undefined : await startTelemetryServer(address, sources);
  const slotsKeptMs = SLOTS_KEPT_CHECKS * times.slotCheckMs;
  let stopLooking = (): void => undefined;
  return {
    metrics,
    health,
    sinks: {
      wanVideo: {
        runEnded: {
          fn: ({ workflowType }, outcome, failureType) => metrics.runEnded(workflowType, outcome, failureType),
        },
        slots: {
          fn: (_info, limit, held, waiting, atMs) => metrics.slots({ limit, held, waiting, atMs }, slotsKeptMs),
          callDuringReplay: true,
        },
      },
    },
    counted: (activities) => countedSteps(activities, metrics),
    look(ledger, client) {
      if (server === undefined) return;
      const { metricsEveryMs: everyMs } = times;
      stopLooking = lookPeriodically({ metrics, ledger, client, taskQueue: taskQueues.generate, everyMs });
    },
    async close() {
      stopLooking();
      await server?.close();
    },
  };
}

function countedSteps<Steps extends object>(steps: Steps, metrics: WorkerMetrics): Steps {
  const counted = Object.entries(steps).map(([name, step]: [string, (...input: unknown[]) => Promise<unknown>]) => [
    name,
    async (...input: unknown[]) => {
      const ended = metrics.stepBegins(name);
      try {
        return await step(...input);
      } finally {
        ended();
      }
    },
  ]);
  return Object.fromEntries(counted) as Steps;
}
