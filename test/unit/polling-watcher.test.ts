import { describe, expect, test } from 'vitest';
import { FailureType } from '../../src/contract/failure-type.js';
import { VideoError } from '../../src/contract/video-error.js';
import type { TaskSnapshot } from '../../src/dashscope/wire.js';
import { QueryBudget } from '../../src/polling/query-budget.js';
import { createTaskWatcher } from '../../src/polling/task-watcher.js';
import type { TaskWatcher, WatchOptions } from '../../src/polling/watch.js';
import {
  busiestSecond,
  MemoryRenderTimes,
  mean,
  quantile,
  SimulatedClock,
  SimulatedProvider,
  seededRandom,
} from './polling-simulation.js';

const KIND = { resolution: '720P', seconds: 10, audio: true } as const;
const never = (): AbortSignal => new AbortController().signal;

interface Setting {
  readonly seconds?: number;
  readonly jitter?: number;
  readonly learned?: number;
  readonly workers?: number;
  readonly perSecond?: number;
  readonly withList?: boolean;
}

interface Submit extends Partial<WatchOptions> {
  readonly worker?: number;
  readonly renderMs?: number;
}

class World {
  readonly clock = new SimulatedClock();
  readonly random: () => number;
  readonly provider: SimulatedProvider;
  readonly stats: MemoryRenderTimes[];
  readonly watchers: TaskWatcher[];
  readonly delays: number[] = [];
  readonly ends: string[] = [];
  readonly #render: () => number;

  constructor({
    seconds = 180,
    jitter = 0.05,
    learned = 24,
    workers = 1,
    perSecond = 10,
    withList = true,
  }: Setting = {}) {
    this.random = seededRandom(seconds);
    this.provider = new SimulatedProvider(this.clock, this.random);
    this.#render = () => seconds * 1000 * (1 + jitter * (2 * this.random() - 1));
    this.stats = Array.from({ length: workers }, () => {
      const stats = new MemoryRenderTimes();
      for (let nth = 1; nth <= learned; nth += 1) stats.learn(KIND, { endedAtMs: nth * 1e6, renderMs: this.#render() });
      return stats;
    });
    const { clock, random, provider } = this;
    this.watchers = this.stats.map((stats) =>
      createTaskWatcher({
        query: provider.query,
        budget: new QueryBudget({ perSecond, clock, random }),
        clock,
        random,
        stats,
        ...(withList && { list: provider.list }),
      }),
    );
  }

  get watcher(): TaskWatcher {
    return this.watchers[0]!;
  }

  /** Submits a task now and watches it from the reply on: until it runs, and then to its end, as the steps do. */
  async submit(
    taskId: string,
    { worker = 0, renderMs = this.#render(), ...watch }: Submit = {},
  ): Promise<TaskSnapshot> {
    const task = this.provider.create(taskId, renderMs);
    const watched = { taskId, ...KIND, submittedAtMs: this.clock.now() + 60 }; // the reply takes its time
    const options = { signal: never(), ...watch };
    const watcher = this.watchers[worker]!;
    const isRunning = (look: TaskSnapshot): boolean => options.shouldStop?.(look) === true || look.status === 'RUNNING';
    let seen = await watcher.watch(watched, { ...options, shouldStop: isRunning });
    if (seen.status === 'RUNNING') {
      await this.clock.sleep(300); // the workflow goes on to its next step
      seen = await watcher.watch(watched, options);
    }
    this.delays.push(this.clock.now() - task.endMs);
    this.ends.push(taskId);
    return seen;
  }

  /** Submits `total` tasks evenly, so that `inFlight` are under way at a time, and sees all of them end. */
  async fleet(total: number, inFlight: number, seconds = 180): Promise<void> {
    const startMs = this.clock.now();
    for (let index = 0; index < total; index += 1) {
      this.clock.at(startMs + (index * seconds * 1000) / inFlight, () => {
        void this.submit(`task-${index}`, { worker: index % this.watchers.length });
      });
    }
    await this.clock.run(() => this.ends.length === total);
  }

  perGeneration(kind?: 'query' | 'list'): number {
    return this.provider.log.filter((one) => kind === undefined || one.kind === kind).length / this.ends.length;
  }

  busiest(): number {
    return busiestSecond(this.provider.log.map(({ atMs }) => atMs));
  }
}

describe('one task', () => {
  test('a learned 180 s render takes at most 12 requests and is noticed within a second', async () => {
    const world = new World();
    for (let index = 0; index < 40; index += 1) {
      void world.submit(`task-${index}`);
      await world.clock.run(() => world.ends.length === index + 1);
    }
    expect(world.perGeneration()).toBeLessThanOrEqual(12);
    expect(mean(world.delays)).toBeLessThanOrEqual(1_000);
    expect(world.stats[0]?.samples).toHaveLength(24 + 40); // each success is learned
  });

  test.each(['FAILED', 'CANCELED'] as const)('a task that is %s ends its watch', async (end) => {
    const world = new World({ seconds: 20 });
    world.provider.create('t', 20_000, { end });
    const watch = world.watcher.watch({ taskId: 't', ...KIND }, { signal: never() });
    let seen: TaskSnapshot | undefined;
    void watch.then((snapshot) => {
      seen = snapshot;
    });
    await world.clock.run(() => seen !== undefined);
    expect(seen).toMatchObject({ taskId: 't', status: end });
    expect(world.stats[0]?.samples).toHaveLength(24);
  });

  test('the caller decides when an unknown task is over; it is asked ever more rarely until then', async () => {
    const world = new World();
    let looks = 0;
    let seen: TaskSnapshot | undefined;
    const startMs = world.clock.now();
    void world.watcher
      .watch(
        { taskId: 'nobody', ...KIND },
        {
          signal: never(),
          shouldStop: () => {
            looks += 1;
            return world.clock.now() - startMs > 120_000;
          },
        },
      )
      .then((snapshot) => {
        seen = snapshot;
      });
    await world.clock.run(() => seen !== undefined);
    expect(seen?.status).toBe('UNKNOWN');
    expect(looks).toBeLessThan(15);
  });

  test('an error that the caller throws about a look ends the watch with it', async () => {
    const world = new World({ seconds: 5 });
    const refused = new Error('the task is not ours');
    let reason: unknown;
    void world
      .submit('t', {
        shouldStop: () => {
          throw refused;
        },
      })
      .catch((error: unknown) => {
        reason = error;
      });
    await world.clock.run(() => reason !== undefined);
    expect(reason).toBe(refused);
  });

  test('a watch that is taken over in the middle looks at once and goes on by the time of the provider', async () => {
    const world = new World();
    const task = world.provider.create('t', 180_000);
    await world.clock.run(() => false, 100_000);
    const beganMs = world.clock.now();
    let endedMs: number | undefined;
    void world.watcher.watch({ taskId: 't', ...KIND }, { signal: never() }).then(() => {
      endedMs = world.clock.now();
    });
    await world.clock.run(() => endedMs !== undefined);
    expect((world.provider.log[0]?.atMs ?? 0) - beganMs).toBeLessThan(100);
    expect((endedMs ?? 0) - task.endMs).toBeLessThan(1_500);
    expect(world.provider.log.length).toBeLessThan(15);
  });

  test('a second watch of a task goes on with what the first one saw; hours later it looks at once', async () => {
    const world = new World();
    const task = { taskId: 't', ...KIND, submittedAtMs: world.clock.now() };
    world.provider.create('t', 180_000);
    let looks = 0;
    const untilItRuns = { signal: never(), shouldStop: () => true };
    const watch = async (): Promise<void> => {
      await world.watcher.watch(task, untilItRuns);
      looks += 1;
    };
    void watch();
    await world.clock.run(() => looks === 1);
    void watch();
    await world.clock.run(() => false, 60_000);
    expect(world.provider.log).toHaveLength(1);
    await world.clock.run(() => looks === 2);
    await world.clock.run(() => false, 3_600_000);
    const laterMs = world.clock.now();
    void watch();
    await world.clock.run(() => looks === 3);
    expect(world.clock.now() - laterMs).toBeLessThan(100);
  });

  test.each([-60_000, 60_000])('a provider whose clock is %i ms ahead of ours costs nothing', async (clockAheadMs) => {
    const world = new World();
    world.provider.troubles.clockAheadMs = clockAheadMs;
    void world.submit('t');
    await world.clock.run(() => world.ends.length === 1);
    expect(world.delays[0]).toBeLessThan(1_500);
    expect(world.provider.log.length).toBeLessThan(20);
  });

  test('time in the queue of the provider is queried rarely and does not count as rendering', async () => {
    const world = new World();
    const task = world.provider.create('t', 180_000, { queuedMs: 600_000 });
    let endedMs: number | undefined;
    const submittedAtMs = world.clock.now();
    void world.watcher.watch({ taskId: 't', ...KIND, submittedAtMs }, { signal: never() }).then(() => {
      endedMs = world.clock.now();
    });
    await world.clock.run(() => endedMs !== undefined);
    expect((endedMs ?? 0) - task.endMs).toBeLessThan(1_500);
    const queued = world.provider.log.filter(({ atMs }) => atMs < task.startMs).length;
    expect(queued).toBeLessThan(50);
    expect(world.provider.log.length - queued).toBeLessThan(20);
  });

  test('an abort ends the watch with its reason at once, also in the middle of a query', async () => {
    const world = new World({ seconds: 5 });
    const abort = new AbortController();
    const why = new Error('the run was cancelled');
    const reasons: unknown[] = [];
    void world.submit('t', { signal: abort.signal }).catch((error: unknown) => reasons.push(error));
    world.clock.at(world.clock.now() + 1_010, () => abort.abort(why)); // the first look is on its way
    await world.clock.run(() => reasons.length > 0);
    expect(reasons).toEqual([why]);
    const asked = world.provider.log.length;
    void world.submit('other');
    await world.clock.run(() => world.ends.length === 1);
    expect(world.provider.log.slice(asked).every(({ taskId }) => taskId === 'other')).toBe(true);
    await expect(world.watcher.watch({ taskId: 'x', ...KIND }, { signal: abort.signal })).rejects.toBe(why);
  });
});

describe('many tasks', () => {
  test.each([0.05, 0.15])(
    '100 in flight (jitter %d) take at most 3 requests each, and 95 of 100 are noticed within 2 s',
    async (jitter) => {
      const world = new World({ jitter });
      await world.fleet(250, 100);
      expect(world.perGeneration()).toBeLessThanOrEqual(3);
      expect(world.perGeneration('list')).toBeGreaterThan(0.5);
      expect(world.busiest()).toBeLessThanOrEqual(10);
      expect(quantile(world.delays, 0.95)).toBeLessThanOrEqual(2_000);
    },
  );

  test.each([46, 47, 48])(
    '100 renders of some %d s, begun within half a minute, are noticed as well',
    async (seconds) => {
      const world = new World({ seconds, jitter: 2 / seconds });
      const startMs = world.clock.now();
      for (let index = 0; index < 100; index += 1) {
        world.clock.at(startMs + index * 300, () => void world.submit(`task-${index}`));
      }
      await world.clock.run(() => world.ends.length === 100);
      expect(world.perGeneration()).toBeLessThanOrEqual(3);
      expect(world.busiest()).toBeLessThanOrEqual(10);
      expect(quantile(world.delays, 0.95)).toBeLessThanOrEqual(2_000);
    },
  );

  test.each([
    { trouble: { listRefused: true }, what: 'is refused', withList: true },
    { trouble: { listStaleMs: 6_000 }, what: 'is 6 s behind', withList: true },
    { trouble: { listStaleMs: 1e9 }, what: 'never moves', withList: true },
    { trouble: { listLagMs: 1e9 }, what: 'has none of them', withList: true },
    { trouble: { listHangs: true }, what: 'is never answered', withList: true },
    { trouble: {}, what: 'is missing', withList: false },
  ])('with a list that $what they are queried one by one and noticed as well', async ({ trouble, withList }) => {
    const world = new World({ withList });
    Object.assign(world.provider.troubles, trouble);
    await world.fleet(130, 100);
    expect(world.perGeneration('list')).toBeLessThan(0.25); // those of the first looks
    expect(world.perGeneration()).toBeLessThanOrEqual(12);
    expect(world.busiest()).toBeLessThanOrEqual(10);
    expect(mean(world.delays)).toBeLessThanOrEqual(1_000);
    expect(quantile(world.delays, 1)).toBeLessThan(10_000);
  });

  test('tasks that the list does not show yet are queried, and listed later on', async () => {
    const world = new World();
    world.provider.troubles.listLagMs = 20_000;
    await world.fleet(130, 100);
    expect(world.perGeneration()).toBeLessThanOrEqual(4);
    expect(quantile(world.delays, 0.95)).toBeLessThanOrEqual(2_000);
  });

  test('a fleet is listed as well when the clock of the provider is another one', async () => {
    const world = new World();
    world.provider.troubles.clockAheadMs = 60_000;
    await world.fleet(250, 100);
    expect(world.perGeneration()).toBeLessThanOrEqual(3);
  });

  test('two workers with their own budgets see next to no 429 on one account', async () => {
    const world = new World({ workers: 2 });
    await world.fleet(200, 100);
    const refused = world.provider.log.filter((one) => one.refused).length;
    expect(refused / world.provider.log.length).toBeLessThanOrEqual(0.02);
    expect(quantile(world.delays, 0.95)).toBeLessThanOrEqual(2_000);
  });

  test('when the budget is too small for all, none starves', async () => {
    const world = new World({ perSecond: 1, withList: false, jitter: 0 });
    for (let index = 0; index < 60; index += 1) void world.submit(`task-${index}`);
    await world.clock.run(() => world.ends.length === 60);
    expect(world.busiest()).toBeLessThanOrEqual(1);
    // 60 tasks at 0.8 requests a second are 75 s for one round; two rounds at most pass after the end.
    expect(quantile(world.delays, 1)).toBeLessThan(150_000);
  });

  test('a task that cannot be asked delays no other one', async () => {
    const world = new World({ seconds: 60, withList: false });
    world.provider.troubles.queryFault = (taskId) =>
      taskId === 'bad' ? new VideoError(FailureType.ProviderUnavailable, 'HTTP 500', { retryable: true }) : undefined;
    const faults: unknown[] = [];
    void world.submit('bad', { onFault: (error) => faults.push(error) });
    for (let index = 0; index < 4; index += 1) void world.submit(`good-${index}`);
    await world.clock.run(() => world.ends.length === 4);
    expect(quantile(world.delays, 1)).toBeLessThan(2_000);
    expect(faults.length).toBeGreaterThan(2);
    expect(faults.length).toBeLessThan(15);
    world.provider.troubles.queryFault = undefined;
    await world.clock.run(() => world.ends.includes('bad'));
  });

  test('a storm of 429s is met with few requests, keeps to Retry-After, ends no watch, and is over soon afterwards', async () => {
    const world = new World();
    const { troubles, log } = world.provider;
    for (let index = 0; index < 50; index += 1) void world.submit(`task-${index}`);
    await world.clock.run(() => false, 165_000);
    troubles.throttled = true;
    const calm = log.length;
    await world.clock.run(() => false, 120_000);
    expect(log.length - calm).toBeLessThan(20);
    expect(world.ends).toHaveLength(0);
    troubles.retryAfterMs = 30_000;
    const asked = log.length;
    await world.clock.run(() => log.length > asked);
    const before = log.length;
    await world.clock.run(() => false, 29_900);
    expect(log.length).toBe(before);
    troubles.throttled = false;
    const overMs = world.clock.now();
    await world.clock.run(() => world.ends.length === 50);
    expect(world.clock.now() - overMs).toBeLessThan(60_000);
  });

  test('a refused key slows everything down, ends no watch, and is forgotten with the first answer', async () => {
    const world = new World({ seconds: 30 });
    const { troubles, log } = world.provider;
    const faults: unknown[] = [];
    for (let index = 0; index < 10; index += 1)
      void world.submit(`task-${index}`, { onFault: (one) => faults.push(one) });
    await world.clock.run(() => false, 5_000);
    troubles.keyRefused = true;
    const calm = log.length;
    await world.clock.run(() => false, 600_000);
    expect(log.length - calm).toBeLessThan(60);
    expect(faults.length).toBeGreaterThan(5);
    expect(world.ends).toHaveLength(0);
    troubles.keyRefused = false;
    const fixedMs = world.clock.now();
    await world.clock.run(() => world.ends.length === 10);
    expect(world.clock.now() - fixedMs).toBeLessThan(17_000);
  });
});

describe('the time of arrival', () => {
  test('is a range that lies ahead, holds the end, and becomes sharper when rendering begins', async () => {
    const world = new World();
    const submittedAtMs = world.clock.now();
    const task = world.provider.create('t', 180_000, { queuedMs: 60_000 });
    const watched = { taskId: 't', ...KIND, submittedAtMs };
    let isOver = false;
    void world.watcher.watch(watched, { signal: never() }).then(() => {
      isOver = true;
    });
    await world.clock.run(() => false, 90_000); // rendering for half a minute
    const eta = world.watcher.eta(watched);
    expect(eta.earliestAtMs).toBeLessThanOrEqual(task.endMs);
    expect(eta.latestAtMs).toBeGreaterThanOrEqual(task.endMs);
    expect(eta.latestAtMs - eta.earliestAtMs).toBeLessThan(25_000);
    expect(eta.samples).toBe(24);
    await world.clock.run(() => isOver);
  });

  test('is never in the past, also for a task that is overdue', async () => {
    const world = new World();
    void world.submit('t', { renderMs: 1_000_000 });
    await world.clock.run(() => false, 600_000);
    const eta = world.watcher.eta({ taskId: 't', ...KIND });
    expect(eta.earliestAtMs).toBe(world.clock.now());
    expect(eta.latestAtMs).toBe(world.clock.now());
  });
});
