import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findTemporalCli } from '../../src/dev/temporal-cli.js';
import { oldNode, runOnOldNode } from '../support/old-node.js';

/** A download unpacks 130 MB. */
const TIMEOUT_MS = 180_000;

describe.runIf(oldNode !== undefined)('on an old Node.js', { timeout: TIMEOUT_MS }, () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'wan-video-old-node-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

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

  test("the README's two commands go on with a current Node.js, and say so in one line", async () => {
    const env = { XDG_CACHE_HOME: join(folder, 'shared'), TEMPORAL_CLI: await findTemporalCli(process.env) };
    const demo = await runOnOldNode(['scripts/run.mjs', 'demo', '--help'], env);
    expect(demo).toMatchObject({ code: 0, printed: expect.stringContaining('npm run demo') });
    expect(demo.lines).toEqual([
      expect.stringMatching(
        /^(Downloading|Using) Node\.js (24|22)\..+, because this is Node\.js 18\.20\.8, and 22\.19\.0 or newer is needed( …|\.)$/,
      ),
    ]);

    // The old one cannot even load vitest.
    const tests = await runOnOldNode(['scripts/run.mjs', 'test', 'no-file-has-this-name', '--passWithNoTests'], env);
    expect(tests).toMatchObject({ code: 0, printed: expect.stringContaining('No test files found') });
    expect(tests.lines[0]).toMatch(/^Using Node\.js (24|22)\./);
  });
});
