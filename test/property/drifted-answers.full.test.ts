import { test } from 'vitest';
import { runDrifted } from './drifted-world.js';

/** Seeds of their own, so that the long run adds to the short one. */
const FIRST = 100_000;
const PER_BLOCK = 500;
const BLOCKS = Array.from({ length: 4 }, (_, block) => FIRST + block * PER_BLOCK);

test.each(BLOCKS)(
  'five hundred further worlds of changed answers from seed %i on keep every promise',
  async (first) => {
    for (let seed = first; seed < first + PER_BLOCK; seed += 1) await runDrifted(seed);
  },
  600_000,
);

test("answers that stay changed for the provider's whole day cost nothing twice and close nothing", async () => {
  for (let seed = FIRST; seed < FIRST + 150; seed += 1) {
    await runDrifted(seed, { changesMax: Number.POSITIVE_INFINITY });
  }
}, 600_000);
