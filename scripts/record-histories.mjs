// Records the histories that the replay gate holds (docs/versioning.md):
//   npm run record-histories [-- PART OF A CASE'S NAME]
// Needs a build; everything else (Temporal server, emulator, worker) it starts itself.
import './require-node.mjs';

// An older Node.js cannot even load it.
const { startVitest } = await import('vitest/node');

const [testNamePattern] = process.argv.slice(2);
const vitest = await startVitest('test', [], {
  include: ['test/replay/record-histories.ts'],
  exclude: [],
  watch: false,
  maxConcurrency: 12, // most of a case is waiting; more at once would miss stages on a busy machine
  ...(testNamePattern !== undefined && { testNamePattern }),
});
await vitest.close();
