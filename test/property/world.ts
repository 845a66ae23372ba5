import { FailureType } from '../../src/contract/failure-type.js';
import { MODEL } from '../../src/contract/model.js';
import { isSamePurchase, type Purchase } from '../../src/contract/purchase.js';
import type { SubmitDecision, VideoResult } from '../../src/contract/result.js';
import { VideoError } from '../../src/contract/video-error.js';
import {
  type BuyDeps,
  type BuyOutcome,
  buyOnce,
  findExistingPurchase,
  type PurchaseOrder,
  type PurchaseQuery,
} from '../../src/ledger/buy.js';
import { DIGEST_RULES, type DigestRules } from '../../src/ledger/digest-rules.js';
import { awaitPurchase, type FollowOutcome } from '../../src/ledger/follow.js';
import { Ledger } from '../../src/ledger/ledger.js';
import { type Announcement, LedgerPaths } from '../../src/ledger/paths.js';
import { provesGone } from '../../src/ledger/proof.js';
import {
  type BoughtTask,
  boughtTask,
  endingOfTask,
  isOpen,
  type PurchaseView,
} from '../../src/ledger/purchase-view.js';
import { type ReconcileDeps, type ReconcileOutcome, reconcileSubmit } from '../../src/ledger/reconcile.js';
import { resolvePurchase, resolveResult } from '../../src/ledger/resolve.js';
import { DEFAULT_LEDGER_TIMES, type LedgerTimes } from '../../src/ledger/times.js';
import type { AssetStore } from '../../src/storage/asset-store.js';
import { MemoryStore } from './memory-store.js';
import { Random } from './random.js';
import { imageAddress, type ProviderFaults, type SimClient, SimProvider, type SimTask } from './sim-provider.js';
import { SimStore, type StoreFaults } from './sim-store.js';
import { Process, Simulation } from './simulation.js';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const START = Date.UTC(2026, 5, 1, 10, 30);
const ROOT = 'ledger/emulator/default';
const SCOPE = { provider: 'emulator', account: 'default' };
const PATHS = LedgerPaths.of(SCOPE);

/** The parts under test; a mutant replaces one of them by a broken one. */
export interface Pieces {
  readonly buyOnce: typeof buyOnce;
  readonly awaitPurchase: typeof awaitPurchase;
  readonly reconcileSubmit: typeof reconcileSubmit;
  readonly ledger: (options: ConstructorParameters<typeof Ledger>[0]) => Ledger;
  readonly store: (store: AssetStore) => AssetStore;
  readonly client: (client: SimClient) => SimClient;
  readonly times: LedgerTimes;
  readonly rules: DigestRules;
}

export const SOUND: Pieces = {
  buyOnce,
  awaitPurchase,
  reconcileSubmit,
  ledger: (options) => new Ledger(options),
  store: (store) => store,
  client: (client) => client,
  // Fewer looks than shipped, for speed; everything that orders steps is as shipped.
  times: { ...DEFAULT_LEDGER_TIMES, followEveryMs: 10_000, parkedEveryMs: 10 * MINUTE },
  // Hours are digested that have two names, and as early as the store's late listings allow.
  rules: { ...DIGEST_RULES, pageNames: 1, digestAfterMs: 3 * MINUTE },
};

/** How hostile a world is. `wild` breaks also what the design says it rests on: a fresh list and a prompt socket. */
export type Weather = 'calm' | 'rough' | 'wild';

interface Key {
  readonly key: string;
  readonly prompt: string;
  readonly width: number;
  readonly height: number;
  readonly damaged: boolean;
}

interface Run {
  readonly name: string;
  readonly key: Key;
  readonly startsAtMs: number;
  cancelAsked: boolean;
  terminated: boolean;
  /** How it ended; undefined while it lives. */
  end?: string;
  readonly wake: Set<() => void>;
}

type Step = BuyOutcome | FollowOutcome | ReconcileOutcome | { readonly kind: 'cancelled' };

/** As a claim has it in the store. */
interface Decision {
  readonly task_id?: string;
  readonly found_by?: string;
  readonly not_created?: { readonly reason: string };
}

class Cancelled extends Error {}
class Broken extends Error {}

/** Runs one seeded schedule to its end; throws with the seed when a promise of the design is broken. */
export async function runSchedule(seed: number, weather: Weather, pieces: Pieces = SOUND): Promise<World> {
  const world = new World(seed, weather, pieces);
  try {
    await world.run();
  } catch (error) {
    const why = error instanceof Broken ? error.message : `${(error as Error).stack}`;
    throw new Error(`seed ${seed}, ${weather}: ${why}`);
  }
  return world;
}

export class World {
  readonly random: Random;
  readonly sim: Simulation;
  readonly store: MemoryStore;
  readonly provider: SimProvider;
  readonly runs: Run[] = [];
  /** Every way a step came out, so that a test can check that its schedules reach it. */
  readonly seen = new Set<string>();
  readonly #keys: Key[] = [];
  readonly #pieces: Pieces;
  readonly #weather: Weather;
  readonly #salvages = new Set<string>();
  readonly #persons = new Set<string>();
  #processes: Process[] = [];
  #faulty = true;
  #broken: Error | undefined;
  readonly #decisions = new Map<string, string>();
  /** Open purchases by key, kept with every put. */
  readonly #open = new Map<string, Set<number>>();
  /** Purchases that a person decided, or that rest on a broken premise: no claim on uniqueness. */
  readonly #excused = new Set<string>();
  #background = 0;

  constructor(seed: number, weather: Weather, pieces: Pieces) {
    this.random = new Random(seed);
    this.#weather = weather;
    this.#pieces = pieces;
    this.sim = new Simulation(this.random, START);
    const storeSkewMs = this.random.between(-60_000, 60_000);
    // Hours are digested where the store has a clock.
    this.store = new MemoryStore(() => this.sim.nowMs + storeSkewMs, { showsClock: seed % 2 === 0 });
    this.provider = new SimProvider(
      this.sim,
      () => this.#providerFaults(),
      (task) => this.#created(task),
    );
  }

  async run(): Promise<void> {
    this.#populate();
    const everybody = () =>
      this.#broken !== undefined || (this.runs.every(({ end }) => end !== undefined) && this.#background === 0);
    const limits = { untilMs: START + 60 * HOUR, steps: 60_000 };
    const ended = await this.sim.run(everybody, limits);
    if (this.#broken !== undefined) throw this.#broken;
    if (!ended) throw new Broken(`runs wait for ever: ${this.#describe()}`);
    // Every purchase that was left open is found by time, taken over and closed.
    this.#faulty = false;
    for (const process of this.#processes) process.stalledUntilMs = 0;
    await this.#checkFindable();
    for (let round = 0; round < 4 && (round === 0 || (await this.#leftOpen()).length > 0); round += 1) {
      this.#inBackground(() => this.#sweep());
      const swept = await this.sim.run(everybody, {
        untilMs: this.sim.nowMs + 40 * HOUR,
        steps: this.sim.steps + 60_000,
      });
      if (this.#broken !== undefined) throw this.#broken;
      if (!swept) throw new Broken(`salvage waits for ever: ${this.#describe()}`);
    }
    await this.#checkEnd();
  }

  #populate(): void {
    const { random, sim } = this;
    const calm = this.#weather === 'calm';
    for (let index = 0; index < 4; index += 1) this.#processes.push(this.#newProcess());
    const keys = random.between(1, 3);
    // Only the purchase distinguishes such requests, as with one prompt and several images of one shape.
    const alike = random.chance(0.4);
    for (let index = 0; index < keys; index += 1) {
      const wide = alike || random.chance(0.7);
      this.#keys.push({
        key: `${index + 1}`.repeat(16),
        prompt: alike || random.chance(0.3) ? 'a common prompt' : `prompt ${index}`,
        width: wide ? 1280 : 720,
        height: wide ? 720 : 1280,
        damaged: random.chance(0.05),
      });
    }
    for (const { key, damaged } of this.#keys) {
      if (!damaged) continue;
      this.store.set(
        `${ROOT}/purchases/${key}/1/intent.json`,
        Buffer.from(random.pick(['{', '{"v":1}', '{"v":2,"kind":"intent"}'])),
      );
      this.store.set(`${ROOT}/recent/2026-06-01T10/${key}-1.json`, Buffer.from('{}'));
    }
    const count = random.between(2, 5);
    for (let index = 0; index < count; index += 1) {
      const spread = random.pick([0, 2_000, 2 * MINUTE, HOUR]);
      this.#start(`run-${index}`, random.pick(this.#keys), random.between(0, spread));
    }
    if (random.chance(0.4)) {
      for (let index = random.between(1, 6); index > 0; index -= 1) {
        const { prompt, width, height } = random.pick(this.#keys);
        const foreign = { key: undefined, prompt: random.chance(0.5) ? prompt : 'something else', width, height };
        sim.at(sim.nowMs + random.between(0, 3 * MINUTE), () => void this.provider.create(foreign, false));
      }
    }
    for (let index = calm ? 0 : random.between(0, 5); index > 0; index -= 1) {
      sim.at(sim.nowMs + random.between(0, 5 * MINUTE), () => this.#kill());
    }
    for (let index = calm ? 0 : random.between(0, 5); index > 0; index -= 1) {
      sim.at(sim.nowMs + random.between(0, 5 * MINUTE), () => this.#stall());
    }
    for (let hour = 1; hour < 55; hour += 1) sim.at(START + hour * HOUR, () => this.#inBackground(() => this.#sweep()));
  }

  #start(name: string, key: Key, delayMs: number): void {
    const { random, sim } = this;
    const run: Run = {
      name,
      key,
      startsAtMs: sim.nowMs + delayMs,
      cancelAsked: false,
      terminated: false,
      wake: new Set(),
    };
    this.runs.push(run);
    sim.at(run.startsAtMs, () => {
      this.#generate(run).then(
        (end) => this.#ended(run, end),
        (error: unknown) => {
          if (error instanceof Cancelled) this.#ended(run, 'cancelled');
          else if (error instanceof VideoError) this.#ended(run, error.type);
          else this.#fail(error as Error);
        },
      );
    });
    const interrupt = (act: () => void) => sim.at(run.startsAtMs + random.between(0, 4 * MINUTE), act);
    const fate = random.next();
    if (fate < 0.15) {
      interrupt(() => {
        run.cancelAsked = true;
        for (const wake of run.wake) wake();
      });
    } else if (fate < 0.3 && this.runs.length < 8) {
      // Terminated (or reset to before its submit), then started again.
      interrupt(() => {
        if (run.end !== undefined) return;
        run.terminated = true;
        run.end = 'terminated';
        this.#start(random.chance(0.5) ? run.name : `${run.name}-again`, key, random.between(0, 3 * MINUTE));
      });
    }
  }

  /** The workflow: the same steps in the same order as `videoGenerate`. */
  async #generate(run: Run): Promise<string> {
    for (let purchases = 0; purchases < 40; purchases += 1) {
      const ready = await this.#makeReady(run);
      // It waits for its slot meanwhile.
      if (ready.found === undefined) await this.sim.timer(this.random.pick([0, 1_000, 2 * MINUTE]));
      let step: Step = ready.found ?? (await this.#submit(run, ready.newest));
      for (;;) {
        this.seen.add(step.kind === 'bought' ? `bought ${step.claim}` : step.kind);
        if (step.kind === 'undecided') this.seen.add(step.evidence.reason);
        if (step.kind === 'buy') break;
        if (step.kind === 'bought' || step.kind === 'task') {
          const { task } = step;
          const own = step.kind === 'bought';
          const unwritten = step.kind === 'bought' && step.claim === 'unwritten';
          const end = await this.#poll(run, task, unwritten).catch(async (error: unknown) => {
            if (error instanceof Cancelled) await this.#release(run, task, own);
            throw error;
          });
          if (end === 'archived') return end;
          break; // cancelled or expired: bought again
        }
        switch (step.kind) {
          case 'archived':
            this.#received(run, step.result.task_id);
            return 'archived';
          case 'failed':
            throw step.error;
          case 'follow':
            step = await this.#follow(run, step.purchase, false);
            break;
          case 'unknown':
          case 'reconcile':
            step = await this.#reconcile(run, step.purchase);
            break;
          case 'undecided':
            this.#askPerson(step.purchase);
            step = await this.#follow(run, step.purchase, true);
            break;
          default:
            throw new Broken(`run ${run.name} got ${step.kind}`);
        }
      }
    }
    throw new Broken(`run ${run.name} buys again and again`);
  }

  #makeReady(run: Run): ReturnType<typeof findExistingPurchase> {
    const buyer = { workflowId: run.name, firstRunId: run.name };
    const query: PurchaseQuery = {
      purchaseKey: run.key.key,
      cache: 'use',
      buyer,
      firstStartedAtMs: run.startsAtMs,
    };
    return this.#activity(run, 'heartbeating', (process) => findExistingPurchase(this.#buyDeps(process), query));
  }

  #submit(run: Run, afterPurchase: number): Promise<Step> {
    const { key, prompt, width, height } = run.key;
    let attempt = 0;
    return this.#activity(run, 'submit', (process) => {
      attempt += 1;
      const order: PurchaseOrder = {
        purchaseKey: key,
        cacheKey: key,
        cache: 'use',
        buyer: { workflowId: run.name, firstRunId: run.name },
        firstStartedAtMs: run.startsAtMs,
        attempt,
        ...(attempt === 1 && { afterPurchase }),
        expects: { prompt, duration: 4, resolution: '720P', audio: false, image: { width, height } },
        seed: null,
        tenant: null,
        memo: {},
        body: (seed) => ({
          model: MODEL,
          input: { prompt, img_url: imageAddress(key, width, height) },
          parameters: { seed },
        }),
        ossResolve: false,
      };
      return this.#pieces.buyOnce(this.#buyDeps(process), order);
    });
  }

  #follow(run: Run, purchase: Purchase, parked: boolean): Promise<Step> {
    return this.#activity(run, 'heartbeating', (process, signal) =>
      this.#pieces.awaitPurchase(this.#buyDeps(process), purchase, { signal, parked }),
    );
  }

  async #reconcile(run: Run, purchase: Purchase): Promise<Step> {
    return this.#activity(run, 'heartbeating', (process, signal) =>
      this.#pieces.reconcileSubmit(this.#reconcileDeps(process), purchase, { signal }),
    ).catch((error: unknown) => {
      if (error instanceof Cancelled) this.#salvage(purchase);
      throw error;
    });
  }

  #poll(run: Run, task: BoughtTask, unwritten: boolean): Promise<'archived' | 'again'> {
    let owed = unwritten;
    return this.#activity(run, 'heartbeating', async (process, signal) => {
      const { ledger, clock } = this.#buyDeps(process);
      const client = this.#client(process);
      for (let unknowns = 0; ; ) {
        if (owed) {
          try {
            await ledger.ensureClaim(task);
            owed = false;
          } catch {
            // tried again with the next look
          }
        }
        const seen = await client.queryTask(task.taskId).catch(() => undefined);
        if (seen?.status === 'SUCCEEDED') {
          const paid = { endTimeMs: seen.endTimeMs!, billedSeconds: 4, resolution: '720P' as const, audio: false };
          await ledger.recordBill(task, paid);
          const flaw = this.#flawOf(task, seen.endTimeMs!);
          if (flaw === 'no video') {
            const context = { taskId: task.taskId, billed: true };
            const error = new VideoError(FailureType.ResultRejected, 'no video', context);
            await ledger.finish(task, { how: 'failed', error });
            this.seen.add(`result ${flaw}`);
            throw error;
          }
          if (flaw === 'out of reach') {
            this.#askAboutResult(task);
            const view = await ledger.requirePurchase(task.purchase);
            if (endingOfTask(view, task.taskId)?.how === 'abandoned') return 'again';
            await clock.sleep(10 * MINUTE, signal);
            continue;
          }
          await ledger.store.put(`videos/${task.taskId}.mp4`, Buffer.from(task.taskId), { ifAbsent: true });
          const info = (await ledger.store.head(`videos/${task.taskId}.mp4`))!;
          const result = { video_url: 'file:v', task_id: task.taskId, bytes: info.bytes, sha256: info.sha256 };
          await ledger.finish(task, { how: 'archived', result: result as VideoResult, cacheKey: run.key.key });
          this.#received(run, task.taskId);
          return 'archived';
        }
        if (seen?.status === 'FAILED') {
          const error = new VideoError(FailureType.TaskFailed, 'failed', { taskId: task.taskId, billed: false });
          await ledger.finish(task, { how: 'failed', error });
          throw error;
        }
        if (seen?.status === 'CANCELED') {
          await ledger.finish(task, { how: 'cancelled' });
          return 'again';
        }
        unknowns = seen?.status === 'UNKNOWN' ? unknowns + 1 : 0;
        if (unknowns > 3 && (await provesGone({ ledger, provider: client }, task))) {
          await ledger.finish(task, { how: 'expired' });
          return 'again';
        }
        await clock.sleep(45_000, signal);
      }
    });
  }

  /** What keeps a result from being archived now. */
  #flawOf(task: BoughtTask, endedAtMs: number): SimTask['result'] {
    const { result = 'video' } = this.provider.tasks.find(({ id }) => id === task.taskId) ?? {};
    const isLater = this.sim.nowMs - endedAtMs > 3 * HOUR;
    return result === 'out of reach' && isLater ? 'video' : result;
  }

  /** A person gives up every second result that is out of reach; the others can be had after some hours. */
  #askAboutResult(task: BoughtTask): void {
    const name = `the result of ${task.taskId}`;
    if (this.#persons.has(name) || Number(/\d+$/.exec(task.taskId)?.[0]) % 2 === 0) return;
    this.#persons.add(name);
    this.#excused.add(task.purchase.key);
    const run: Run = { ...this.runs[0]!, name: 'person', cancelAsked: false, terminated: false, wake: new Set() };
    this.#inBackground(async () => {
      await this.sim.timer(this.random.between(MINUTE, HOUR));
      await this.#activity(run, 'heartbeating', (process) =>
        resolveResult(this.#reconcileDeps(process), task, { buy_again: true }),
      );
      this.seen.add('result abandoned');
    });
  }

  /** A cancelled run asks once to cancel its own task; what that leaves open is salvaged. */
  async #release(run: Run, task: BoughtTask, own: boolean): Promise<void> {
    if (own) {
      const process = this.#anyProcess();
      const free = await Promise.race([
        this.#client(process)
          .cancelTask(task.taskId)
          .catch(() => false),
        this.sim.timer(1_000).then(() => false),
      ]);
      if (free) {
        const calm: Run = { ...run, cancelAsked: false, wake: new Set() };
        await this.#activity(calm, 'heartbeating', (worker) =>
          this.#buyDeps(worker).ledger.finish(task, { how: 'cancelled' }),
        );
        return;
      }
    }
    this.#salvage(task.purchase);
  }

  /** The workflow `salvageVideo`: sees an open purchase to its end without ever buying. */
  #salvage(purchase: Purchase): void {
    const name = `${purchase.key}/${purchase.n}`;
    if (this.#salvages.has(name)) return;
    this.#salvages.add(name);
    const key = this.#keys.find((candidate) => candidate.key === purchase.key)!;
    const run: Run = {
      name: `salvage/${name}`,
      key,
      startsAtMs: 0,
      cancelAsked: false,
      terminated: false,
      wake: new Set(),
    };
    this.#inBackground(async () => {
      try {
        let step: Step = { kind: 'reconcile', purchase };
        while (step.kind === 'reconcile' || step.kind === 'undecided') {
          if (step.kind === 'undecided') {
            this.#askPerson(purchase);
            step = await this.#follow(run, purchase, true);
          } else step = await this.#reconcile(run, purchase);
        }
        if (step.kind === 'task') await this.#poll(run, step.task, false).catch(notFailed);
        const view = await this.#activity(run, 'heartbeating', (process) =>
          this.#buyDeps(process).ledger.findPurchase(purchase),
        );
        for (const { task, ending } of view?.extraTasks ?? []) {
          if (ending !== undefined) continue;
          const bought = boughtTask(purchase, view!.intent, task);
          await this.#poll(run, bought, false).catch(notFailed);
        }
      } finally {
        this.#salvages.delete(name);
      }
    });
  }

  async #sweep(): Promise<void> {
    const run: Run = {
      name: 'sweep',
      key: this.#keys[0]!,
      startsAtMs: 0,
      cancelAsked: false,
      terminated: false,
      wake: new Set(),
    };
    const hours = Math.min(25, this.#age());
    const { open } = await this.#activity(run, 'heartbeating', async (process) => {
      const { ledger } = this.#buyDeps(process);
      const found = await ledger.listOpen(hours);
      await ledger.markSettled(found);
      return found;
    });
    for (const { purchase, intent, extraTasks } of open) {
      const lives = this.runs.some(({ name, end }) => name === intent.workflow_id && end === undefined);
      if (!lives || extraTasks.length > 0) this.#salvage(purchase);
    }
  }

  /** A person who knows what really happened decides, some time later. */
  #askPerson(purchase: Purchase): void {
    const name = `${purchase.key}/${purchase.n}`;
    if (this.#persons.has(name)) return;
    this.#persons.add(name);
    const run: Run = {
      name: 'person',
      key: this.#keys[0]!,
      startsAtMs: 0,
      cancelAsked: false,
      terminated: false,
      wake: new Set(),
    };
    this.#inBackground(async () => {
      await this.sim.timer(this.random.between(MINUTE, HOUR));
      const mine = this.provider.tasks.find(
        (task) =>
          task.key === purchase.key &&
          !this.store.objects.has(`${ROOT}/tasks/${task.id}.json`) &&
          !['FAILED', 'CANCELED', 'UNKNOWN'].includes(this.provider.statusOf(task)),
      );
      const decision: SubmitDecision = mine === undefined ? { buy_again: true } : { task_id: mine.id };
      const decide = () =>
        this.#activity(run, 'heartbeating', (process) =>
          resolvePurchase({ ...this.#buyDeps(process), provider: this.#client(process) }, purchase, decision),
        );
      for (let tries = 0; tries < 20; tries += 1) {
        try {
          await decide();
          return;
        } catch (error) {
          if (!(error instanceof VideoError)) throw error;
          if (error.type === FailureType.InvalidRequest) return; // decided by somebody else meanwhile
          await this.sim.timer(MINUTE);
        }
      }
    });
  }

  /** One durable step: repeated on another process when its own is silent, and retried after passing faults. */
  async #activity<T>(
    run: Run,
    kind: 'submit' | 'heartbeating',
    step: (process: Process, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    for (;;) {
      if (run.terminated) return new Promise<never>(() => {});
      if (run.cancelAsked) throw new Cancelled();
      const process = this.#anyProcess();
      const abort = new AbortController();
      let over = false;
      const silent = async (): Promise<'silent'> => {
        for (;;) {
          await this.sim.timer(30_000);
          if (over || kind === 'submit' || !process.responsive) return 'silent';
        }
      };
      const cancelled = new Promise<'cancelled'>((done) => {
        if (kind === 'submit') return; // a POST is waited for
        run.wake.add(() => done('cancelled'));
      });
      const outcome = await Promise.race([
        step(process, abort.signal).then(
          (value) => ({ value }),
          (error: unknown) => ({ error }),
        ),
        silent(),
        cancelled,
      ]);
      over = true;
      run.wake.clear();
      if (run.terminated) return new Promise<never>(() => {});
      if (typeof outcome === 'object' && 'value' in outcome) {
        if (kind === 'submit' && run.cancelAsked) await this.#cancelledAfterSubmit(run, outcome.value as Step);
        return outcome.value;
      }
      if (outcome === 'cancelled') {
        abort.abort(new Cancelled());
        throw new Cancelled();
      }
      if (typeof outcome === 'object') {
        const { error } = outcome;
        if (!(error instanceof VideoError && error.retryable)) throw error;
        await this.sim.timer(this.random.between(1_000, 20_000));
      }
    }
  }

  async #cancelledAfterSubmit(run: Run, step: Step): Promise<void> {
    if (step.kind === 'bought') await this.#release(run, step.task, true);
    else if (step.kind === 'unknown') this.#salvage(step.purchase);
    throw new Cancelled();
  }

  #inBackground(work: () => Promise<unknown>): void {
    this.#background += 1;
    work().then(
      () => {
        this.#background -= 1;
      },
      (error: unknown) => {
        this.#background -= 1;
        if (
          !(error instanceof Cancelled) &&
          !(error instanceof VideoError && error.type === FailureType.RecordDamaged)
        ) {
          this.#fail(error as Error);
        }
      },
    );
  }

  #ended(run: Run, end: string): void {
    if (run.terminated) return;
    run.end = end;
    if (run.key.damaged && end !== FailureType.RecordDamaged && end !== 'cancelled') {
      this.#fail(new Broken(`run ${run.name} ended ${end} although its record is damaged`));
    }
  }

  #fail(error: Error): void {
    this.#broken ??= error;
  }

  // --- what the world is made of -----------------------------------------------------------------------------------

  #newProcess(): Process {
    const { random, sim } = this;
    const rough = this.#weather !== 'calm';
    const latency = () => {
      if (rough && this.#faulty && random.chance(0.01)) return random.between(1_000, 10 * MINUTE);
      return random.between(1, 150);
    };
    return new Process(sim, random.between(-60_000, 60_000), latency);
  }

  #anyProcess(): Process {
    const ready = this.#processes.filter(({ responsive }) => responsive);
    return this.random.pick(ready.length > 0 ? ready : this.#processes);
  }

  #kill(): void {
    const victim = this.random.pick(this.#processes);
    victim.alive = false;
    this.#processes = [...this.#processes.filter((process) => process !== victim), this.#newProcess()];
  }

  #stall(): void {
    if (!this.#faulty) return;
    const length = this.random.pick([10_000, MINUTE, 10 * MINUTE, 3 * HOUR]);
    this.random.pick(this.#processes).stalledUntilMs = this.sim.nowMs + this.random.between(1_000, length);
  }

  readonly #clients = new WeakMap<Process, SimClient>();
  readonly #deps = new WeakMap<Process, BuyDeps>();

  #client(process: Process): SimClient {
    const client = this.#clients.get(process) ?? this.#pieces.client(this.provider.client(process));
    this.#clients.set(process, client);
    return client;
  }

  #buyDeps(process: Process): BuyDeps {
    const known = this.#deps.get(process);
    if (known !== undefined) return known;
    const store = this.#pieces.store(
      new SimStore(
        this.sim,
        process,
        this.store,
        () => this.#storeFaults(),
        (key) => this.#stored(key),
      ),
    );
    const clock = process.clock();
    let tokens = 0;
    const newToken = () => `${this.random.between(0, 1e9)}-${++tokens}`;
    const ledger = this.#pieces.ledger({ store, scope: SCOPE, now: clock.now, newToken, rules: this.#pieces.rules });
    const deps = { ledger, provider: this.#client(process), clock, times: this.#pieces.times };
    this.#deps.set(process, deps);
    return deps;
  }

  #reconcileDeps(process: Process): ReconcileDeps {
    const client = this.#client(process);
    const { ledger, clock, times } = this.#buyDeps(process);
    return { ledger, clock, times, provider: client, archiveCandidate: client.archiveCandidate };
  }

  #storeFaults(): StoreFaults {
    if (!this.#faulty || this.#weather === 'calm') {
      return { refused: 0, replyLost: 0, landsLater: 0, doubled: 0.05, listsLate: 0 };
    }
    return { refused: 0.01, replyLost: 0.03, landsLater: 0.02, doubled: 0.05, listsLate: 0.02 };
  }

  #providerFaults(): ProviderFaults {
    const calm = { replyLost: 0.3, requestLost: 0.1, notSent: 0.05, throttled: 0.05, rejected: 0.02, taskFails: 0.1 };
    const quiet = { connectStall: 0, queryRefused: 0, listRefused: 0, listLagMaxMs: 5_000, socketStallMaxMs: 0 };
    if (!this.#faulty || this.#weather === 'calm') return { ...calm, ...quiet };
    const rough = { ...calm, connectStall: 0.1, replyLost: 0.4, queryRefused: 0.05, listRefused: 0.05 };
    // What the design rests on: two minutes from first sight to the last listing, and a POST of at most 25 s.
    if (this.#weather === 'rough') return { ...rough, listLagMaxMs: 90_000, socketStallMaxMs: 10_000 };
    return { ...rough, listLagMaxMs: 30 * MINUTE, socketStallMaxMs: 30 * MINUTE };
  }

  // --- what must hold at every moment ------------------------------------------------------------------------------

  #stored(path: string): void {
    if (path.includes('/late/')) this.seen.add('second');
    const announced = LedgerPaths.parseAnnouncement(path);
    if (announced?.isMarker) this.#marked(announced);
    if (path.startsWith(PATHS.allDigests)) this.#checkDigest(path);
    const record = LedgerPaths.parse(path);
    if (record?.kind === 'task') this.#checkLeadsTo(path);
    if (record?.kind === 'found_task') this.seen.add('found');
    if (record?.kind === 'intent' || record?.kind === 'extra_task' || record?.kind === 'found_task') {
      const taskName = 'taskName' in record ? `~late~${record.taskName}` : '';
      const hour = PATHS.announcements(this.store.json(path)!['written_at_ms'] as number);
      const { key, n } = record.purchase;
      this.#checkNamed(LedgerPaths.parseAnnouncement(`${hour}${key}-${n}${taskName}.json`)!);
    }
    const match = /\/purchases\/([0-9a-f]+)\/(\d+)\/(intent|claim|closed)\.json$/.exec(path);
    if (match === null) return;
    const [, key = '', number, kind] = match;
    const n = Number(number);
    const open = this.#open.get(key) ?? new Set<number>();
    this.#open.set(key, open);
    if (kind === 'intent') open.add(n);
    if (kind === 'closed') open.delete(n);
    if (kind === 'claim') {
      const text = JSON.stringify(this.store.json(path)!['decision']);
      if ((this.#decisions.get(path) ?? text) !== text) this.#fail(new Broken(`the decision on ${key}/${n} changed`));
      this.#decisions.set(path, text);
      const decision = JSON.parse(text) as Decision;
      if (decision.not_created !== undefined) {
        open.delete(n);
        if (decision.not_created.reason === 'person') this.#excused.add(key);
      }
      const task = this.provider.tasks.find(({ id }) => id === decision.task_id);
      if (
        decision.found_by === 'reconcile' &&
        task?.key !== undefined &&
        task.key !== key &&
        this.#weather !== 'wild'
      ) {
        this.#fail(new Broken(`${key}/${n} took ${task.id}, which was bought for ${task.key}`));
      }
    }
    if (open.size > 1) this.#fail(new Broken(`two open purchases of ${key}: ${[...open].join(', ')}`));
  }

  /** Nothing finds a task record by its purchase, so the purchase's own records name the task before. */
  #checkLeadsTo(path: string): void {
    const { task_id: taskId, purchase_key: key, n } = this.store.json(path)!;
    if (this.#isNamed(`${ROOT}/purchases/${key}/${n}`, taskId as string)) return;
    this.#fail(new Broken(`${taskId} is recorded, and nothing leads from ${key}/${n} to it`));
  }

  /** A marker says that what it names is over, and what is over stays so. */
  #marked(announcement: Announcement): void {
    this.seen.add('marked');
    if (!this.#isOver(announcement)) this.#fail(new Broken(`${announcement.key} was marked as over and is open`));
  }

  #isOver({ purchase, taskName }: Announcement): boolean {
    const folder = `${ROOT}/purchases/${purchase.key}/${purchase.n}`;
    const closed = taskName === undefined ? `${folder}/closed.json` : `${folder}/late/${taskName}~closed.json`;
    if (this.store.objects.has(closed)) return true;
    const decision = this.#decisionIn(folder);
    if (taskName === undefined) return decision?.not_created !== undefined;
    // It was found for the purchase and became its own.
    return decision?.task_id === taskName && this.store.objects.has(`${folder}/closed.json`);
  }

  /** A digest names everything in its hour that is not over, also what is recorded later. */
  #checkDigest(path: string): void {
    const name = PATHS.parseDigest(path)!;
    if ('revokes' in name) return;
    const { prefix, count } = name;
    this.seen.add(count === 0 ? 'digest of a settled hour' : 'digest that names');
    for (const { key } of this.store.infos(prefix)) {
      const announcement = LedgerPaths.parseAnnouncement(key)!;
      if (!announcement.isMarker && this.#isRecorded(announcement)) this.#checkNamed(announcement);
    }
  }

  #isRecorded({ purchase, taskName }: Announcement): boolean {
    const folder = `${ROOT}/purchases/${purchase.key}/${purchase.n}`;
    const files = taskName === undefined ? ['intent'] : [`late/${taskName}`, `found/${taskName}`];
    return files.some((file) => this.store.objects.has(`${folder}/${file}.json`));
  }

  #checkNamed(announcement: Announcement): void {
    const hour = announcement.key.slice(PATHS.allAnnouncements.length).slice(0, 14);
    for (const { key } of this.store.infos(`${PATHS.allDigests}${hour}`)) {
      // What revokes the digests of an hour has no names.
      const names = this.store.json(key)!['names'] as readonly string[] | undefined;
      if (names === undefined) continue;
      if (names.some((name) => announcement.key.endsWith(`/${name}`)) || this.#isOver(announcement)) continue;
      this.#fail(new Broken(`${announcement.key} is open, and the digest of its hour hides it`));
    }
  }

  #created(task: SimTask): void {
    const { key } = task;
    if (key === undefined) return;
    if (this.#keys.some((candidate) => candidate.key === key && candidate.damaged)) {
      this.#fail(new Broken(`${task.id} was bought although a record of ${key} is damaged`));
    }
    if (this.#weather === 'wild') return;
    const earlier = this.provider.tasks.filter(
      (other) =>
        other.key === key &&
        other !== task &&
        !['FAILED', 'CANCELED', 'UNKNOWN'].includes(this.provider.statusOf(other)),
    );
    if (earlier.length > 0 && !this.#excused.has(key)) {
      this.#fail(
        new Broken(`${task.id} was bought in addition to ${earlier.map(({ id }) => id).join(', ')} for ${key}`),
      );
    }
  }

  #received(run: Run, taskId: string): void {
    const key = this.provider.tasks.find(({ id }) => id === taskId)?.key;
    if (key !== undefined && key !== run.key.key && this.#weather !== 'wild') {
      this.#fail(new Broken(`${run.name} got the video of ${taskId}, which was bought for ${key}`));
    }
  }

  /**
   * Every accepted task is claimed, recorded next to its purchase, or behind an open purchase that is found by time.
   */
  async #checkFindable(): Promise<void> {
    const open = await this.#leftOpen();
    for (const view of await this.#trulyOpen()) {
      const { key, n } = view.purchase;
      if (open.some(({ purchase }) => isSamePurchase(purchase, view.purchase))) continue;
      this.#fail(new Broken(`${key}/${n} is open and is not found by time`));
    }
    for (const task of this.provider.tasks) {
      if (task.key === undefined || this.#recorded(task)) continue;
      if (['FAILED', 'CANCELED'].includes(this.provider.statusOf(task))) continue;
      const found = open.some(({ purchase }) => purchase.key === task.key);
      if (!found && this.#weather !== 'wild') this.#fail(new Broken(`${task.id} is paid and nothing leads to it`));
    }
    if (this.#broken !== undefined) throw this.#broken;
  }

  async #checkEnd(): Promise<void> {
    const open = await this.#trulyOpen();
    const listed = () => this.#reader().listOpen(this.#age());
    await this.#reader().markSettled(await listed());
    if ((await listed()).unmarked.length > 0) throw new Broken('a sweep has marked what is over, and it is read again');
    if (open.length > 0)
      throw new Broken(
        `left open: ${open.map(({ purchase, state }) => `${purchase.key}/${purchase.n} ${state.kind}`).join(', ')}`,
      );
    for (const task of this.provider.tasks) {
      if (task.key === undefined || task.fails || task.cancelled || this.#excused.has(task.key)) continue;
      if (task.result === 'no video') continue;
      if (this.#weather !== 'wild' && !this.store.objects.has(`videos/${task.id}.mp4`)) {
        throw new Broken(`the video of ${task.id} was paid and is lost`);
      }
    }
  }

  /** What a sweep would find, read past every fault. */
  async #leftOpen(): Promise<readonly PurchaseView[]> {
    return (await this.#reader().listOpen(this.#age())).open;
  }

  /** Hours that a sweep lists: fewer than the shipped 25 where the world is younger, because each is a listing. */
  #age(): number {
    return Math.ceil((this.sim.nowMs - START) / HOUR) + 1;
  }

  /** What is open, from every purchase there is, without announcements and markers. */
  async #trulyOpen(): Promise<readonly PurchaseView[]> {
    const purchases = new Map<string, Purchase>();
    for (const { key } of this.store.infos(`${ROOT}/purchases/`)) {
      const record = LedgerPaths.parse(key);
      if (record === undefined || record.kind === 'task') continue;
      const { purchase } = record;
      if (!this.#keys.some((one) => one.damaged && one.key === purchase.key)) {
        purchases.set(`${purchase.key}/${purchase.n}`, purchase);
      }
    }
    const reader = this.#reader();
    const views = await Promise.all([...purchases.values()].map((purchase) => reader.findPurchase(purchase)));
    return views.filter((view) => view !== undefined && isOpen(view)) as PurchaseView[];
  }

  #reader(): Ledger {
    const { store, sim } = this;
    return new Ledger({ store, scope: SCOPE, now: () => sim.nowMs, rules: this.#pieces.rules });
  }

  #recorded(task: SimTask): boolean {
    const record = this.store.json(`${ROOT}/tasks/${task.id}.json`);
    if (record === undefined) return false;
    return this.#isNamed(`${ROOT}/purchases/${record['purchase_key']}/${record['n']}`, task.id);
  }

  /** Whether a purchase's own records name a task. */
  #isNamed(folder: string, taskId: string): boolean {
    return (
      this.#decisionIn(folder)?.task_id === taskId ||
      ['late', 'found'].some((kind) => this.store.objects.has(`${folder}/${kind}/${taskId}.json`))
    );
  }

  #decisionIn(folder: string): Decision | undefined {
    return this.store.json(`${folder}/claim.json`)?.['decision'] as Decision | undefined;
  }

  #describe(): string {
    const runs = this.runs.map(({ name, key, end }) => `${name} on ${key.key.slice(0, 2)} ${end ?? 'lives'}`);
    return `${runs.join('; ')}; ${this.#background} in background; ${this.sim.steps} steps; ${new Date(this.sim.nowMs).toISOString()}`;
  }
}

function notFailed(error: unknown): void {
  const types: readonly FailureType[] = [FailureType.TaskFailed, FailureType.ResultRejected];
  if (!(error instanceof VideoError && types.includes(error.type))) throw error;
}
