import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { s3ServerMissing } from '../support/s3-server.js';
import { DISTURBANCES, type Disturbance, PROVIDER_CELLS, type ProviderCell, type Step } from './cells.js';
import { DRIFT_CELLS } from './drift-cells.js';
import { HOSTILE_CELLS } from './hostile-cells.js';
import {
  arrangeAll,
  disturb,
  expectNotified,
  expectSettled,
  outcomeOf,
  providerOutcome,
  releaseRuns,
} from './run-cells.js';
import { HOLDING_TIMES, mayMount, type StoreKind, startWorld, type World } from './world.js';

/** What a row needs beyond the file store. */
const STORES: Readonly<Partial<Record<Disturbance, StoreKind>>> = {
  'disk-full': 'small-disk',
  's3-down': 's3',
  's3-key-rotated': 's3',
};

/** Why a store cannot be had here; undefined when it can. */
async function missing(store: StoreKind): Promise<string | undefined> {
  if (store === 's3') return s3ServerMissing();
  if (store === 'small-disk' && !(await mayMount())) return 'a full disk needs the right to mount a small one (root)';
  return undefined;
}

describe.each([
  ['an answer of the provider', PROVIDER_CELLS, 'file'],
  ['an answer that is not as documented', DRIFT_CELLS, (await missing('s3')) === undefined ? 's3' : 'file'],
  ['an answer or a file that is hostile', HOSTILE_CELLS, 'file'],
] as const)('%s', (_, cells, store) => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld({ store });
  });
  afterAll(() => world?.close());

  const title = '$fault to the $on of $step: $expected.tasks task, the run ends $expected.end';
  const check = async (cell: ProviderCell) =>
    expect(await providerOutcome(world, cell)).toEqual({ ...cell.expected, archived: true });
  // A fault of these requests meets the next caller, so there must be no other one.
  const anybody = ({ on }: ProviderCell) => on === 'policy' || on === 'upload' || on === 'list';
  test.each(cells.filter(anybody))(title, check, 120_000);
  describe.concurrent('about one task', () => {
    test.each(cells.filter((cell) => !anybody(cell)))(title, check, 120_000);
  });
  test('after all of them nothing is reserved, and what is billed is counted', () => expectSettled(world), 120_000);
  test('each end of a run was notified under one id', () => expectNotified(world), 120_000);
});

for (const store of ['file', 'small-disk', 's3'] as const) {
  const lacks = await missing(store);
  if (lacks !== undefined) process.stderr.write(`skipped: ${lacks}\n`);
  describe.skipIf(lacks !== undefined)(`with a ${store} store`, () => {
    let world: World;
    beforeAll(async () => {
      world = await startWorld({ store, times: HOLDING_TIMES });
    });
    afterAll(() => world?.close());
    const rows = DISTURBANCES.filter(({ fault }) => (STORES[fault] ?? 'file') === store);
    test.each(rows)(
      '$title, in every step at once: one purchase each, nothing lost',
      async ({ fault, expected }) => {
        const runs = await arrangeAll(world, Object.keys(expected) as Step[]);
        try {
          await disturb(world, fault, runs);
        } finally {
          releaseRuns(world);
        }
        const wrong = runs.map(async (run) => {
          const came = await outcomeOf(world, run).catch(String);
          const wanted = { ...expected[run.step], archived: true };
          return isDeepStrictEqual(came, wanted) ? [] : [`${run.step}: ${JSON.stringify(came)}`];
        });
        expect((await Promise.all(wrong)).flat()).toEqual([]);
        await expectSettled(world);
      },
      300_000,
    );
    test('each end of a run was notified under one id', () => expectNotified(world), 120_000);
  });
}
