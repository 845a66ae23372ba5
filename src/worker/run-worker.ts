import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Client } from '@temporalio/client';
import type { DataConverter } from '@temporalio/common';
import { NativeConnection, Runtime, Worker, type WorkerDeploymentOptions } from '@temporalio/worker';
import type { Dispatcher } from 'undici';
import { type ActivityDeps, createActivities, failureInterceptor } from '../../activities/index.js';
import { aborted } from '../async/aborted.js';
import { systemClock } from '../async/clock.js';
import { connectClient, temporalUnreachable } from '../client/connect.js';
import { isRunOpen } from '../client/is-run-open.js';
import { type TemporalTarget, workerOptionsOf } from '../client/temporal-target.js';
import type { Config } from '../config/config.js';
import { raisedQuotas } from '../config/quotas.js';
import { SEARCH_ATTRIBUTES } from '../contract/names.js';
import type { Oddity } from '../dashscope/answer-reader.js';
import { DashScopeClient, type DashScopeClientOptions } from '../dashscope/client.js';
import { Ledger } from '../ledger/ledger.js';
import type { WorkerMetrics } from '../metrics/worker-metrics.js';
import { createAddressPolicy } from '../net/address-policy.js';
import { guardedConnector } from '../net/guarded-connector.js';
import { createDispatcher } from '../net/proxies.js';
import { redactText } from '../net/redact.js';
import { SPOOL_FOLDER, tidySpoolFolder } from '../net/spool-folder.js';
import { EvenPace } from '../polling/even-pace.js';
import { QueryBudget } from '../polling/query-budget.js';
import { LearnedRenderTimes } from '../polling/render-times.js';
import { ResultLinks } from '../polling/result-links.js';
import { createTaskWatcher } from '../polling/task-watcher.js';
import type { AssetStore } from '../storage/asset-store.js';
import { openStore } from '../storage/open-store.js';
import { checkSharedFileStore } from '../storage/shared-file-store.js';
import { storeId } from '../storage/store-id.js';
import { verifyConditionalPut } from '../storage/verify-conditional-put.js';
import { WebhookSender } from '../webhook/webhook-sender.js';
import { accountSlotsPort, announceLimit } from './account-slots.js';
import { itemState } from './batch-item-state.js';
import { BUNDLE_PATH, encryptedBundleOf } from './build-bundle.js';
import { readNamedFiles } from './config-files.js';
import { flushLog } from './logger.js';
import { schedulesPort } from './schedules.js';
import { startTelemetry, type Telemetry } from './telemetry.js';
import { handleUncaughtErrors } from './uncaught-errors.js';

/** Everything that a worker needs. */
export interface WorkerOptions {
  readonly config: Config;
  readonly temporal: TemporalTarget;
  /** Called for each request, so that a changed key file is used at once. */
  readonly apiKey: () => Promise<string> | string;
  /** Workflow code; the prebuilt file unless given. */
  readonly bundlePath?: string | undefined;
  /** Ends the worker as SIGTERM does, also while it starts. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Whether the process is this worker's own; default false. Then errors that nothing caught are logged and counted,
   * and end it after a drain instead of at once.
   */
  readonly ownsProcess?: boolean | undefined;
  /** Called once both queues are polled. */
  readonly onReady?: (() => void) | undefined;
}

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
 * Runs a worker for both queues until SIGTERM or SIGINT, or until one of them fails.
 * @throws VideoError `ConfigurationInvalid` when Temporal cannot be reached, when the store's conditional put does not
 * hold, or when a file that the configuration names has a fault.
 * @throws Error with the first uncaught error as its cause, after the drain, in a process of its own.
 */
export async function runWorker(options: WorkerOptions): Promise<void> {
  const telemetry = await startTelemetry(options.config);
  const failed = new AbortController();
  const stopHandling = options.ownsProcess === true ? handleErrors(options, telemetry, failed) : () => undefined;
  try {
    const signal = AbortSignal.any([failed.signal, ...(options.signal === undefined ? [] : [options.signal])]);
    await runQueues({ ...options, signal }, telemetry);
    if (failed.signal.aborted)
      throw new Error('The worker ended after an uncaught error', { cause: failed.signal.reason });
  } finally {
    await telemetry.close();
    flushLog();
    stopHandling();
  }
}

function handleErrors(
  { config: { times } }: WorkerOptions,
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

async function runQueues(options: WorkerOptions, telemetry: Telemetry): Promise<void> {
  const { config, temporal, bundlePath = BUNDLE_PATH, signal, onReady } = options;
  const { times, taskQueues } = config;
  for (const warning of raisedQuotas(config.provider.providerId, config.rates)) Runtime.instance().logger.warn(warning);
  const { prices, budgets, webhook: settings } = await readNamedFiles(config);
  const webhook =
    settings && new WebhookSender({ settings, proxies: config.proxies, timeoutMs: times.webhookHttpMs, now: Date.now });
  const store = await unlessStopped(verifiedStore(config, temporal), signal);
  if (store === undefined) return;
  telemetry.health.storeProven();
  await tidySpoolFolder(Date.now());
  const client = await unlessStopped(connectClient(temporal), signal, (late) => late.connection.close());
  if (client === undefined) return;
  const connection = await unlessStopped(connectWorker(temporal), signal, (late) => late.close());
  if (connection === undefined) return client.connection.close();
  const stats = renderTimes(config, store);
  // The start does not wait for this: without the other workers' render times a worker still works.
  void stats.sync();
  const deps = activityDeps(options, telemetry.metrics, store, stats, {
    prices,
    webhook,
    cancelRun: async (workflowId, runId) => {
      await client.workflow.getHandle(workflowId, runId).cancel();
    },
    isRunOpen: (workflowId) => isRunOpen(client, workflowId),
    payloadsEncoded: temporal.payloadCodec !== undefined,
    schedules: schedulesPort(client),
    itemState: (workflowId, itemId) => itemState(client, workflowId, itemId),
    knowsAttributes: attributesPort(client),
    slots: accountSlotsPort(client, config, budgets),
  });
  const activities = telemetry.counted(createActivities(deps));
  const common = {
    connection,
    namespace: temporal.namespace,
    ...dataConverterOf(temporal, bundlePath),
    ...versionOf(config),
    maxHeartbeatThrottleInterval: times.heartbeatThrottleMs,
    interceptors: { activity: [failureInterceptor] },
  };
  const main = await Worker.create({
    ...common,
    taskQueue: taskQueues.generate,
    workflowBundle: {
      codePath: temporal.payloadCodec === undefined ? bundlePath : encryptedBundleOf(bundlePath).bundlePath,
    },
    activities,
    sinks: telemetry.sinks,
    // Polls and archives end at once: an abort loses nothing, another worker continues.
    shutdownGraceTime: times.mainGraceMs,
    shutdownForceTime: times.mainForceMs,
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
  await announceLimit(client, config, budgets);
  telemetry.health.polling([main, submit], client, taskQueues.generate);
  telemetry.look(deps.ledger, client);
  const stop = (): void => {
    telemetry.health.stopping();
    for (const worker of [main, submit]) if (worker.getState() === 'RUNNING') worker.shutdown();
  };
  try {
    const runs = [main, submit].map((worker) => worker.run().finally(stop));
    if (signal?.aborted) stop();
    signal?.addEventListener('abort', stop, { once: true });
    onReady?.();
    await Promise.all(runs);
  } finally {
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
 * With Worker Versioning a run and its submits stay on the version that it began on: both queues belong to the version.
 */
function versionOf({ deployment }: Config): { workerDeploymentOptions?: WorkerDeploymentOptions } {
  if (deployment === undefined) return {};
  const version = { deploymentName: deployment.name, buildId: deployment.buildId };
  return {
    workerDeploymentOptions: { version, useWorkerVersioning: true, defaultVersioningBehavior: 'PINNED' },
  };
}

/** The data converter of a worker with a payload codec; the texts of failures are encoded, too. */
function dataConverterOf({ payloadCodec }: TemporalTarget, bundlePath: string): { dataConverter?: DataConverter } {
  if (payloadCodec === undefined) return {};
  const { failureConverterPath } = encryptedBundleOf(bundlePath);
  return { dataConverter: { payloadCodecs: [payloadCodec], failureConverterPath } };
}

/** Asks the server whether our search attributes exist; a yes is remembered, a no is asked again by the next run. */
function attributesPort(client: Client): () => Promise<boolean> {
  const query = Object.keys(SEARCH_ATTRIBUTES)
    .map((name) => `${name} = '-'`)
    .join(' OR ');
  let known = false;
  return async () => {
    known ||= await client.workflow.count(query).then(
      () => true,
      () => false,
    );
    return known;
  };
}

interface VerifiedStore {
  readonly store: AssetStore;
  readonly storeId: string;
}

/**
 * Opens the asset store and verifies at every start that of many concurrent writers one wins: buying once rests on it.
 */
async function verifiedStore(config: Config, temporal: TemporalTarget): Promise<VerifiedStore> {
  const { store: configured, sharedFileStore, proxies } = config;
  const temporalAddress = temporal.connection.address ?? 'localhost:7233';
  checkSharedFileStore({ store: configured.kind, temporalAddress, sharedFileStore });
  const store = openStore(configured, proxies);
  await verifyConditionalPut(store, { newId: randomUUID });
  return { store, storeId: await storeId(store, { newId: randomUUID }) };
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

function activityDeps(
  { config, apiKey }: WorkerOptions,
  metrics: WorkerMetrics,
  { store, storeId: id }: VerifiedStore,
  stats: LearnedRenderTimes,
  given: Pick<
    ActivityDeps,
    | 'prices'
    | 'webhook'
    | 'cancelRun'
    | 'isRunOpen'
    | 'itemState'
    | 'schedules'
    | 'knowsAttributes'
    | 'payloadsEncoded'
    | 'slots'
  >,
): ActivityDeps {
  const { times, provider } = config;
  const scope = { provider: provider.providerId, account: provider.account };
  const onOddity = oddityReport(metrics);
  const budget = new QueryBudget({ perSecond: config.rates.query, clock: systemClock, random: Math.random });
  const submits = new EvenPace(config.rates.submit, systemClock);
  const clientOptions: DashScopeClientOptions = {
    baseUrl: provider.baseUrl,
    apiKey,
    workspace: provider.workspace,
    dispatcher: createDispatcher(config.proxies),
    resultDispatcher: resultDispatcher(config),
    onSubmit: (outcome) => metrics.submitted(outcome),
    onRequest: (operation, outcome) => metrics.requested(operation, outcome),
    onOddity,
    timeouts: {
      submitMs: times.submitHttpMs,
      readMs: times.readHttpMs,
      cancelMs: times.cancelHttpMs,
      uploadMs: times.uploadHttpMs,
      downloadIdleMs: times.downloadIdleMs,
    },
  };
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
    providerBaseUrl: provider.baseUrl,
    store,
    storeId: id,
    ledger: new Ledger({ store, scope, now: Date.now, onRecordWritten: (record) => metrics.won(record) }),
    allowPrivateUrls: config.allowPrivateUrls,
    proxies: config.proxies,
    spoolDir: SPOOL_FOLDER,
    publicBaseUrl: config.publicBaseUrl,
    times,
    clock: systemClock,
    metrics,
    ...given,
  };
}

/** Counts every oddity and logs each kind once per process; a kind has the value's type, never the value. */
function oddityReport(metrics: WorkerMetrics): (oddity: Oddity) => void {
  const logged = new Set<string>();
  return (oddity) => {
    metrics.oddity(oddity);
    const kind = JSON.stringify(oddity);
    // Fields and types are documented names, so the kinds are few.
    if (logged.has(kind)) return;
    logged.add(kind);
    const { operation, field, found } = oddity;
    Runtime.instance().logger.warn("the provider's answer is not as documented", { operation, field, found });
  };
}

/** Result links of a real provider lead to public hosts; the connector checks every address that they resolve to. */
export function resultDispatcher({ provider, allowPrivateUrls, proxies }: Config): Dispatcher | undefined {
  if (provider.providerId === 'emulator') return undefined;
  return createDispatcher(proxies, { connect: guardedConnector(createAddressPolicy(allowPrivateUrls)) });
}
