import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { connectClient } from '../client/connect.js';
import { registerSearchAttributes } from '../client/setup.js';
import type { TemporalTarget } from '../client/temporal-target.js';
import { SEARCH_ATTRIBUTES } from '../contract/names.js';
import { isAlive } from './directory-lock.js';
import { findTemporalCli } from './temporal-cli.js';
import { answering, freePort, NO_PROXY, namespaceIdOf, startDevServer } from './temporal-server.js';

/** A free port may be taken by another process before the server listens on it. */
const START_TRIES = 3;
/** The server drains within a second; after this time it is killed. */
const STOP_TIMEOUT_MS = 10_000;
const CHECK_EVERY_MS = 50;

/** An embedded Temporal with its Web UI; `pid` of the detached process. */
export interface EmbeddedTemporal {
  readonly target: TemporalTarget;
  readonly address: string;
  readonly uiUrl: string;
  readonly pid: number;
}

/** TCP ports of loopback; undefined: a free one. */
export interface DevPorts {
  readonly temporal: number | undefined;
  readonly webUi: number | undefined;
  readonly emulator: number | undefined;
}

/** Content of the state file. */
interface TemporalState {
  readonly address: string;
  readonly uiUrl: string;
  readonly pid: number;
  /** Distinguishes our server from another one on the same port; absent until the server first answered. */
  readonly namespaceId?: string;
}

/**
 * Finds the embedded Temporal of `directory` by its state file, or starts it there: on `ports`, else on free ones of
 * loopback, persistent, as a separate process that outlives the caller. The caller holds the directory's lock
 * (`lockDirectory`).
 * @throws VideoError `ConfigurationInvalid` when no Temporal CLI is available or the server does not start.
 */
export async function embeddedTemporal(
  directory: string,
  say: (line: string) => void,
  ports?: DevPorts,
): Promise<EmbeddedTemporal> {
  await mkdir(directory, { recursive: true });
  const found = (await findRunning(directory)) ?? (await start(directory, say, ports));
  const target = targetOf(found.address);
  const client = await connectClient(target);
  await registerSearchAttributes(client).finally(() => client.connection.close());
  return { ...found, target };
}

/**
 * Ends the embedded Temporal of `directory`; its file keeps the runs.
 * @returns whether one was running.
 */
export async function stopEmbeddedTemporal(directory: string): Promise<boolean> {
  const state = await readState(directory);
  const running = state !== undefined && (await isOurs(state.pid, directory));
  if (running) await end(state.pid, directory);
  await rm(stateFile(directory), { force: true });
  return running;
}

async function start(directory: string, say: (line: string) => void, ports?: DevPorts): Promise<TemporalState> {
  const cliPath = await findTemporalCli(process.env, { say });
  say('Starting an embedded Temporal server …');
  for (let tries = 1; ; tries++) {
    const [port, uiPort] = [ports?.temporal ?? (await freePort()), ports?.webUi ?? (await freePort())];
    const places = { address: `127.0.0.1:${port}`, uiUrl: `http://127.0.0.1:${uiPort}` };
    try {
      const { address, pid } = await startDevServer({
        cliPath,
        dbFilename: databaseOf(directory),
        port,
        uiPort,
        searchAttributes: SEARCH_ATTRIBUTES,
        detached: true,
        logFile: join(directory, 'temporal.log'),
        // At once: after a crash during the start, the next caller must find this process instead of starting a second
        // one on the same file.
        onSpawn: (spawned) => writeState(directory, { ...places, pid: spawned }),
      });
      const state = { ...places, pid, namespaceId: await namespaceIdOf(address) };
      writeState(directory, state);
      return state;
    } catch (error) {
      if (tries === START_TRIES) throw error;
    }
  }
}

async function findRunning(directory: string): Promise<TemporalState | undefined> {
  const state = await readState(directory);
  if (state === undefined) return undefined;
  const { address, pid, namespaceId } = state;
  if (namespaceId !== undefined && (await namespaceIdOf(address).catch(() => undefined)) === namespaceId) return state;
  if (!(await isOurs(pid, directory))) return undefined;
  // It is ours, and either still starting or stuck.
  const answered = await answering(address).catch(() => undefined);
  if (answered === undefined) {
    await end(pid, directory);
    return undefined;
  }
  const complete = { ...state, namespaceId: answered };
  writeState(directory, complete);
  return complete;
}

async function end(pid: number, directory: string): Promise<void> {
  const deadline = Date.now() + STOP_TIMEOUT_MS;
  send(pid, 'SIGTERM');
  while (await isOurs(pid, directory)) {
    if (Date.now() > deadline) send(pid, 'SIGKILL');
    await sleep(CHECK_EVERY_MS);
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // it has already ended
  }
}

/** Whether `pid` is the server of this directory: process ids are reused, its command line is not. */
async function isOurs(pid: number, directory: string): Promise<boolean> {
  if (!isAlive(pid)) return false;
  const commandLine =
    process.platform === 'linux' // `ps` may be missing, as in slim containers
      ? await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
      : await promisify(execFile)('ps', ['-ww', '-o', 'args=', '-p', String(pid)]).then(
          ({ stdout }) => stdout,
          () => '',
        );
  return commandLine.includes('start-dev') && commandLine.includes(databaseOf(directory));
}

const databaseOf = (directory: string): string => join(directory, 'temporal.db');
const stateFile = (directory: string): string => join(directory, 'temporal.json');

/** One small write; a file that a crash has truncated reads as missing. */
function writeState(directory: string, state: TemporalState): void {
  writeFileSync(stateFile(directory), `${JSON.stringify(state)}\n`);
}

async function readState(directory: string): Promise<TemporalState | undefined> {
  try {
    return JSON.parse(await readFile(stateFile(directory), 'utf8')) as TemporalState;
  } catch {
    return undefined;
  }
}

const targetOf = (address: string): TemporalTarget => ({
  namespace: 'default',
  connection: { address, channelArgs: NO_PROXY },
});
