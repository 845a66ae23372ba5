import { expect, test } from 'vitest';
import { MUTANTS } from './mutants.js';
import { runSchedule, SOUND, type Weather } from './world.js';

/** Some 10 ms of one core each; a machine that is shared takes several times as long. */
const TIMEOUT_MS = 180_000;
/** The long run has thousands more. */
const SEEDS: Readonly<Record<Weather, number>> = { calm: 150, rough: 300, wild: 150 };
/** Within so many a broken piece is noticed; most of them in the first few. */
const MUTANT_SEEDS = { rough: 600, wild: 300 };

/** What schedules must reach to prove anything. */
const REACHED: Readonly<Record<Weather, readonly string[]>> = {
  calm: [
    'bought claimed',
    'task',
    'follow',
    'unknown',
    'reconcile',
    'archived',
    'failed',
    'buy',
    'undecided',
    'several_fit',
    'result no video',
    'result abandoned',
    'found',
    'digest of a settled hour',
  ],
  rough: [
    'bought claimed',
    'bought unwritten',
    'task',
    'follow',
    'unknown',
    'reconcile',
    'archived',
    'buy',
    'undecided',
    'digest of a settled hour',
    'digest that names',
  ],
  wild: ['second', 'undecided', 'fits_another_purchase', 'record_damaged'],
};

test.each<[Weather, string]>([
  ['calm', 'where only replies are lost'],
  ['rough', 'where processes stop and die and the store loses replies'],
  ['wild', 'where also the list lags and sockets stall beyond what the design rests on'],
])(
  'no interleaving in %s weather (%s) buys twice, opens two purchases, loses a paid task or waits for ever',
  async (weather) => {
    const seen = new Set<string>();
    for (let seed = 1; seed <= SEEDS[weather]; seed += 1) {
      for (const kind of (await runSchedule(seed, weather)).seen) seen.add(kind);
    }
    expect([...seen]).toEqual(expect.arrayContaining([...REACHED[weather]]));
  },
  TIMEOUT_MS,
);

test.each(Object.entries(MUTANTS))(
  'the same schedules notice %s',
  async (_name, broken) => {
    const pieces = { ...SOUND, ...broken };
    const schedules = async () => {
      for (const weather of ['rough', 'wild'] as const) {
        for (let seed = 1; seed <= MUTANT_SEEDS[weather]; seed += 1) await runSchedule(seed, weather, pieces);
      }
    };
    await expect(schedules()).rejects.toThrow(/^seed \d+/);
  },
  TIMEOUT_MS,
);
