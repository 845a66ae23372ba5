// Makes a bare clone ready (packages, build), then runs a command of it:
//   node scripts/run.mjs ensure | build | demo … | wan-video … | test … | test-full …
//   node scripts/run.mjs node-folder [24 | 22]      prints the folder of a `node` of that line, downloaded if needed
// On a Node.js that is too old, the demo and the tests go on with one from the npm registry; everything else ends with
// one sentence. Node's own modules only, and nothing that Node.js 18 lacks: this runs before anything is installed.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { constants } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { environmentWith, findNode, NoNodeError, reason } from './fetch-node.mjs';
import { withLock } from './lock.mjs';
import { isSupported, requireNode } from './node-version.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const at = (...parts) => join(ROOT, ...parts);
const say = (line) => process.stderr.write(`${line}\n`);
const readJson = (file) => JSON.parse(readFileSync(file, 'utf8'));

/** What goes into the build; a change in any of it makes `dist` stale. */
const SOURCES = ['src', 'workflows', 'activities', 'tsconfig.json', 'tsconfig.build.json', 'package-lock.json'];
/** The hash of the sources that `dist` was built from; it is written last. */
const STAMP = at('.wan-video', 'built-from');
const BUNDLE = at('dist', 'workflow-bundle.js');
/** The same for workers with a payload codec. */
const SEALED_BUNDLE = at('dist', 'workflow-bundle-sealed.js');
/** The README's two commands, which also start on an older Node.js. */
const FETCHES_NODE = ['demo', 'test'];
/** One process at a time installs or builds. */
const LOCK = at('.wan-video', 'setup.lock');

async function main([command, ...args]) {
  if (command === 'node-folder') {
    const { path } = await findNode(args[0], say);
    process.stdout.write(`${dirname(path)}\n`);
    return 0;
  }
  if (!isSupported(process.versions.node)) {
    if (!FETCHES_NODE.includes(command)) requireNode();
    const { path, version, isDownloaded } = await findNode(undefined, say);
    if (!isDownloaded) say(`Using Node.js ${version} from ${dirname(path)}, because ${reason()}.`);
    return child(path, [fileURLToPath(import.meta.url), command, ...args], { env: environmentWith(path) });
  }
  if (command === 'build') {
    await locked(async () => {
      if (!isInstalled()) await install();
      await build();
    });
    return 0;
  }
  const vitest = [at('node_modules', 'vitest', 'vitest.mjs'), 'run'];
  const run = {
    ensure: undefined,
    demo: [at('dist', 'src', 'dev', 'demo.js')],
    'wan-video': [at('dist', 'src', 'cli', 'main.js')],
    test: vitest,
    'test-full': vitest,
  };
  if (!Object.hasOwn(run, command ?? '')) {
    say(`usage: node scripts/run.mjs ${Object.keys(run).join(' | ')} | build   [arguments]`);
    return 2;
  }
  await ensure();
  if (command === 'test-full') process.env.TEST_FULL = '1';
  // Before the tests, which would each download it; it says itself what it lacks.
  if (run[command] === vitest) await node([at('dist', 'src', 'dev', 'temporal-cli.js')]);
  return run[command] === undefined ? 0 : node([...run[command], ...args]);
}

async function ensure() {
  if (isInstalled() && isBuilt()) return;
  await locked(async () => {
    if (!isInstalled()) await install();
    if (!isBuilt()) await build();
  });
}

/** Compares what npm noted in node_modules with the lock file; packages for other platforms may be absent. */
function isInstalled() {
  try {
    const installed = readJson(at('node_modules', '.package-lock.json')).packages;
    const wanted = Object.entries(readJson(at('package-lock.json')).packages).filter(([path]) => path !== '');
    return wanted.every(([path, { integrity, optional, devOptional }]) =>
      installed[path] === undefined ? optional || devOptional : installed[path].integrity === integrity,
    );
  } catch {
    return false;
  }
}

async function install() {
  say('Installing npm packages (about 200 MB to download, 450 MB on disk, unless they are in the npm cache) …');
  const npm = process.env.npm_execpath;
  const args = ['ci', '--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error'];
  // Started by `npm run`, npm names its own program; otherwise the one on PATH is taken (on Windows a batch file).
  const failed = npm?.endsWith('.js')
    ? await node([npm, ...args], { stdout: 'stderr' })
    : await child('npm', args, { stdout: 'stderr', shell: process.platform === 'win32' });
  if (failed) throw new Failure(`npm ci failed with exit code ${failed}; nothing was started`);
}

/** A hash of every source, by content: a checkout changes times, not files. */
function sourceHash() {
  const hash = createHash('sha256');
  const add = (path) => {
    if (statSync(at(path)).isDirectory()) {
      for (const name of readdirSync(at(path)).sort()) add(`${path}/${name}`);
    } else {
      hash
        .update(`${path}\0`)
        .update(readFileSync(at(path)))
        .update('\0');
    }
  };
  SOURCES.filter((path) => existsSync(at(path))).forEach(add);
  return hash.digest('hex');
}

function isBuilt() {
  return (
    existsSync(BUNDLE) && existsSync(SEALED_BUNDLE) && existsSync(STAMP) && readFileSync(STAMP, 'utf8') === sourceHash()
  );
}

/**
 * Compiles next to `dist` and swaps, so that a process that starts meanwhile finds the old build or the new one. The
 * workflow bundle names its modules by their path, so it is made after the swap; until then the old one is there.
 */
async function build() {
  say('Building …');
  const fresh = at('.wan-video', `build-${process.pid}`);
  const old = at('.wan-video', `replaced-${process.pid}`);
  // Folders of a build that was killed.
  const leftovers = readdirSync(at('.wan-video')).filter((name) => /^(build|replaced)-/.test(name));
  for (const name of leftovers) rmSync(at('.wan-video', name), { recursive: true, force: true });
  const step = async (args) => {
    if (await node(args, { stdout: 'stderr' })) throw new Failure('The build failed; nothing was started');
  };
  try {
    const hash = sourceHash();
    rmSync(STAMP, { force: true });
    const tsc = at('node_modules', 'typescript', 'bin', 'tsc');
    await step([tsc, '-p', at('tsconfig.build.json'), '--outDir', fresh]);
    for (const bundle of [BUNDLE, SEALED_BUNDLE]) {
      if (existsSync(bundle)) copyFileSync(bundle, join(fresh, basename(bundle)));
    }
    if (existsSync(at('dist'))) renameSync(at('dist'), old);
    chmodSync(join(fresh, 'src', 'cli', 'main.js'), 0o755); // npx runs it as it is
    renameSync(fresh, at('dist'));
    await step([at('dist', 'src', 'worker', 'build-bundle.js')]);
    writeFileSync(STAMP, hash);
  } finally {
    for (const path of [fresh, old]) rmSync(path, { recursive: true, force: true });
  }
}

/** Runs `work` while no other process of this clone does. */
const locked = (work) => withLock(LOCK, () => say('Another process installs or builds here; waiting …'), work);

const node = (args, options) => child(process.execPath, args, options);

/** Runs a child with our terminal and hands signals on; resolves its exit code, 128 + n when signal n ended it. */
function child(file, args, { stdout = 'inherit', shell = false, env = process.env } = {}) {
  const running = spawn(file, args, {
    cwd: ROOT,
    stdio: ['inherit', stdout === 'stderr' ? 2 : 'inherit', 'inherit'],
    shell,
    env,
  });
  // A Ctrl-C on a terminal reaches the child by itself; passing it on as well would count as a second one.
  const terminal = [0, 1, 2].some((fd) => isTerminal(fd));
  const handlers = ['SIGINT', 'SIGTERM', 'SIGHUP'].map((signal) => [
    signal,
    () => {
      if (signal !== 'SIGINT' || !terminal) running.kill(signal);
    },
  ]);
  for (const [signal, handler] of handlers) process.on(signal, handler);
  return new Promise((resolve, reject) => {
    running.once('error', reject);
    running.once('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal]));
  }).finally(() => {
    for (const [signal, handler] of handlers) process.off(signal, handler);
  });
}

const isTerminal = (fd) => [process.stdin, process.stdout, process.stderr][fd].isTTY === true;

/** A failure that was explained already; no stack. */
class Failure extends Error {}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error) => {
    say(error instanceof Failure || error instanceof NoNodeError ? error.message : error.stack);
    process.exit(1);
  },
);
