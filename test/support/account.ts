import { randomUUID } from 'node:crypto';
import { readAccountSlots } from '../../src/client/account-slots.js';
import { VideoRunError } from '../../src/client/run-error.js';
import { WanVideoClient } from '../../src/client/video-client.js';
import type { Config } from '../../src/config/config.js';
import type { Times } from '../../src/config/times.js';
import { BATCH_MEMO, slotsWorkflowId, WorkflowType } from '../../src/contract/names.js';
import type { AccountSlotsView } from '../../src/contract/slots.js';
import { runWorker } from '../../src/worker/run-worker.js';
import { BUNDLE, type Stack, startStack, TEST_KEY } from './stack.js';

/** A provider account on a stack's servers, with queues and workers of its own. */
export interface Account {
  readonly name: string;
  readonly config: Config;
  readonly slotsId: string;
  readonly videos: WanVideoClient;
  /** Starts a run; `batch` as a batch's runs will carry it. */
  start(prompt: string, whose?: { batch?: string; tenant?: string }): Promise<string>;
  /** @param settings - Paths of a price list and a budget file, or an ffmpeg: without one nothing conforms. */
  startWorker(
    limit?: number,
    settings?: Partial<Pick<Config, 'budgetsFile' | 'pricesFile' | 'ffmpeg'>>,
  ): Promise<() => Promise<void>>;
  slots(): Promise<AccountSlotsView>;
  /** How each run ended: `generated`, or the type of its failure. */
  outcomes(ids: readonly string[]): Promise<string[]>;
  /** Ends every worker that still runs. */
  close(): Promise<void>;
  /** Prompts of its submits, the oldest first. */
  submits(): string[];
  /** How long each of its tasks waited at the provider. */
  queuedMs(): number[];
  /** Most tasks that were at the provider at the same time. */
  mostAtOnce(): number;
}

/** One stack, and accounts on it. */
export interface Accounts {
  readonly stack: Stack;
  /** An account of a test's own. */
  account(maxRunning: number, times?: Partial<Times>): Account;
  /** Ends the accounts' workers, and the stack. */
  close(): Promise<void>;
}

/**
 * Starts servers for tests of whose turn it is and of what it costs: no worker yet, and no rates, which are not what is
 * tested.
 * @param speed - Of the emulator; at 50 rendering takes half a second.
 */
export async function startAccounts(speed: number): Promise<Accounts> {
  const stack = await startStack({
    settings: { speed, submit_rate: 0, query_rate: 0 },
    env: { WAN_VIDEO_SUBMIT_RATE: '1000', WAN_VIDEO_QUERY_RATE: '1000' },
    worker: false,
  });
  const all: Account[] = [];
  return {
    stack,
    account(maxRunning, times) {
      const one = account(stack, maxRunning, times);
      all.push(one);
      return one;
    },
    async close() {
      await Promise.all(all.map((one) => one.close()));
      await stack.close();
    },
  };
}

/** A provider account with queues of its own, so that tests do not wait for each other's slots. */
export function account(stack: Stack, maxRunning: number, times: Partial<Times> = {}): Account {
  const name = `account-${randomUUID().slice(0, 8)}`;
  const config: Config = {
    ...stack.config,
    provider: { ...stack.config.provider, account: name },
    rates: { ...stack.config.rates, maxRunning },
    // Nothing conforms on its queues.
    ffmpeg: undefined,
    taskQueues: { generate: `${name}-generate`, submit: `${name}-submit`, conform: `${name}-conform` },
    times: { ...stack.config.times, retryInitialMs: 100, ...times },
  };
  const closings: (() => Promise<void>)[] = [];
  const tasks = () => stack.emulator.state().tasks.filter(({ prompt }) => prompt.startsWith(`${name} `));
  const slotsId = slotsWorkflowId(config.provider.providerId, name);
  const videos = new WanVideoClient({ client: stack.client, taskQueue: config.taskQueues.generate });
  return {
    name,
    config,
    slotsId,
    videos,
    async start(prompt, { batch, tenant } = {}) {
      const workflowId = `${name}/${prompt}`;
      await stack.client.workflow.start(WorkflowType.videoGenerate, {
        workflowId,
        taskQueue: config.taskQueues.generate,
        args: [{ ...stack.request(`${name} ${prompt}`), ...(tenant !== undefined && { tenant }) }],
        ...(batch !== undefined && { memo: { [BATCH_MEMO]: batch } }),
      });
      return workflowId;
    },
    async startWorker(limit = maxRunning, settings) {
      const stop = new AbortController();
      let running: Promise<void> | undefined;
      await new Promise<void>((ready, failed) => {
        running = runWorker({
          config: {
            ...config,
            rates: { ...config.rates, maxRunning: limit },
            ...settings,
          },
          temporal: stack.temporal,
          signal: stop.signal,
          bundlePath: BUNDLE,
          onReady: ready,
          apiKey: () => TEST_KEY,
        });
        running.catch(failed);
      });
      const close = async () => {
        stop.abort();
        await running;
      };
      closings.push(close);
      return close;
    },
    async close() {
      await Promise.all(closings.map((close) => close()));
    },
    outcomes: (ids) =>
      Promise.all(
        ids.map((id) =>
          videos.result(id).then(
            ({ source }) => source as string,
            (error: unknown) => (error instanceof VideoRunError ? error.error.type : String(error)),
          ),
        ),
      ),
    slots: async () =>
      (await readAccountSlots(stack.client, config.provider.providerId, name)) ?? {
        limit: 0,
        holders_count: 0,
        holders: [],
        waiting_count: 0,
        waiting_offset: 0,
        waiting: [],
      },
    submits: () =>
      tasks()
        .sort((a, b) => a.submit_ms - b.submit_ms)
        .map(({ prompt }) => prompt.slice(name.length + 1)),
    queuedMs: () => tasks().map(({ submit_ms, start_ms }) => (start_ms ?? Number.POSITIVE_INFINITY) - submit_ms),
    mostAtOnce() {
      const edges = tasks().flatMap(({ submit_ms, end_ms }) => [
        { at: submit_ms, by: 1 },
        { at: end_ms ?? Number.POSITIVE_INFINITY, by: -1 },
      ]);
      let [now, most] = [0, 0];
      for (const { by } of edges.sort((a, b) => a.at - b.at || a.by - b.by)) {
        now += by;
        most = Math.max(most, now);
      }
      return most;
    },
  };
}
