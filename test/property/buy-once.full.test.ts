import { test } from 'vitest';
import { runSchedule, type Weather } from './world.js';

/** Seeds of their own, so that the long run adds to the short one. */
const FIRST = 100_000;
const PER_BLOCK = 1_000;

const blocks = (['calm', 'rough', 'wild'] satisfies Weather[]).flatMap((weather) =>
  Array.from({ length: weather === 'rough' ? 10 : 5 }, (_, block) => [weather, FIRST + block * PER_BLOCK] as const),
);

test.each(blocks)(
  'a thousand further interleavings in %s weather from seed %i on keep every promise',
  async (weather, first) => {
    for (let seed = first; seed < first + PER_BLOCK; seed += 1) await runSchedule(seed, weather);
  },
  600_000,
);
