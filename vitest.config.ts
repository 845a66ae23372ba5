import { defineConfig } from 'vitest/config';

/** What only `npm run test:full` runs: every cell of the fault matrix, and whatever takes minutes. */
const LONG = ['test/**/*.full.test.ts'];
const full = process.env['TEST_FULL'] === '1';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: full ? [] : LONG,
    // Most tests wait for real servers and processes; two cores, and the machine may be busy with another suite.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // Temporal's native runtime is one per process.
    pool: 'forks',
    // Three times the cores that the suite is measured on: most tests wait for servers, processes and time-outs.
    maxWorkers: 6,
    minWorkers: 1,
  },
});
