import { cp, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findTemporalCli } from '../../src/dev/temporal-cli.js';
import { NEEDED, oldNode, runOnOldNode, startOnOldNode } from '../support/old-node.js';
import { ROOT } from '../support/root.js';

/** A download unpacks 130 MB, twice in some tests. */
const TIMEOUT_MS = 180_000;

describe.runIf(oldNode !== undefined)('on an old Node.js', { timeout: TIMEOUT_MS }, () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'wan-video-old-node-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  test("the README's two commands go on with a current Node.js, and say so in one line", async () => {
    const env = { XDG_CACHE_HOME: join(folder, 'commands'), TEMPORAL_CLI: await findTemporalCli(process.env) };
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

  test('a download is shared by two first runs, and a damaged program is downloaded again', async () => {
    const env = { XDG_CACHE_HOME: join(folder, 'shared') };
    const both = await Promise.all([1, 2].map(() => runOnOldNode(['scripts/run.mjs', 'node-folder'], env)));
    expect(both.map(({ code }) => code)).toEqual([0, 0]);
    expect(both[0]?.printed).toBe(both[1]?.printed);
    const said = both.flatMap(({ lines }) => lines);
    expect(said.filter((line) => line.startsWith('Downloading Node.js'))).toHaveLength(1);

    const program = join(both[0]!.printed.trim(), 'node');
    expect((await readFile(program)).length).toBeGreaterThan(50_000_000);
    await truncate(program, 1_000_000);
    const repaired = await runOnOldNode(['scripts/run.mjs', 'node-folder'], env);
    expect(repaired).toMatchObject({ code: 0, printed: both[0]?.printed });
    expect((await readFile(program)).length).toBeGreaterThan(50_000_000);
  });

  test('a download whose process was killed is repaired by the next run', async () => {
    const env = { XDG_CACHE_HOME: join(folder, 'killed') };
    const cache = join(folder, 'killed', 'wan-video-temporal');
    const first = startOnOldNode(['scripts/run.mjs', 'node-folder'], env);
    const entries = () => readdir(cache).catch(() => []);
    const downloads = async () => (await entries()).filter((name) => name.startsWith('node-download-'));
    await expect.poll(downloads).toHaveLength(1);
    first.child.kill('SIGKILL');
    expect((await first.ended).code).toBeNull();
    expect((await runOnOldNode(['scripts/run.mjs', 'node-folder'], env)).code).toBe(0);
    expect(await downloads()).toEqual([]);
  });

  test('a download of another content than the one that we tried is refused', async () => {
    const clone = join(folder, 'clone');
    for (const name of ['run', 'fetch-node', 'lock', 'node-version'])
      await cp(join(ROOT, 'scripts', `${name}.mjs`), join(clone, 'scripts', `${name}.mjs`));
    await cp(join(ROOT, 'package.json'), join(clone, 'package.json'));
    const fetch = join(clone, 'scripts', 'fetch-node.mjs');
    await writeFile(fetch, (await readFile(fetch, 'utf8')).replaceAll(/sha512-.{4}/g, 'sha512-0000'));
    const env = { XDG_CACHE_HOME: join(folder, 'refused') };
    const { code, lines } = await runOnOldNode(['scripts/run.mjs', 'demo'], env, clone);
    expect({ code, last: lines.at(-1) }).toEqual({ code: 1, last: expect.stringContaining('EINTEGRITY') });
    expect(lines.at(-1)).toMatch(new RegExp(`^Node\\.js ${NEEDED} or newer is needed`));
    expect(await readdir(join(folder, 'refused', 'wan-video-temporal'))).toEqual([]);
  });
});
