// Records the histories that the replay gate holds (docs/versioning.md): npm run record-histories [-- PART OF A CASE'S NAME]
// Needs a build; everything else (Temporal server, emulator, worker) it starts itself.
import { startVitest } from 'vitest/node';

const [testNamePattern] = process.argv.slice(2);
const vitest = await startVitest('test', [], {
  include: ['test/replay/record-histories.ts'],
  exclude: [],
  watch: false,
  // Everything waits; nothing computes.
  maxConcurrency: 100,
  ...(testNamePattern !== undefined && { testNamePattern }),
});
await vitest.close();
