import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { NativeConnection, Worker } from '@temporalio/worker';
import { createActivities } from '../../activities/index.js';
import { connectClient, type TemporalTarget } from '../client/connect.js';
import type { Config } from '../config/config.js';
import { DashScopeClient } from '../dashscope/client.js';
import { openStore } from '../storage/open-store.js';
import { BUNDLE_PATH } from './build-bundle.js';

/** What a worker is made of. */
export interface WorkerOptions {
  readonly config: Config;
  readonly temporal: TemporalTarget;
  /** Gives the provider key at each call, so that a changed key file is taken up. */
  readonly apiKey: () => Promise<string> | string;
  /** Workflow code; the prebuilt file unless given. */
  readonly bundlePath?: string;
  /** Ends the worker as SIGTERM does. */
  readonly signal?: AbortSignal;
  /** Called once both queues are polled. */
  readonly onReady?: () => void;
}

/**
 * Runs a worker for both queues until SIGTERM or SIGINT, or until one of them fails.
 * @throws when Temporal cannot be reached; the provider and the store are met by the steps, which say so.
 */
export async function runWorker({
  config,
  temporal,
  apiKey,
  bundlePath = BUNDLE_PATH,
  signal,
  onReady,
}: WorkerOptions): Promise<void> {
  const { times, taskQueues, provider } = config;
  const spoolDir = join(tmpdir(), 'wan-video-spool');
  await mkdir(spoolDir, { recursive: true });
  const client = await connectClient(temporal);
  const connection = await NativeConnection.connect(temporal.connection as never);
  const activities = createActivities({
    dashscope: new DashScopeClient({
      baseUrl: provider.baseUrl,
      apiKey,
      ...(provider.workspace !== undefined && { workspace: provider.workspace }),
    }),
    store: openStore(config.store),
    providerId: provider.providerId,
    account: provider.account,
    allowPrivateUrls: config.allowPrivateUrls,
    spoolDir,
    publicBaseUrl: config.publicBaseUrl,
    times,
    now: Date.now,
    random: Math.random,
    cancelRun: async (workflowId, runId) => {
      await client.workflow.getHandle(workflowId, runId).cancel();
    },
  });
  const common = {
    connection,
    namespace: temporal.namespace,
    maxHeartbeatThrottleInterval: times.heartbeatThrottleMs,
  } as const;
  const main = await Worker.create({
    ...common,
    taskQueue: taskQueues.generate,
    workflowBundle: { codePath: bundlePath },
    activities,
    // Polls and archives hand over at once: nothing in them is lost by an abort.
    shutdownGraceTime: times.mainGraceMs,
    shutdownForceTime: times.submitForceMs,
    // Every poll occupies a slot for the whole render.
    maxConcurrentActivityTaskExecutions: 500,
  });
  const submit = await Worker.create({
    ...common,
    taskQueue: taskQueues.submit,
    activities: { submitTask: activities.submitTask },
    maxTaskQueueActivitiesPerSecond: config.rates.submit,
    maxConcurrentActivityTaskExecutions: 10,
    // A submit in flight is finished: its answer is a purchase.
    shutdownGraceTime: times.submitGraceMs,
    shutdownForceTime: times.submitForceMs,
  });
  const stop = (): void => {
    for (const worker of [main, submit]) if (worker.getState() === 'RUNNING') worker.shutdown();
  };
  try {
    const runs = [main, submit].map((worker) => worker.run().finally(stop));
    signal?.addEventListener('abort', stop, { once: true });
    onReady?.();
    await Promise.all(runs);
  } finally {
    await connection.close().catch(() => undefined); // throws while a forced-out worker still holds it
    await client.connection.close();
  }
}
