import { hostname } from 'node:os';
import { NativeConnection, Runtime, Worker, type WorkerDeploymentOptions } from '@temporalio/worker';
import { type ActivityDeps, createActivities, failureInterceptor } from '../../activities/index.js';
import { aborted } from '../async/aborted.js';
import { systemClock } from '../async/clock.js';
import { connectClient, temporalUnreachable } from '../client/connect.js';
import { isRunOpen } from '../client/is-run-open.js';
import { readRunInput } from '../client/run-input.js';
import { codecsOf, type TemporalTarget, workerOptionsOf } from '../client/temporal-target.js';
import type { Config } from '../config/config.js';
import { raisedQuotas } from '../config/quotas.js';
import { VideoError } from '../contract/video-error.js';
import { DashScopeClient } from '../dashscope/client.js';
import { Ledger } from '../ledger/ledger.js';
import type { WrittenRecord } from '../ledger/ledger-records.js';
import { RecentImages } from '../media/recent-images.js';
import type { WorkerMetrics } from '../metrics/worker-metrics.js';
import { redactText } from '../net/redact.js';
import { SPOOL_FOLDER, tidySpoolFolder } from '../net/spool-folder.js';
import { EvenPace } from '../polling/even-pace.js';
import { QueryBudget } from '../polling/query-budget.js';
import { LearnedRenderTimes } from '../polling/render-times.js';
import { ResultLinks } from '../polling/result-links.js';
import { createTaskWatcher } from '../polling/task-watcher.js';
import { flushTracing } from '../tracing/start-sdk.js';
import { tracedClient } from '../tracing/traced-client.js';
import { WebhookReceivers } from '../webhook/webhook-receivers.js';
import { accountSlotsPort, announceLimit, keepSlotsRunning } from './account-slots.js';
import { attributesPort } from './attributes-port.js';
import { itemState } from './batch-item-state.js';
import type { ClockWatch } from './clock-watch.js';
import { readNamedFiles } from './config-files.js';
import { conformWorkers, usableFfmpeg } from './conform-worker.js';
import { flushLog, logNow } from './logger.js';
import { watchMissedRuns } from './missed-runs.js';
import { nexusServicesOf } from './nexus-service.js';
import { OrphanWatch } from './orphan-watch.js';
import { oddityReport, providerClientOptions } from './provider-client.js';
import { schedulesPort } from './schedules.js';
import { startTelemetry, type Telemetry } from './telemetry.js';
import { handleUncaughtErrors } from './uncaught-errors.js';
import { ignoreStorageReferences } from './undecodable-payloads.js';
import { type VerifiedStore, verifiedStore } from './verified-store.js';
import { clockWatchOf, lookAtProviderClock } from './worker-clock.js';
import { type ReadyOptions, readyOptions, type WorkerOptions } from './worker-options.js';
import { type WorkerTracing, workerTracing } from './worker-tracing.js';
import { watchWorker } from './worker-watch.js';
import { ISOLATE_OPTIONS, workflowCodeOf } from './workflow-code.js';

/** Every poll occupies a place for the whole render; 500 in flight are 100 times the account's five. */
const ACTIVITIES_MAX = 500;
/** Bound on the last write of learned render times at shutdown: one small object. */
const STATS_SYNC_MS = 2_000;
/** Bound on closing connections and on the last write, after the workers have ended. */
const GOODBYE_MS = 10_000;
/** A submit takes some 0.1 s and the queue starts a few per second: ten allow for one that hangs. */
const SUBMITS_MAX = 10;
/**
 * Longest wait of a submit for its turn in this process, in seconds; its purchase is announced by then, and what is not
 * sent within five seconds is given up.
 */
const SUBMIT_WAIT_SECONDS = 2.5;

/**
 * Runs a worker for all its queues until SIGTERM or SIGINT, or until one of them fails. Renewed credentials of Temporal
 * are used without a new process. It uses the `Runtime` of the process, which other workers may share.
 * @throws VideoError `ConfigurationInvalid` with the name of an option or a variable that cannot be used, before
 * anything is connected; also when Temporal cannot be reached, when the store's conditional put does not
 * hold, when this machine's clock is wrong, or when a file that the configuration names has a fault; also later, when
 * the clock drifts or Temporal or the store no longer accept this worker.
 * @throws Error with the first uncaught error as its cause, after the drain, in a process of its own.
 * @example
 * ```ts
 * const stop = new AbortController();
 * await runWorker({ env: process.env, signal: stop.signal, onReady: () => console.log('ready') });
 * ```
 */
export async function runWorker(given: WorkerOptions = {}): Promise<void> {
  const options = await readyOptions(given);
  const traced = workerTracing(options);
  ignoreStorageReferences();
  const telemetry = await startTelemetry(options.config);
  const failed = new AbortController();
  const stopHandling = options.ownsProcess === true ? handleErrors(options, telemetry, failed) : () => undefined;
  const fail = (error: VideoError): void => {
    logNow('ERROR', 'The worker cannot go on and ends', { error });
    telemetry.health.failing(error.message);
    failed.abort(error);
  };
  try {
    const signal = AbortSignal.any([failed.signal, ...(options.signal === undefined ? [] : [options.signal])]);
    const clocks = clockWatchOf(options.config, fail);
    let next: ReadyOptions | undefined = options;
    while (next !== undefined) next = await runQueues({ ...next, signal }, telemetry, { clocks, fail, traced });
    if (failed.signal.reason instanceof VideoError) throw failed.signal.reason;
    if (failed.signal.aborted)
      throw new Error('The worker ended after an uncaught error', { cause: failed.signal.reason });
  } finally {
    await Promise.all([telemetry.close(), flushTracing()]);
    flushLog();
    stopHandling();
  }
}

function handleErrors(
  { config: { times } }: ReadyOptions,
  { metrics, health }: Telemetry,
  failed: AbortController,
): () => void {
  return handleUncaughtErrors({
    count: (kind) => metrics.uncaught(kind),
    drain: (error) => {
      health.stopping();
      failed.abort(error);
    },
    drainMs: times.submitForceMs + GOODBYE_MS,
  });
}

/** A start step's value, or `undefined` as soon as `signal` aborts; `discard` gets a value that comes later. */
async function unlessStopped<T>(
  step: Promise<T>,
  signal: AbortSignal | undefined,
  discard: (value: T) => unknown = () => undefined,
): Promise<T | undefined> {
  if (signal === undefined) return step;
  const first = await Promise.race([step.then((value) => ({ value })), aborted(signal)]);
  if (first !== 'aborted') return first.value;
  void step.then(discard).catch(() => undefined);
  return undefined;
}

/** What outlives the connections of a worker. */
interface WorkerLife {
  readonly clocks: ClockWatch;
  /** Ends the worker with an error. */
  readonly fail: (error: VideoError) => void;
  readonly traced: WorkerTracing | undefined;
}

/** @returns what to continue with, when the connections are to be opened again; undefined at the end. */
async function runQueues(
  options: ReadyOptions,
  telemetry: Telemetry,
  { clocks, fail, traced }: WorkerLife,
): Promise<ReadyOptions | undefined> {
  const { config, temporal, signal, onReady, plugins = [], interceptors = {} } = options;
  const { times, taskQueues } = config;
  for (const warning of raisedQuotas(config.provider.providerId, config.rates)) Runtime.instance().logger.warn(warning);
  const { prices, budgets, webhook: receivers } = await readNamedFiles(config);
  const webhook =
    receivers &&
    new WebhookReceivers(receivers, { proxies: config.proxies, timeoutMs: times.webhookHttpMs, now: Date.now });
  const [store, , ffmpeg] = await Promise.all([
    unlessStopped(verifiedStore(config, temporal, clocks), signal),
    unlessStopped(lookAtProviderClock(config, clocks), signal),
    unlessStopped(usableFfmpeg(config), signal),
  ]);
  if (store === undefined) return undefined;
  clocks.requireRightClock();
  telemetry.health.storeProven(store.store);
  const code = await unlessStopped(workflowCodeOf(temporal, options, traced?.code), signal);
  if (code === undefined) return undefined;
  await tidySpoolFolder(Date.now());
  // Spans are made with what the worker has, wherever the target comes from.
  const plain = { ...temporal, tracing: undefined };
  const found = await unlessStopped(connectClient(plain), signal, (late) => late.connection.close());
  if (found === undefined) return undefined;
  const client = traced === undefined ? found : tracedClient(found, traced.tracing);
  const connection = await unlessStopped(connectWorker(temporal), signal, (late) => late.close());
  if (connection === undefined) {
    await client.connection.close();
    return undefined;
  }
  const stats = renderTimes(config, store);
  // The start does not wait for this: without the other workers' render times a worker still works.
  void stats.sync();
  const knowsAttributes = attributesPort(client);
  const orphans = new OrphanWatch();
  const observers = { metrics: telemetry.metrics, clocks, orphans, traced };
  const deps = activityDeps(options, observers, store, stats, {
    prices,
    webhook,
    cancelRun: async (workflowId, runId) => {
      await client.workflow.getHandle(workflowId, runId).cancel();
    },
    readRunInput: (workflowId, runId) => readRunInput(client, workflowId, runId),
    isRunOpen: (workflowId, firstRunId) => isRunOpen(client, workflowId, firstRunId),
    payloadsEncoded: codecsOf(temporal).length > 0,
    schedules: schedulesPort(client),
    itemState: (workflowId, itemId) => itemState(client, workflowId, itemId),
    knowsAttributes,
    slots: accountSlotsPort(client, config, budgets, knowsAttributes),
    ffmpeg,
  });
  const activities = telemetry.counted(createActivities(deps));
  const { workflowBundle, dataConverter } = code;
  // A failure that leaves an interceptor of the caller becomes a published one as well.
  const ours = { ...interceptors, activity: [failureInterceptor, ...(interceptors.activity ?? [])] };
  const common = {
    connection,
    namespace: temporal.namespace,
    ...(dataConverter !== undefined && { dataConverter }),
    ...versionOf(config),
    maxHeartbeatThrottleInterval: times.heartbeatThrottleMs,
    interceptors: traced?.around(ours) ?? ours,
    plugins: [...plugins],
  };
  const main = await Worker.create({
    ...common,
    taskQueue: taskQueues.generate,
    workflowBundle,
    activities,
    nexusServices: await nexusServicesOf(client),
    sinks: { ...traced?.sinks, ...telemetry.sinks },
    // Polls and archives end at once: an abort loses nothing, another worker continues.
    shutdownGraceTime: times.mainGraceMs,
    shutdownForceTime: times.mainForceMs,
    ...ISOLATE_OPTIONS,
    maxConcurrentActivityTaskExecutions: ACTIVITIES_MAX,
    // The runs of a killed worker wait this long before another worker continues them: with the submit's 30 s below 40
    // s.
    stickyQueueScheduleToStartTimeout: '5s',
  });
  const submit = await Worker.create({
    ...common,
    taskQueue: taskQueues.submit,
    activities: { submitTask: activities.submitTask },
    maxTaskQueueActivitiesPerSecond: config.rates.submit,
    maxConcurrentActivityTaskExecutions: Math.max(
      1,
      Math.min(SUBMITS_MAX, Math.floor(config.rates.submit * SUBMIT_WAIT_SECONDS)),
    ),
    // A submit in flight runs to its end: its answer is a purchase.
    shutdownGraceTime: times.submitGraceMs,
    shutdownForceTime: times.submitForceMs,
  });
  const conforming = await conformWorkers(ffmpeg, config, { ...common, activities });
  const workers = [main, submit, ...conforming];
  await announceLimit(client, config, budgets);
  const stopLooking = keepSlotsRunning(client, config, budgets, times.slotCheckMs / 2);
  const salvaging = { ...deps, client, taskQueue: taskQueues.generate };
  const stopSalvaging = orphans.start(salvaging, times.orphanCheckMs);
  const stopCounting = watchMissedRuns({ ...salvaging, metrics: telemetry.metrics }, times.missedRunsEveryMs);
  telemetry.health.polling(workers, client, taskQueues.generate);
  telemetry.look(deps.ledger, client);
  const stop = (): void => {
    stopLooking();
    stopSalvaging();
    stopCounting();
    telemetry.health.stopping();
    for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
  };
  let next: ReadyOptions | undefined;
  const stopWatching = watchWorker({
    client,
    connection,
    taskQueue: taskQueues.generate,
    identity: main.options.identity,
    temporal,
    readTemporal: options.readTemporal,
    store: store.store,
    steps: telemetry.steps,
    clocks,
    times,
    onNewTarget: (target) => {
      // Connections are bound to what they were opened with, so the queues are drained and polled through new ones.
      next = { ...options, temporal: target, onReady: undefined };
      stop();
    },
    onFault: fail,
  });
  try {
    const runs = workers.map((worker) => worker.run().finally(stop));
    if (signal?.aborted) stop();
    signal?.addEventListener('abort', stop, { once: true });
    onReady?.();
    await Promise.all(runs);
    return signal?.aborted ? undefined : next;
  } finally {
    stopWatching();
    signal?.removeEventListener('abort', stop);
    await stats.sync(AbortSignal.timeout(STATS_SYNC_MS)).catch(() => undefined);
    await webhook?.close();
    await connection.close().catch(() => undefined); // throws while a forced-out worker still holds it
    await client.connection.close();
  }
}

/** The worker's own connection. It is another library's than the client's: one may fail where the other does not. */
async function connectWorker(temporal: TemporalTarget): Promise<NativeConnection> {
  try {
    return await NativeConnection.connect(workerOptionsOf(temporal) as never);
  } catch (cause) {
    throw temporalUnreachable(temporal, cause, { fault: cause instanceof Error ? cause.message : String(cause) });
  }
}

/**
 * With Worker Versioning a run and its submits stay on the version that it began on: all queues belong to the version.
 */
function versionOf({ deployment }: Config): { workerDeploymentOptions?: WorkerDeploymentOptions } {
  if (deployment === undefined) return {};
  const version = { deploymentName: deployment.name, buildId: deployment.buildId };
  return {
    workerDeploymentOptions: { version, useWorkerVersioning: true, defaultVersioningBehavior: 'PINNED' },
  };
}

/** Learned render times, shared with the other workers through the store. */
function renderTimes({ provider, taskQueues }: Config, { store }: VerifiedStore): LearnedRenderTimes {
  const scope = { provider: provider.providerId, account: provider.account };
  const onWarning = (message: string) => Runtime.instance().logger.warn(redactText(message));
  return new LearnedRenderTimes({
    store,
    scope,
    worker: `${hostname()}-${taskQueues.generate}`,
    now: Date.now,
    onWarning,
  });
}

/** What takes note of what the steps do. */
interface Observers {
  readonly metrics: WorkerMetrics;
  readonly clocks: ClockWatch;
  readonly orphans: OrphanWatch;
  readonly traced: WorkerTracing | undefined;
}

function activityDeps(
  { config, apiKey }: ReadyOptions,
  { metrics, clocks, orphans, traced }: Observers,
  { store, storeId: id }: VerifiedStore,
  stats: LearnedRenderTimes,
  given: Pick<
    ActivityDeps,
    | 'prices'
    | 'webhook'
    | 'cancelRun'
    | 'readRunInput'
    | 'isRunOpen'
    | 'itemState'
    | 'schedules'
    | 'knowsAttributes'
    | 'payloadsEncoded'
    | 'slots'
    | 'ffmpeg'
  >,
): ActivityDeps {
  const { times, provider } = config;
  const scope = { provider: provider.providerId, account: provider.account };
  const onOddity = oddityReport(metrics, traced?.ids);
  const onRecordWritten = (record: WrittenRecord): void => {
    metrics.won(record);
    orphans.wrote(record);
  };
  const budget = new QueryBudget({ perSecond: config.rates.query, clock: systemClock, random: Math.random });
  const submits = new EvenPace(config.rates.submit, systemClock);
  const clientOptions = providerClientOptions({ config, apiKey, onOddity, trace: traced?.request }, metrics, clocks);
  const dashscope = new DashScopeClient({
    ...clientOptions,
    pace: {
      readStatus: (send, signal) => budget.run(send, signal),
      submitTurn: () => submits.turn(),
    },
  });
  // The watcher itself asks the budget, because it decides at that moment what to send.
  const watched = new DashScopeClient(clientOptions);
  const watcher = createTaskWatcher({
    query: (taskId, options) => watched.queryTask(taskId, options),
    list: (query) => watched.listTasks(query),
    budget,
    clock: systemClock,
    random: Math.random,
    stats,
    times: times.poll,
    onOddity,
  });
  metrics.watching(() => watcher.load());
  return {
    dashscope,
    watcher,
    links: new ResultLinks(),
    images: new RecentImages(),
    providerBaseUrl: provider.baseUrl,
    store,
    storeId: id,
    ledger: new Ledger({ store, scope, now: Date.now, onRecordWritten }),
    allowPrivateUrls: config.allowPrivateUrls,
    proxies: config.proxies,
    spoolDir: SPOOL_FOLDER,
    publicBaseUrl: config.publicBaseUrl,
    runbookUrl: config.runbookUrl,
    times,
    clock: systemClock,
    metrics,
    ...given,
  };
}
