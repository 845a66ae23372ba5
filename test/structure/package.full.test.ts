import { type ChildProcessByStdio, execFile, spawn } from 'node:child_process';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { findTemporalCli } from '../../src/dev/temporal-cli.js';
import { type DevServer, freePort, startDevServer } from '../../src/dev/temporal-server.js';
import { COMPILE_TIMEOUT_MS } from '../support/compile-timeout.js';
import { ROOT } from '../support/root.js';

// Installing from a registry, compiling and real servers.
vi.setConfig({ testTimeout: 4 * COMPILE_TIMEOUT_MS, hookTimeout: 4 * COMPILE_TIMEOUT_MS });

const run = promisify(execFile);
const FIXTURES = join(ROOT, 'test', 'fixtures', 'package');
const CLIENT = 'wan-video-temporal-client';
/** The version that the worker has. */
const SHARP = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).dependencies.sharp as string;
const WORKER = 'wan-video-temporal';
/** What the thin client may bring, with Temporal's client. */
const CLIENT_PACKAGES_MAX = 60;
const CLIENT_MB_MAX = 60;

let home: string;
let tarballs: Readonly<Record<string, string>>;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'wan-video-package-'));
  const { stdout } = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', home], {
    cwd: ROOT,
  });
  const [{ filename }] = JSON.parse(stdout) as [{ filename: string }];
  const client = await run(process.execPath, ['scripts/pack-client.mjs', home], { cwd: ROOT });
  tarballs = { [WORKER]: join(home, filename), [CLIENT]: client.stdout.trim() };
});
afterAll(() => rm(home, { recursive: true, force: true }));

/** An empty project with packages in it, as a team would install them. */
interface Project {
  readonly folder: string;
  readonly seconds: number;
  /** Places of packages and megabytes below node_modules. */
  readonly packages: number;
  readonly megabytes: number;
}

const INSTALLERS = {
  npm: ['npm', 'install', '--no-audit', '--no-fund', '--prefer-offline', '--save-exact'],
  // The versions of these two are those that the test was tried with; npm fetches them.
  pnpm: ['npx', '--yes', 'pnpm@10.27.0', 'add', '--prefer-offline', '--ignore-scripts'],
  yarn: ['npx', '--yes', 'yarn@1.22.22', 'add', '--prefer-offline', '--ignore-scripts', '--non-interactive'],
} as const;

async function project(
  type: 'module' | 'commonjs',
  installer: keyof typeof INSTALLERS,
  packages: readonly string[],
): Promise<Project> {
  const folder = await mkdtemp(join(home, 'project-'));
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'user', version: '1.0.0', private: true, type }));
  const [file, ...args] = INSTALLERS[installer];
  const began = performance.now();
  const { stderr } = await run(file, [...args, ...packages], { cwd: folder, maxBuffer: 2 ** 26 });
  // Our overrides are none of a user's: what is found there must run on the oldest Node.js that we name.
  expect(stderr).not.toContain('EBADENGINE');
  const seconds = (performance.now() - began) / 1000;
  const manifests = await run('find', ['node_modules', '-name', 'package.json'], { cwd: folder, maxBuffer: 2 ** 26 });
  const isRoot = /(^|\/)node_modules\/(@[^/]+\/)?[^/@]+\/package\.json$/;
  const count = manifests.stdout.split('\n').filter((path) => isRoot.test(path)).length;
  const { stdout: size } = await run('du', ['-sm', 'node_modules'], { cwd: folder });
  return { folder, seconds, packages: count, megabytes: Number.parseInt(size, 10) };
}

/** Copies programs into a project, for the package under test, and compiles them strictly, libraries included. */
async function compile({ folder }: Project, name: string, files: readonly string[], skipLibCheck = false) {
  for (const file of files) {
    const text = readFileSync(join(FIXTURES, file), 'utf8').replaceAll(`'${WORKER}/`, `'${name}/`);
    writeFileSync(join(folder, file), text);
  }
  const options = ['--strict', '--module', 'NodeNext', '--target', 'ES2022'];
  const compiler = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
  const sources = files.filter((file) => /\.ts$/.test(file));
  const more = ['--types', 'node', ...(skipLibCheck ? ['--skipLibCheck'] : [])];
  const { stdout } = await run(process.execPath, [compiler, ...options, ...more, ...sources], { cwd: folder }).catch(
    (error: { stdout: string }) => error,
  );
  // Temporal's own types lack those of `ms`; nothing else may be at fault.
  const faults = stdout.split('\n').filter((line) => line !== '' && !line.startsWith('  '));
  expect(faults.filter((line) => !/@temporalio\/common\/lib\/time\.d\.ts.*TS7016.*'ms'/.test(line))).toEqual([]);
}

const nodes = async (): Promise<readonly string[]> =>
  Promise.all(
    ['22', '24'].map(async (line) => {
      const { stdout } = await run(process.execPath, ['scripts/run.mjs', 'node-folder', line], { cwd: ROOT });
      return join(stdout.trim(), 'node');
    }),
  );

describe('the published packages, each in an empty project', () => {
  let server: DevServer;
  let worker: ChildProcessByStdio<Writable, Readable, null>;
  let lines: AsyncIterator<string>;
  const outputDir = () => join(home, 'output');
  const env = (): NodeJS.ProcessEnv => ({
    PATH: process.env['PATH'],
    HOME: home,
    TEMPORAL_ADDRESS: server.address,
    OUTPUT_DIR: outputDir(),
    WAN_VIDEO_PAYLOAD_CODEC: join(FIXTURES, 'codec.mjs'),
    DASHSCOPE_API_KEY: 'sk-any',
    IMAGE: join(ROOT, 'assets', 'sample.jpg'),
  });

  beforeAll(async () => {
    await mkdir(outputDir(), { recursive: true });
    server = await startDevServer({
      cliPath: await findTemporalCli(process.env),
      port: await freePort(),
      searchAttributes: {},
    });
    const { peerDependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      readonly peerDependencies: Readonly<Record<string, string>>;
    };
    const emulator = Object.entries(peerDependencies).map(([name, version]) => `${name}@${version}`);
    const own = ['client', 'common', 'worker', 'workflow'].map((name) => `@temporalio/${name}@1.24.0`);
    const team = await project('module', 'npm', [tarballs[WORKER] ?? '', ...own, ...emulator]);
    await compile(team, WORKER, ['codec.d.mts', 'own-workflow.ts', 'own-worker.ts'], true);
    cpSync(join(FIXTURES, 'codec.mjs'), join(team.folder, 'codec.mjs'));
    worker = spawn(process.execPath, ['own-worker.js'], {
      cwd: team.folder,
      env: env(),
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    lines = createInterface({ input: worker.stdout })[Symbol.asyncIterator]();
    const { value = '{}' } = await lines.next();
    expect(JSON.parse(value)).toEqual({ ready: true, fingerprint: 'wan2.6-i2v-flash 40' });
  });
  afterAll(async () => {
    worker?.kill('SIGKILL');
    await server?.stop();
  });

  test.each([
    ['npm', 'module', '1.24.0', CLIENT],
    ['npm', 'commonjs', '1.20.1', CLIENT],
    ['pnpm', 'module', '1.20.1', CLIENT],
    ['yarn', 'module', '1.24.0', CLIENT],
    ['npm', 'commonjs', '1.24.0', WORKER],
  ] as const)('%s, %s, Temporal %s: %s starts and follows', async (installer, type, temporal, name) => {
    const own = ['client', 'common'].map((part) => `@temporalio/${part}@${temporal}`);
    const types = ['@types/node@22.20.0'];
    // The caller hands over bytes.
    const decoder = name === CLIENT ? [`sharp@${SHARP}`] : [];
    const backend = await project(type, installer, [tarballs[name] ?? '', ...own, ...types, ...decoder]);
    await compile(backend, name, ['caller.ts']);
    for (const [index, node] of (await nodes()).entries()) {
      const NAME = `${installer}-${type}-${temporal}-${name}-${index}`.replaceAll('.', '-');
      const { stdout } = await run(node, ['caller.js'], { cwd: backend.folder, env: { ...env(), NAME } });
      expect(JSON.parse(stdout)).toEqual({
        source: 'generated',
        batch: ['completed', 1],
        schedule: ['created', true],
        size: '1280*720',
        archived: true,
        refused: 'ConfigurationInvalid',
        unsigned: 'WebhookNotVerified',
      });
    }
    const { packages, megabytes, seconds } = backend;
    console.info(
      `${installer} ${name} Temporal ${temporal}: ${packages} packages, ${megabytes} MB, ${seconds.toFixed(1)} s`,
    );
  });

  test('the own worker used its plugin, its codec and its interceptor, and ends by its signal', async () => {
    worker.stdin.write('stop\n');
    const { value = '{}' } = await lines.next();
    expect(JSON.parse(value)).toEqual({ used: ['codec', 'interceptor', 'plugin'] });
  });
});

test('the client brings at most 60 packages and 60 MB; the worker brings nothing of the emulator', async () => {
  const client = await project('module', 'npm', [tarballs[CLIENT] ?? '']);
  expect(client.packages).toBeLessThanOrEqual(CLIENT_PACKAGES_MAX);
  expect(client.megabytes).toBeLessThanOrEqual(CLIENT_MB_MAX);
  const worker = await project('module', 'npm', [tarballs[WORKER] ?? '']);
  for (const name of ['fastify', 'mediabunny', 'pino-pretty', '@temporalio/testing']) {
    expect(() => readFileSync(join(worker.folder, 'node_modules', name, 'package.json'))).toThrow('ENOENT');
  }
  console.info(
    [client, worker]
      .map((one) => `${one.packages} packages, ${one.megabytes} MB, ${one.seconds.toFixed(1)} s`)
      .join('; '),
  );

  const deep = "import 'wan-video-temporal/dist/src/net/spool.js'";
  await expect(run(process.execPath, ['--input-type=module', '-e', deep], { cwd: worker.folder })).rejects.toThrow(
    'ERR_PACKAGE_PATH_NOT_EXPORTED',
  );
  const bin = join(worker.folder, 'node_modules', '.bin', 'wan-video');
  expect((await run(bin, ['--help'], { cwd: tmpdir() })).stdout).toContain('generate');
  // The local stack needs what production leaves out, and says so in one sentence.
  const dev = await run(bin, ['dev'], { cwd: worker.folder }).catch((error: { code: number; stderr: string }) => error);
  expect(dev).toMatchObject({ code: 3 });
  expect(dev.stderr).toMatch(/Install them: npm install .*fastify@/);
});

test('two builds of the same sources are the same packages, and hold no path of their machine', async () => {
  const copies = await Promise.all(
    ['one', 'another'].map(async (name) => {
      const folder = join(home, name, 'clone');
      await mkdir(dirname(folder), { recursive: true });
      const kept = (path: string) => !/\/(\.git|node_modules|dist|output|\.wan-video|test)$/.test(path);
      cpSync(ROOT, folder, { recursive: true, filter: kept });
      await run('cp', ['-al', join(ROOT, 'node_modules'), join(folder, 'node_modules')]);
      onTestFinished(() => rm(folder, { recursive: true, force: true }));
      return folder;
    }),
  );
  const sums: string[] = [];
  for (const folder of copies) {
    await run(process.execPath, ['scripts/run.mjs', 'build'], { cwd: folder });
    const { stdout } = await run('npm', ['pack', '--json', '--ignore-scripts'], { cwd: folder });
    sums.push((JSON.parse(stdout) as [{ integrity: string }])[0].integrity);
  }
  expect(sums[0]).toBe(sums[1]);
});
