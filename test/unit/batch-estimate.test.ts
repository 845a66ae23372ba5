import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { BudgetRoom } from '../../src/batch/budget-room.js';
import { estimateDuration, estimateManifest } from '../../src/batch/estimate.js';
import { imagesInFolder, openManifest } from '../../src/client/manifest-source.js';
import type { BudgetLimits } from '../../src/contract/budget.js';
import { canonicalRequest } from '../../src/contract/validate.js';
import { buyOnce } from '../../src/ledger/buy.js';
import { cacheKeyOf } from '../../src/ledger/preview.js';
import { identifyImage } from '../../src/media/stage-image.js';
import { readRenderTimes } from '../../src/polling/render-times.js';
import { ROOT } from '../support/root.js';
import { order, setUp } from './ledger-setup.js';

const MICRO = 1_000_000;

/** In seven seconds ten times as many. */
const LINES = process.env['TEST_FULL'] === '1' ? 10_000 : 1_000;
const ASSETS = join(ROOT, 'assets');
const local = { prompt: 'a boat', duration: 4, fps: 24, size: '1280*720', reference_image: 'sample.jpg' };
/** Each kind of render takes as said, the longest a second more. */
const renders = (ms: number) => ({ forecast: () => ({ earliestMs: ms, latestMs: ms + 1_000, samples: 3 }) });

const estimate = (
  lines: readonly object[],
  { ledger, store }: ReturnType<typeof setUp>,
  allowInvalid = false,
  room?: BudgetRoom,
) =>
  estimateManifest(() => openManifest({ lines: lines as Record<string, unknown>[] }), {
    name: 'of a test',
    allowInvalid,
    ledger,
    renderTimes: renders(30_000),
    slots: { limit: 5, ahead: 0 },
    window: 10,
    budget: room && { room, batch: 'spring' },
    images: imagesInFolder(ASSETS, store, undefined),
  });

describe('the estimate of a manifest', () => {
  test('lists what is cached, what shares a purchase and what is bought, and writes nothing', async () => {
    const world = setUp();
    const { ledger, deps, store } = world;
    const image = await identifyImage(join(ASSETS, 'sample.jpg'));
    const keyOf = (fields: object) =>
      cacheKeyOf({ ...local, ...fields, reference_image: `asset:${image.asset.key}` } as never) as string;
    const open = keyOf({ prompt: 'open' });
    await buyOnce(deps, order({ purchaseKey: open, cacheKey: open }));
    const kept = keyOf({ prompt: 'kept' });
    await store.put('videos/kept.mp4', Buffer.from('video'));
    const { sha256 = '' } = (await store.head('videos/kept.mp4')) ?? {};
    await ledger.setCached(kept, { key: kept, n: 1 }, resultOf('kept', sha256));
    const before = [...store.objects.keys()];

    const lines = [
      { ...local, prompt: 'kept' },
      { ...local, prompt: 'open' },
      { ...local, prompt: 'new' },
      { ...local, prompt: 'new', labels: { team: 'film' } }, // equal but for labels
      { ...local, prompt: 'new', tenant: 'other' }, // another run, the same purchase
      { ...local, prompt: 'new', cache: 'off', audio: true },
      { ...local, prompt: 'web', duration: 10, reference_image: 'https://example.com/a.png' },
      { ...local, duration: 99 },
    ];
    expect(await estimate(lines, world, true)).toEqual({
      counts: {
        total: 8,
        invalid: 1,
        duplicate: 1,
        cached: 1,
        adopt: 2,
        buy: 2,
        refuse: 0,
        budget_reached: 0,
        fetch: 1,
      },
      billed: [
        { resolution: '720P', audio: false, seconds: 14 },
        { resolution: '720P', audio: true, seconds: 4 },
      ],
      duration: { earliest_seconds: 32, latest_seconds: 33, learned: true },
    });
    expect([...store.objects.keys()]).toEqual(before);
  });

  describe('with budgets, counts what they have no room for, line by line', () => {
    const silent = { silent: MICRO, sound: 2 * MICRO };
    const prices = { '720P': silent, '1080P': silent };
    const spent = (tenant: string | null, batch: string | null) =>
      ({ tenant, batch, seconds: 4, resolution: '720P', audio: false }) as const;
    const shown = { scope: 'day', name: null, limit: 20, spent: 4, reserved: 4 } as const;
    /** Four lines of acme, one of a longer video, and one with sound, of another tenant; 4 each, 8 and 8. */
    const lines = [
      ...[1, 2, 3, 4].map((seed) => ({ ...local, seed, tenant: 'acme' })),
      { ...local, duration: 8, tenant: 'acme' },
      { ...local, audio: true, tenant: 'other' },
    ];
    test.each<
      [what: string, limits: Partial<BudgetLimits>, of: ConstructorParameters<typeof BudgetRoom>[1], buy: number]
    >([
      ['none', {}, [], 6],
      ['nothing for anything', { day: 0 }, [], 0],
      ['the day, of which 4 are spent', { day: 12 * MICRO }, [], 2],
      ['a later, cheaper line still fits', { day: 15 * MICRO, tenants: { other: 0 } }, [], 2],
      ['a tenant, of which 4 are spent', { tenants: { acme: 8 * MICRO } }, [], 2],
      ['each tenant by a pattern', { tenants: { '*': 8 * MICRO } }, [], 2],
      ['the batch', { batches: { 'spr*': 10 * MICRO } }, [], 2],
      ['another batch', { batches: { autumn: 0 } }, [], 6],
      ['what the slots show, reserved money included', { day: 100 * MICRO }, [shown], 3],
    ])('%s', async (_, limits, of, buy) => {
      const terms = { currency: 'CNY', prices, limits: { day: null, tenants: {}, batches: {}, ...limits } };
      const room = new BudgetRoom(terms, of);
      room.addSpent(spent('acme', null));
      const { counts, billed } = await estimate(lines, setUp(), false, room);
      expect(counts).toMatchObject({ total: 6, buy, budget_reached: 6 - buy });
      expect(billed.length > 0).toBe(buy > 0);
    });
  });

  test('names every fault by line as a start does', async () => {
    await expect(
      estimate([local, { ...local, duration: 99 }, { ...local, reference_image: 'gone.jpg' }], setUp()),
    ).rejects.toMatchObject({
      type: 'InvalidRequest',
      issues: [{ path: 'line 2, duration' }, { path: 'line 3, reference_image' }],
    });
  });

  test(`of ${LINES} lines asks for sixteen at a time and keeps memory flat`, async () => {
    const world = setUp();
    const { store } = world;
    let [now, most] = [0, 0];
    const list = store.list.bind(store);
    store.list = async function* (...args) {
      most = Math.max(most, ++now);
      await new Promise((done) => setImmediate(done));
      yield* list(...args);
      now -= 1;
    };
    const lines = Array.from({ length: LINES }, (_, n) => ({ ...local, prompt: `boat number ${n}` }));
    const before = process.memoryUsage().arrayBuffers;
    const { counts, billed } = await estimate(lines, world);
    expect(counts).toMatchObject({ total: LINES, buy: LINES });
    expect(billed).toEqual([{ resolution: '720P', audio: false, seconds: 4 * LINES }]);
    expect(most).toBeGreaterThan(8);
    expect(most).toBeLessThanOrEqual(16);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(32 * 1024 * 1024);
  }, 60_000);
});

describe('the expected time', () => {
  const kind = { resolution: '720P', seconds: 4, audio: false } as const;
  const times = renders(28_500); // 30 s with the hand-over
  test.each([
    { what: 'one after another in the slots', count: 10, limit: 5, window: 10, ahead: 0, earliest: 60 },
    { what: 'no more at a time than the window', count: 10, limit: 5, window: 2, ahead: 0, earliest: 150 },
    { what: 'after the tasks of others', count: 10, limit: 5, window: 10, ahead: 5, earliest: 90 },
    { what: 'a last one alone', count: 11, limit: 5, window: 10, ahead: 0, earliest: 90 },
  ])('is that of $what', ({ count, limit, window, ahead, earliest }) => {
    const options = { renderTimes: times, slots: { limit, ahead }, window, runs: count };
    const { earliest_seconds, latest_seconds } = estimateDuration([{ kind, count }], options);
    expect(earliest_seconds).toBe(earliest);
    expect(latest_seconds).toBe(earliest + earliest / 30);
  });

  test('of what is answered from the cache is that of the runs alone', () => {
    const options = { renderTimes: times, slots: { limit: 5, ahead: 3 }, window: 10, runs: 100 };
    expect(estimateDuration([], options)).toEqual({ earliest_seconds: 5, latest_seconds: 5, learned: true });
  });

  test('says that it is a guess when nothing of the kind was rendered yet, and asking writes nothing', async () => {
    const { store } = setUp();
    const renderTimes = await readRenderTimes(store, { provider: 'emulator', account: 'default' });
    const options = { renderTimes, slots: { limit: 5, ahead: 0 }, window: 10, runs: 1 };
    expect(estimateDuration([{ kind, count: 1 }], options)).toMatchObject({ learned: false });
    expect(store.objects.size).toBe(0);
  });
});

const resultOf = (taskId: string, sha256: string) =>
  ({
    video_url: `file:///videos/${taskId}.mp4`,
    duration: 4,
    fps: 24,
    seed: 1,
    width: 1280,
    height: 720,
    bytes: 5,
    sha256,
    has_audio: false,
    task_id: taskId,
    request_id: 'r',
    source: 'generated',
    warnings: [],
    requested: { duration: 4, fps: 24, size: canonicalRequest(local as never).size },
    usage: { billed_seconds: 4, resolution: '720P', audio: false },
    timings: { queued: 0, rendering: 1, detected: 1, archived: 1 },
  }) as never;
