import { describe, expect, test } from 'vitest';
import { oldNode, runOnOldNode } from '../support/old-node.js';

describe.runIf(oldNode !== undefined)('on an old Node.js', () => {
  test.each(
    [
      ['dist/src/cli/main.js'],
      ['dist/src/cli/main.js', '--help'],
      ['dist/src/cli/main.js', 'worker'],
      ['dist/src/cli/main.js', 'generate', '--json'],
      ...['ensure', 'build', 'wan-video', 'test-full'].map((command) => ['scripts/run.mjs', command]),
      ...['chaos', 'soak', 'record-histories', 'words', 'pack-client'].map((name) => [`scripts/${name}.mjs`]),
      ...['all', 'run', 'storage', 'temporal'].map((name) => [`bench/${name}.mjs`]),
    ].map((args) => ({ args, command: args.join(' ') })),
  )('$command ends with one sentence', async ({ args }) => {
    const { code, printed, lines } = await runOnOldNode(args);
    expect({ code, printed, lines }).toEqual({
      code: 1,
      printed: '',
      lines: [expect.stringMatching(/ 22\.19\.0 or newer.+ this is 18\.20\.8: install .+https:\/\/nodejs\.org\.$/)],
    });
  });
});
