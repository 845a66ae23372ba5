import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findTemporalCli } from '../../src/dev/temporal-cli.js';
import { findPart, PARTS_FOLDER, partIsMissing } from '../structure/parts.js';
import { ROOT } from '../support/root.js';

/** As in scripts/parts/old-node.sh. */
const OLD = '18.20.8';
const NEEDED = '22.19.0';
const old = findPart('old-node', join(PARTS_FOLDER, `old-node-${OLD}`, 'node'));
if (old === undefined) partIsMissing(`Node.js ${OLD}`, 'scripts/parts/old-node.sh installs it');

interface Ended {
  readonly code: number | null;
  readonly printed: string;
  readonly lines: readonly string[];
}

/** Starts a program on the old Node.js, which is also the first on its PATH. */
function start(args: readonly string[], env: Record<string, string> = {}, cwd = ROOT) {
  const path = `${dirname(old!)}:${process.env['PATH']}`;
  const child = spawn(old!, args, {
    cwd,
    env: { ...process.env, PATH: path, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return { child, ended: collect(child) };
}

async function collect(child: ChildProcess): Promise<Ended> {
  let [printed, said] = ['', ''];
  child.stdout?.on('data', (chunk) => {
    printed += chunk;
  });
  child.stderr?.on('data', (chunk) => {
    said += chunk;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, printed, lines: said.split('\n').filter((line) => line !== '') };
}

const run = (args: readonly string[], env?: Record<string, string>, cwd?: string) => start(args, env, cwd).ended;

/** A download unpacks 130 MB, twice in some tests. */
const TIMEOUT_MS = 180_000;

describe.runIf(old !== undefined)('on an old Node.js', { timeout: TIMEOUT_MS }, () => {
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
    const { code, printed, lines } = await run(args);
    expect({ code, printed, lines }).toEqual({
      code: 1,
      printed: '',
      lines: [expect.stringMatching(/ 22\.19\.0 or newer.+ this is 18\.20\.8: install .+https:\/\/nodejs\.org\.$/)],
    });
  });

  test('two first runs at once share one download, and a damaged program is downloaded again', async () => {
    const env = { XDG_CACHE_HOME: join(folder, 'shared') };
    const both = await Promise.all([1, 2].map(() => run(['scripts/run.mjs', 'node-folder'], env)));
    expect(both.map(({ code }) => code)).toEqual([0, 0]);
    expect(both[0]?.printed).toBe(both[1]?.printed);
    const said = both.flatMap(({ lines }) => lines);
    expect(said.filter((line) => line.startsWith('Downloading Node.js'))).toHaveLength(1);

    const program = join(both[0]!.printed.trim(), 'node');
    expect((await readFile(program)).length).toBeGreaterThan(50_000_000);
    await truncate(program, 1_000_000);
    const repaired = await run(['scripts/run.mjs', 'node-folder'], env);
    expect(repaired).toMatchObject({ code: 0, printed: both[0]?.printed });
    expect((await readFile(program)).length).toBeGreaterThan(50_000_000);
  });

  test('a download whose process was killed is repaired by the next run', async () => {
    const env = { XDG_CACHE_HOME: join(folder, 'killed') };
    const cache = join(folder, 'killed', 'wan-video-temporal');
    const first = start(['scripts/run.mjs', 'node-folder'], env);
    const entries = () => readdir(cache).catch(() => []);
    const downloads = async () => (await entries()).filter((name) => name.startsWith('node-download-'));
    await expect.poll(downloads).toHaveLength(1);
    first.child.kill('SIGKILL');
    expect((await first.ended).code).toBeNull();
    expect((await run(['scripts/run.mjs', 'node-folder'], env)).code).toBe(0);
    expect(await downloads()).toEqual([]);
  });

  test('another content than the one that we tried is refused', async () => {
    const clone = join(folder, 'clone');
    for (const name of ['run', 'fetch-node', 'lock', 'node-version'])
      await cp(join(ROOT, 'scripts', `${name}.mjs`), join(clone, 'scripts', `${name}.mjs`));
    await cp(join(ROOT, 'package.json'), join(clone, 'package.json'));
    const fetch = join(clone, 'scripts', 'fetch-node.mjs');
    await writeFile(fetch, (await readFile(fetch, 'utf8')).replaceAll(/sha512-.{4}/g, 'sha512-0000'));
    const env = { XDG_CACHE_HOME: join(folder, 'refused') };
    const { code, lines } = await run(['scripts/run.mjs', 'demo'], env, clone);
    expect({ code, last: lines.at(-1) }).toEqual({ code: 1, last: expect.stringContaining('EINTEGRITY') });
    expect(lines.at(-1)).toMatch(new RegExp(`^Node\\.js ${NEEDED} or newer is needed`));
    expect(await readdir(join(folder, 'refused', 'wan-video-temporal'))).toEqual([]);
  });

  test("the README's two commands go on with a current Node.js, and say so in one line", async () => {
    const env = { XDG_CACHE_HOME: join(folder, 'shared'), TEMPORAL_CLI: await findTemporalCli(process.env) };
    const demo = await run(['scripts/run.mjs', 'demo', '--help'], env);
    expect(demo).toMatchObject({ code: 0, printed: expect.stringContaining('npm run demo') });
    expect(demo.lines).toEqual([
      expect.stringMatching(
        /^(Downloading|Using) Node\.js (24|22)\..+, because this is Node\.js 18\.20\.8, and 22\.19\.0 or newer is needed( …|\.)$/,
      ),
    ]);

    // The old one cannot even load vitest.
    const tests = await run(['scripts/run.mjs', 'test', 'no-file-has-this-name', '--passWithNoTests'], env);
    expect(tests).toMatchObject({ code: 0, printed: expect.stringContaining('No test files found') });
    expect(tests.lines[0]).toMatch(/^Using Node\.js (24|22)\./);
  });
});
