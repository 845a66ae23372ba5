import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readdirSync } from 'node:fs';
import { chown, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Connection } from '@temporalio/client';
import { answering, freePort } from '../../src/dev/temporal-server.js';

const run = promisify(execFile);
const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
/**
 * The version that the compose file names; `scripts/parts/full/temporal-postgres.sh` builds it into the same folder.
 */
const SERVER = join(cache, 'wan-video-temporal', 'temporal-server-v1.32.0');
const DEBIAN = '/usr/lib/postgresql';
const STARTED_WITHIN_MS = 30_000;

/** Folder of PostgreSQL's programs, of the newest version that is there. */
function postgresPrograms(): string | undefined {
  const versions = existsSync(DEBIAN) ? readdirSync(DEBIAN).sort((a, b) => Number(b) - Number(a)) : [];
  return versions.map((version) => join(DEBIAN, version, 'bin')).find((bin) => existsSync(join(bin, 'initdb')));
}

/** Why Temporal on PostgreSQL cannot be had here; undefined when it can. */
export function temporalPostgresMissing(): string | undefined {
  if (postgresPrograms() === undefined)
    return 'Temporal on PostgreSQL needs PostgreSQL (Debian: apt-get install postgresql)';
  if (existsSync(join(SERVER, 'server'))) return undefined;
  return 'Temporal on PostgreSQL needs its server: run scripts/parts/full/temporal-postgres.sh (needs Go)';
}

/** A Temporal server on a database of its own, as plain processes. */
export interface TemporalOnPostgres {
  readonly address: string;
  readonly pid: number;
  stop(): Promise<void>;
}

/** A free port below 32768: the server keeps the ports of its members in a `smallint`. */
async function lowPort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_768);
    const server = createServer();
    const free = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true));
    });
    await new Promise((closed) => server.close(closed));
    if (free) return port;
  }
}

/** Starts PostgreSQL, brings the schema up, starts the server and makes the namespace `default`. */
export async function startTemporalOnPostgres(): Promise<TemporalOnPostgres> {
  const programs = postgresPrograms() ?? '';
  const folder = await mkdtemp(join(tmpdir(), 'wan-video-postgres-'));
  const data = join(folder, 'data');
  await mkdir(data);
  // PostgreSQL refuses to run as root; nobody's ids are the same on every Debian.
  const owner = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
  if (owner.uid !== undefined) for (const path of [folder, data]) await chown(path, owner.uid, owner.gid);
  const children: ChildProcess[] = [];
  const killAll = (): void => {
    for (const child of children) child.kill('SIGKILL');
  };
  process.once('exit', killAll);
  const stop = async (): Promise<void> => {
    for (const child of [...children].reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const exited = once(child, 'exit');
      child.kill('SIGINT'); // for PostgreSQL: without waiting for its clients
      const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await exited;
      clearTimeout(timer);
    }
    process.removeListener('exit', killAll);
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await run(join(programs, 'initdb'), ['-D', data, '-U', 'temporal', '-A', 'trust', '-E', 'UTF8'], {
      ...owner,
      cwd: folder,
    });
    const dbPort = await freePort();
    const settings = ['-D', data, '-p', String(dbPort), '-k', folder, '-c', 'listen_addresses=127.0.0.1'];
    children.push(spawn(join(programs, 'postgres'), settings, { ...owner, cwd: folder, stdio: 'ignore' }));
    await until(() => run(join(programs, 'pg_isready'), ['-h', '127.0.0.1', '-p', String(dbPort)]));
    for (const [database, schema] of [
      ['temporal', 'temporal'],
      ['temporal_visibility', 'visibility'],
    ] as const) {
      const access = [
        '--plugin',
        'postgres12',
        '--ep',
        '127.0.0.1',
        '-p',
        String(dbPort),
        '-u',
        'temporal',
        '--pw',
        'any',
      ];
      const tool = (...args: string[]) => run(join(SERVER, 'sql'), [...access, '--db', database, ...args]);
      await tool('create');
      await tool('setup', '-v', '0.0');
      await tool('update', '-d', join(SERVER, 'schema', schema, 'versioned'));
    }
    const port = await freePort();
    const config = join(folder, 'server.yaml');
    await writeFile(join(folder, 'dynamic.yaml'), 'system.forceSearchAttributesCacheRefreshOnRead:\n  - value: true\n');
    await writeFile(config, await serverConfig(port, dbPort, join(folder, 'dynamic.yaml')));
    const log = openSync(join(folder, 'server.log'), 'a');
    const server = spawn(join(SERVER, 'server'), ['--config-file', config, '--allow-no-auth', 'start'], {
      cwd: folder,
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    children.push(server);
    const address = `127.0.0.1:${port}`;
    await until(() => registerNamespace(address)).catch(async (cause: unknown) => {
      const said = await readFile(join(folder, 'server.log'), 'utf8');
      throw new Error(`the Temporal server did not answer: ${said.slice(-2_000)}`, { cause });
    });
    await answering(address);
    return { address, pid: server.pid ?? 0, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function until(attempt: () => Promise<unknown>): Promise<void> {
  for (const deadline = Date.now() + STARTED_WITHIN_MS; ; ) {
    try {
      await attempt();
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await sleep(100);
    }
  }
}

async function registerNamespace(address: string): Promise<void> {
  const connection = await Connection.connect({ address, connectTimeout: '1s' });
  try {
    await connection.workflowService
      .registerNamespace({ namespace: 'default', workflowExecutionRetentionPeriod: { seconds: (72 * 3600) as never } })
      .catch((error: { code?: number }) => {
        if (error.code !== 6) throw error; // it is there: an earlier attempt whose answer was lost
      });
  } finally {
    await connection.close();
  }
}

async function serverConfig(port: number, dbPort: number, dynamic: string): Promise<string> {
  const service = async (grpcPort: number) => ({
    rpc: { grpcPort, membershipPort: await lowPort(), bindOnIP: '127.0.0.1' },
  });
  const sql = (databaseName: string) => ({
    sql: {
      pluginName: 'postgres12',
      databaseName,
      connectAddr: `127.0.0.1:${dbPort}`,
      connectProtocol: 'tcp',
      user: 'temporal',
      password: 'any',
      maxConns: 20,
      maxIdleConns: 20,
      maxConnLifetime: '1h',
    },
  });
  // JSON is YAML.
  return JSON.stringify({
    log: { stdout: true, level: 'warn' },
    persistence: {
      defaultStore: 'main',
      visibilityStore: 'visibility',
      numHistoryShards: 4,
      datastores: { main: sql('temporal'), visibility: sql('temporal_visibility') },
    },
    global: { membership: { maxJoinDuration: '30s', broadcastAddress: '127.0.0.1' } },
    services: {
      frontend: await service(port),
      matching: await service(await lowPort()),
      history: await service(await lowPort()),
      worker: await service(await lowPort()),
    },
    clusterMetadata: {
      enableGlobalNamespace: false,
      failoverVersionIncrement: 10,
      masterClusterName: 'active',
      currentClusterName: 'active',
      clusterInformation: {
        active: { enabled: true, initialFailoverVersion: 1, rpcName: 'frontend', rpcAddress: `127.0.0.1:${port}` },
      },
    },
    dcRedirectionPolicy: { policy: 'noop' },
    publicClient: { hostPort: `127.0.0.1:${port}` },
    dynamicConfigClient: { filepath: dynamic, pollInterval: '60s' },
  });
}
