import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** What only `npm run test:full` runs: every cell of the fault matrix, and all that takes minutes. */
const LONG = ['test/**/*.full.test.ts'];
const full = process.env['TEST_FULL'] === '1';

/**
 * Folders whose files take up to a minute and a half, mostly waiting. Begun last, one of them would run alone at the
 * end.
 */
const LONGEST_FIRST = ['matrix', 'e2e', 'workflow', 'ui'];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      const at = LONGEST_FIRST.findIndex((folder) => moduleId.includes(`/test/${folder}/`));
      return at < 0 ? LONGEST_FIRST.length : at;
    };
    return (await super.sort(files)).toSorted((a, b) => rank(a) - rank(b));
  }
}

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: full ? [] : LONG,
    // Most tests wait for real servers and processes; two cores, and the machine may be busy with another suite.
    // The long ones start several workers one after the other, and wait for each with a limit of its own.
    testTimeout: full ? 240_000 : 60_000,
    hookTimeout: 120_000,
    // Vitest's own second is too short for what a busy machine has still to do.
    expect: { poll: { timeout: 30_000 } },
    // Temporal's native runtime is one per process.
    pool: 'forks',
    // The product starts processes that run its code; in a test that is its sources.
    execArgv: [`--import=${new URL('test/support/ts-sources.mjs', import.meta.url).href}`],
    // Four times the cores that the suite is measured on: most tests wait for servers, processes and time-outs.
    maxWorkers: 8,
    sequence: { sequencer: LongestFirst },
  },
});
