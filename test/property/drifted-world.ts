import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { createArchiveVideo } from '../../activities/archive-video.js';
import { createCancelTask } from '../../activities/cancel-task.js';
import type { ActivityDeps } from '../../activities/deps.js';
import { createPollTask } from '../../activities/poll-task.js';
import type { PreparedRequest } from '../../activities/prepared-request.js';
import type { PurchaseStep, WatchedTask } from '../../activities/purchase-step.js';
import { createReconcileSubmit } from '../../activities/reconcile-submit.js';
import { createSubmitTask } from '../../activities/submit-task.js';
import { createUploadReference } from '../../activities/upload-reference.js';
import type { Clock } from '../../src/async/clock.js';
import { DEFAULT_TIMES } from '../../src/config/times.js';
import type { Purchase } from '../../src/contract/purchase.js';
import { VideoError } from '../../src/contract/video-error.js';
import { DashScopeClient } from '../../src/dashscope/client.js';
import type { TaskSnapshot } from '../../src/dashscope/wire.js';
import { makeClip } from '../../src/emulator/index.js';
import { Ledger } from '../../src/ledger/ledger.js';
import { ResultLinks } from '../../src/polling/result-links.js';
import type { WatchOptions } from '../../src/polling/watch.js';
import { BASE_URL, BILLED, DriftedProvider } from './drifted-provider.js';
import { MemoryStore } from './memory-store.js';
import { alike } from './mutants.js';
import { Random } from './random.js';

const KEY = 'ab'.repeat(32);
/** A quarter of an hour before midnight, so that tasks end on either day. */
const START = Date.UTC(2026, 0, 1, 23, 45);
const REFERENCE = `references/${'cd'.repeat(32)}.png`;
const ROOT = 'ledger/emulator/default';
const PREPARED: PreparedRequest = {
  request: {
    prompt: 'a boat',
    negative_prompt: null,
    duration: BILLED.seconds,
    fps: 24,
    size: '1280*720',
    resolution: BILLED.resolution,
    reference_upload: 'provider',
    seed: null,
    motion_strength: null,
    audio: BILLED.audio,
    audio_url: null,
    prompt_extend: null,
    shot_type: null,
    watermark: null,
    cache: 'use',
    tenant: null,
  },
  labels: {},
  cacheKey: KEY,
  query: { purchaseKey: KEY, cache: 'use', buyer: { workflowId: 'w', firstRunId: 'r' }, firstStartedAtMs: START },
  queueIdentity: { tenant: null, batch: null, priority: 'interactive' },
  storeId: 'store',
  reference: { kind: 'asset', key: REFERENCE, mime: 'image/png', bytes: 3, width: 1280, height: 720 },
  warnings: [],
  cached: null,
  attributes: false,
  labelsHidden: false,
  times: {} as never,
};

const SILENT = new DefaultLogger('ERROR', () => undefined);

class Broken extends Error {}
/** The step has met its own time limit, twenty hours. */
class TimedOut extends Error {}

/** How one generation ended. */
export interface DriftedEnd {
  readonly end: 'archived' | 'undecided' | 'open' | 'failed';
  readonly drifted: ReadonlyMap<string, number>;
}

export interface DriftedOptions {
  /** Changed answers of one operation at most; default 40. */
  readonly changesMax?: number | undefined;
  /** Methods that replace those of the client, for a test that shows that the property notices a fault. */
  readonly client?: ((client: DashScopeClient) => Partial<DashScopeClient>) | undefined;
}

let clip: Promise<Uint8Array> | undefined;

/**
 * Runs the steps of one generation against a provider whose answers differ at random, then once more with answers as
 * documented; throws with the seed when money or a video is lost.
 */
export async function runDrifted(seed: number, options: DriftedOptions = {}): Promise<DriftedEnd> {
  clip ??= makeClip({ width: 1280, height: 720, durationSeconds: 4, audio: false, seed: 1, label: 'x' });
  const world = new DriftedWorld(seed, Buffer.from(await clip), options);
  try {
    return await world.run();
  } catch (error) {
    const why = error instanceof Broken ? error.message : `${(error as Error).stack}`;
    throw new Error(`seed ${seed}: ${why}\n${world.provider.trace.join('\n')}`);
  } finally {
    await world.close();
  }
}

class DriftedWorld {
  readonly provider: DriftedProvider;
  readonly #random: Random;
  readonly #store: MemoryStore;
  readonly #ledger: Ledger;
  readonly #deps: ActivityDeps;
  readonly #clock: Clock & { nowMs: number };
  #folder = '';

  constructor(seed: number, video: Buffer, { client: change, changesMax = 40 }: DriftedOptions) {
    this.#random = new Random(seed);
    const clock = {
      nowMs: START,
      now: () => clock.nowMs,
      monotonicMs: () => clock.nowMs,
      sleep: async (ms: number, signal?: AbortSignal) => {
        await new Promise((done) => setImmediate(done));
        if (signal?.aborted) throw signal.reason;
        clock.nowMs += ms;
      },
    };
    this.#clock = clock;
    this.#store = new MemoryStore(clock.now);
    this.#store.set(REFERENCE, Buffer.from('png'));
    this.#ledger = new Ledger({
      store: this.#store,
      scope: { provider: 'emulator', account: 'default' },
      now: clock.now,
    });
    this.provider = new DriftedProvider({ random: this.#random, now: clock.now, video, changesMax });
    const client = new DashScopeClient({ baseUrl: BASE_URL, apiKey: () => 'sk-test', dispatcher: this.provider });
    const dashscope = change === undefined ? client : alike(client, change(client));
    this.#deps = {
      dashscope,
      providerBaseUrl: BASE_URL,
      store: this.#store,
      storeId: 'store',
      ledger: this.#ledger,
      spoolDir: '',
      allowPrivateUrls: [],
      publicBaseUrl: undefined,
      times: DEFAULT_TIMES,
      clock,
      watcher: this.#watcher(dashscope),
      links: new ResultLinks(),
      slots: {
        workflowId: 's',
        budget: undefined,
        requestSlot: async () => undefined,
        releaseSlot: async () => undefined,
      },
      metrics: { outcomeUnknown: () => undefined, undecided: () => undefined, detected: () => undefined },
    } as unknown as ActivityDeps;
  }

  async run(): Promise<DriftedEnd> {
    this.#folder = await mkdtemp(join(tmpdir(), 'wan-video-drift-'));
    Object.assign(this.#deps, { spoolDir: this.#folder });
    const end = await this.#generate();
    await this.#check(end);
    this.provider.drift = 0;
    this.provider.lostReplies = 0;
    const last = end === 'archived' ? end : await this.#salvage();
    await this.#check(last);
    const { drifted } = this.provider;
    return { end: last, drifted };
  }

  close(): Promise<void> {
    return rm(this.#folder, { recursive: true, force: true });
  }

  /** The steps of `videoGenerate`, in its order. */
  async #generate(): Promise<DriftedEnd['end']> {
    const unrestorable: Purchase[] = [];
    for (let round = 0; round < 5; round += 1) {
      const input = { prepared: PREPARED, unrestorable };
      const ready = await this.#step(createUploadReference(this.#deps), input);
      if (ready === undefined) return 'failed';
      let step: PurchaseStep | undefined;
      if (ready.kind === 'requested') {
        step = await this.#step(createSubmitTask(this.#deps), { ...input, imgUrl: ready.imgUrl });
      } else step = ready.kind === 'found' ? ready.step : undefined;
      const end = await this.#follow(step);
      if (end !== 'again') return end;
    }
    return 'failed';
  }

  async #follow(first: PurchaseStep | undefined): Promise<DriftedEnd['end'] | 'again'> {
    let step = first;
    if (step?.kind === 'unknown')
      step = await this.#step(createReconcileSubmit(this.#deps), { purchase: step.purchase });
    if (step === undefined) return 'failed';
    switch (step.kind) {
      case 'failed':
        return 'failed';
      case 'archived':
        return 'archived';
      case 'buy':
        return 'again';
      case 'task':
        return this.#watch(step.task);
      case 'undecided':
        return 'undecided';
      default:
        throw new Broken(`the run got ${step.kind}`);
    }
  }

  async #watch(task: WatchedTask): Promise<DriftedEnd['end'] | 'again'> {
    if (this.#random.chance(0.25)) {
      const cancelled = (await this.#step(createCancelTask(this.#deps), { taskId: task.taskId }))?.cancelled;
      const real = this.provider.tasks.find(({ id }) => id === task.taskId);
      if (cancelled === true && real?.cancelled !== true) throw new Broken('a cancel counts that did nothing');
    }
    const poll = createPollTask(this.#deps);
    let end = await this.#step(poll, { task, until: 'started' as const });
    if (end?.kind === 'started') end = await this.#step(poll, { task, until: 'ended' as const });
    if (end?.kind === 'archived') return 'archived';
    if (end?.kind === 'free') return 'again';
    if (end?.kind !== 'succeeded') return end === undefined ? 'open' : 'failed';
    const result = await this.#step(createArchiveVideo(this.#deps), { task: end.task, before: end.attempts });
    return result === undefined ? 'open' : 'archived';
  }

  /** What the sweep does for a purchase that was left open; it buys nothing. */
  async #salvage(): Promise<DriftedEnd['end']> {
    const newest = await this.#ledger.findNewest(KEY);
    if (newest === undefined || newest.state.kind === 'not_created' || newest.state.kind === 'closed') return 'failed';
    const step = await this.#step(createReconcileSubmit(this.#deps), { purchase: newest.purchase });
    const end = await this.#follow(step);
    return end === 'again' ? 'failed' : end;
  }

  /** One step with its retries; undefined when it fails for good. */
  async #step<I, O>(activity: (input: I) => Promise<O>, input: I): Promise<O | undefined> {
    let heartbeatDetails: unknown;
    for (let attempt = 1; attempt < 80; attempt += 1) {
      const env = new MockActivityEnvironment({ attempt, heartbeatDetails }, { logger: SILENT });
      env.on('heartbeat', (details: unknown) => {
        heartbeatDetails = details;
      });
      try {
        const value = (await env.run(activity as never, input)) as O;
        this.provider.note(`step: ${JSON.stringify(value).slice(0, 300)}`);
        return value;
      } catch (error) {
        if (error instanceof TimedOut) return undefined;
        if (!(error instanceof VideoError)) throw new Broken(`an untyped error: ${(error as Error).stack}`);
        this.provider.note(`error: ${error.type} ${error.message.slice(0, 200)}`);
        if (!error.retryable) return undefined;
        this.#clock.nowMs += error.retryAfterMs ?? this.#random.between(1_000, 30_000);
      }
    }
    return undefined;
  }

  /** Looks at one task every ten seconds, as the watcher does for many. */
  #watcher(dashscope: DashScopeClient) {
    const watch = async (
      { taskId }: { readonly taskId: string },
      options: Pick<WatchOptions, 'shouldStop' | 'onFault'>,
    ): Promise<TaskSnapshot> => {
      for (let looks = 0; looks < 145; looks += 1) {
        this.#clock.nowMs += looks < 30 ? 10_000 : 600_000;
        try {
          const seen = await dashscope.queryTask(taskId);
          const isOver = options.shouldStop?.(seen) === true;
          if (isOver || ['SUCCEEDED', 'FAILED', 'CANCELED'].includes(seen.status)) return seen;
        } catch (error) {
          if (!(error instanceof VideoError)) throw error;
          options.onFault?.(error);
        }
      }
      throw new TimedOut();
    };
    return { watch, eta: () => ({ earliestAtMs: 0, latestAtMs: 0, samples: 0 }) };
  }

  async #check(end: DriftedEnd['end']): Promise<void> {
    const { tasks } = this.provider;
    const paid = tasks.filter(({ fails, cancelled }) => !fails && !cancelled);
    if (paid.length > 1) throw new Broken(`bought ${paid.length} videos`);
    const [task] = paid;
    const isOld = task !== undefined && this.#clock.nowMs - task.createdAtMs > 86_400_000;
    if (end === 'archived' && this.#store.info(`videos/${task?.id}.mp4`) === undefined) {
      throw new Broken('an archived video is not in the store');
    }
    const newest = await this.#ledger.findNewest(KEY);
    const { state } = newest ?? {};
    if (
      task !== undefined &&
      !isOld &&
      end !== 'archived' &&
      (state?.kind === 'closed' || state?.kind === 'not_created')
    ) {
      throw new Broken(`the purchase of ${task.id} is ${JSON.stringify(state)} although the provider has its video`);
    }
    this.#checkBills(end === 'archived' ? [task] : []);
  }

  #checkBills(owed: readonly ({ readonly id: string } | undefined)[]): void {
    const places = [...this.#store.objects.keys()].filter((key) => key.startsWith(`${ROOT}/days/`));
    // Under the day of the purchase there may be the record that names the day of the bill.
    const booked = places.map((key) => this.#store.json(key) ?? {}).filter(({ kind }) => kind === 'day');
    for (const task of owed) {
      const own = booked.filter((bill) => bill['task_id'] === task?.id);
      if (own.length !== 1) throw new Broken(`${task?.id} is booked ${own.length} times`);
    }
    for (const bill of booked) {
      const { billed_seconds, resolution, audio } = bill as Record<string, unknown>;
      if (billed_seconds !== BILLED.seconds || resolution !== BILLED.resolution || audio !== BILLED.audio) {
        throw new Broken(`booked ${JSON.stringify(bill)}`);
      }
      const late = Date.parse(START_DAY) + 2 * 86_400_000;
      if (Number(bill['end_time_ms']) < START || Number(bill['end_time_ms']) > late)
        throw new Broken('booked elsewhen');
    }
  }
}

const START_DAY = new Date(START).toISOString().slice(0, 10);
