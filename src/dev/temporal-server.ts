import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { Connection } from '@temporalio/client';
import { connectionInterceptors } from '../client/connection-interceptors.js';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';

/**
 * A server is healthy within half a second on an idle machine; on a busy one with a large database it may take this
 * long.
 */
const START_TIMEOUT_MS = 30_000;
/** Between two checks of a server that starts. */
const CHECK_EVERY_MS = 50;
/** The server drains within a second; after this time it is killed. */
const STOP_TIMEOUT_MS = 5_000;

/** grpc-js sends even loopback through the proxy of the environment; our own server is never behind one. */
export const NO_PROXY = { 'grpc.enable_http_proxy': 0 } as const;

/**
 * A shard reads each of its queues at most 20 times per second, with a burst of as many. A cluster has hundreds of
 * shards; with the single one of this server, a run would wait up to 50 ms per step for other runs even on an idle
 * machine.
 */
const QUEUE_READS_PER_SECOND = '1000';
const QUEUE_READS = Object.fromEntries(
  ['transfer', 'timer', 'visibility'].map((queue) => [`history.${queue}ProcessorMaxPollRPS`, QUEUE_READS_PER_SECOND]),
);

/** What `temporal server start-dev` is started with. */
export interface DevServerOptions {
  /** The Temporal CLI, from `findTemporalCli`. */
  readonly cliPath: string;
  /** SQLite file that keeps runs over a restart; without it everything is in memory. */
  readonly dbFilename?: string;
  /** Port of the gRPC frontend on 127.0.0.1. */
  readonly port: number;
  /** Port of the Web UI on 127.0.0.1; without it there is none. */
  readonly uiPort?: number;
  /** Search attributes of the namespace `default`: name to type, such as `{ VideoTenant: 'KEYWORD' }`. */
  readonly searchAttributes: Readonly<Record<string, string>>;
  /** Dynamic configuration of the server: setting to value, as JSON. */
  readonly dynamicConfig?: Readonly<Record<string, string>> | undefined;
  /** Starts it in its own process group, which outlives the caller and does not receive its Ctrl-C. */
  readonly detached?: boolean;
  /** File that its output is appended to; without it the output is dropped. */
  readonly logFile?: string;
  /** Called as soon as the process exists, long before it answers, so that it can be found again after a crash. */
  readonly onSpawn?: (pid: number) => void;
}

/** A running server. */
export interface DevServer {
  /** `127.0.0.1:PORT` of the gRPC frontend. */
  readonly address: string;
  readonly uiUrl?: string;
  readonly pid: number;
  /** Ends it and waits until it is gone; repeating it changes nothing. */
  stop(): Promise<void>;
}

/**
 * Starts a Temporal server on loopback and waits until its namespace `default` answers.
 * @throws VideoError `ConfigurationInvalid` when it ends by itself or does not answer within 30 s.
 */
export async function startDevServer(options: DevServerOptions): Promise<DevServer> {
  const { cliPath, port, uiPort, detached = false, logFile } = options;
  const log = logFile === undefined ? undefined : openSync(logFile, 'a');
  const child = spawn(cliPath, startArguments(options), {
    detached,
    // A profile or an address of another Temporal must not affect this one.
    env: Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('TEMPORAL_'))),
    stdio: ['ignore', log ?? 'ignore', log ?? 'ignore'],
  });
  if (child.pid !== undefined) options.onSpawn?.(child.pid);
  const ended = endOf(child);
  if (log !== undefined) closeSync(log);
  const killWithUs = (): void => void child.kill('SIGKILL');
  if (detached) child.unref();
  else process.once('exit', killWithUs);
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    const timer = setTimeout(killWithUs, STOP_TIMEOUT_MS);
    await ended;
    clearTimeout(timer);
    process.removeListener('exit', killWithUs);
  };
  const address = `127.0.0.1:${port}`;
  const uiUrl = uiPort === undefined ? undefined : `http://127.0.0.1:${uiPort}`;
  try {
    await Promise.race([
      answering(address),
      ended.then((how) => {
        throw new Error(`it ended by itself (${how})`);
      }),
    ]);
  } catch (cause) {
    await stop();
    const why = cause instanceof Error ? cause.message : String(cause);
    const where = logFile === undefined ? '' : `; its log is ${logFile}`;
    throw new VideoError(
      FailureType.ConfigurationInvalid,
      `The embedded Temporal server did not start at ${address}: ${why}${where}`,
      { cause },
    );
  }
  return { address, ...(uiUrl !== undefined && { uiUrl }), pid: child.pid ?? 0, stop };
}

/**
 * A free TCP port on 127.0.0.1. A connection that we accepted and closed leaves it in TIME_WAIT for a minute, in which
 * the system does not choose it for other listeners, while a server may still bind it by number.
 */
export async function freePort(): Promise<number> {
  const server = createServer((socket) => socket.end()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('a TCP server has an address and a port');
  const visit = connect(address.port, '127.0.0.1').resume();
  await once(visit, 'close');
  server.close();
  await once(server, 'close');
  return address.port;
}

/** Whether nothing listens on a TCP port of 127.0.0.1. */
export async function isPortFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, '127.0.0.1');
  const isFree = await once(server, 'listening').then(
    () => true,
    () => false,
  );
  if (isFree) {
    server.close();
    await once(server, 'close');
  }
  return isFree;
}

function startArguments(options: DevServerOptions): string[] {
  const { dbFilename, port, uiPort, searchAttributes, dynamicConfig = {} } = options;
  return [
    ...['server', 'start-dev', '--ip', '127.0.0.1', '--port', String(port), '--log-level', 'warn'],
    ...(uiPort === undefined ? ['--headless'] : ['--ui-port', String(uiPort), '--ui-disable-news-fetch']),
    ...(dbFilename === undefined ? [] : ['--db-filename', dbFilename]),
    ...Object.entries(searchAttributes).flatMap(([name, type]) => ['--search-attribute', `${name}=${cliType(type)}`]),
    ...Object.entries({ ...QUEUE_READS, ...dynamicConfig }).flatMap(([name, value]) => [
      '--dynamic-config-value',
      `${name}=${value}`,
    ]),
  ];
}

/** `KEYWORD_LIST` of the client is `KeywordList` in the command line. */
const cliType = (type: string): string =>
  type
    .split('_')
    .map((word) => word.charAt(0) + word.slice(1).toLowerCase())
    .join('');

async function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
}

/** Waits until the namespace `default` answers at `address`, and resolves its id. */
export async function answering(address: string): Promise<string> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  for (;;) {
    try {
      return await namespaceIdOf(address);
    } catch (cause) {
      if (Date.now() > deadline) throw new Error(`no answer within ${START_TIMEOUT_MS / 1000} s`, { cause });
    }
    await new Promise((resolve) => setTimeout(resolve, CHECK_EVERY_MS));
  }
}

/**
 * The id of the namespace `default` at `address`. It is created with the database, so it distinguishes our server from
 * another one on the same port.
 * @throws ServiceError or a connection error when nothing answers there within a second.
 */
export async function namespaceIdOf(address: string): Promise<string> {
  const connection = await Connection.connect({
    address,
    connectTimeout: '1s',
    channelArgs: NO_PROXY,
    interceptors: connectionInterceptors(),
  });
  try {
    const { namespaceInfo } = await connection.withDeadline(Date.now() + 1_000, () =>
      connection.workflowService.describeNamespace({ namespace: 'default' }),
    );
    return namespaceInfo?.id ?? '';
  } finally {
    await connection.close();
  }
}
