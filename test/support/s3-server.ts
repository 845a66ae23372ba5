import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { accessSync, constants, existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { CreateBucketCommand, S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';

const run = promisify(execFile);

/** The version that was tried; `scripts/parts/versitygw.sh` installs it into the same folder. */
const VERSION = 'v1.8.0';
/** It is ready within 0.1 s; the machine may be busy with another suite. */
const READY_MS = 20_000;

/** A real S3 server for tests. */
export interface S3Server {
  readonly endpoint: string;
  readonly region: string;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
  /** What a client in this process is configured with. */
  readonly client: S3ClientConfig;
  /** The same for another process, as the AWS SDK reads its environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Makes a bucket and gives its name. */
  newBucket(): Promise<string>;
  /** The server's administration of further access keys; undefined for an external server. */
  readonly keys: S3Keys | undefined;
  close(): Promise<void>;
}

/** Access keys that are valid from one request to the next; each may do everything. */
export interface S3Keys {
  add(accessKeyId: string, secretAccessKey: string): Promise<void>;
  remove(accessKeyId: string): Promise<void>;
}

/** Why there is no S3 server here, for the line that a skipped suite prints; undefined when there is one. */
export function s3ServerMissing(): string | undefined {
  if (process.env['S3_TEST_ENDPOINT'] !== undefined || findVersitygw() !== undefined) return undefined;
  return 'the S3 tests need versitygw: run scripts/parts/versitygw.sh (needs Go), or set VERSITYGW or S3_TEST_ENDPOINT';
}

/**
 * The server named by S3_TEST_ENDPOINT (with the AWS SDK's own variables), or else a versitygw of our own on a free
 * port.
 * @throws when there is none, and with REQUIRE_PARTS=1 none can be installed.
 */
export async function startS3Server(): Promise<S3Server> {
  const external = process.env['S3_TEST_ENDPOINT'];
  if (external !== undefined) {
    const accessKeyId = process.env['AWS_ACCESS_KEY_ID'] ?? '';
    const secretAccessKey = process.env['AWS_SECRET_ACCESS_KEY'] ?? '';
    const region = process.env['AWS_REGION'] ?? 'us-east-1';
    return describeServer(external, region, { accessKeyId, secretAccessKey }, undefined, async () => undefined);
  }
  const binary = findVersitygw() ?? installVersitygw();
  const folder = await mkdtemp(join(tmpdir(), 'wan-video-s3-'));
  const [data, meta, iam] = [join(folder, 'data'), join(folder, 'meta'), join(folder, 'iam')];
  for (const name of [data, meta, iam]) await mkdir(name);
  const credentials = { accessKeyId: 'test-access-key', secretAccessKey: 'test-secret-key' };
  const port = await freePort();
  // Sidecar files instead of extended attributes, which some temporary file systems do not have.
  const args = [
    ...['--quiet', '--port', `127.0.0.1:${port}`, '--health', '/health'],
    ...['--iam-dir', iam, '--iam-cache-disable', 'posix', '--sidecar', meta, data],
  ];
  const env = {
    ...process.env,
    ROOT_ACCESS_KEY: credentials.accessKeyId,
    ROOT_SECRET_KEY: credentials.secretAccessKey,
  };
  const child = spawn(binary, args, { env, stdio: 'ignore' });
  const kill = () => void child.kill('SIGKILL');
  process.once('exit', kill); // also when the test process ends by an error
  const close = async () => {
    process.off('exit', kill);
    await ended(child);
    await rm(folder, { recursive: true, force: true });
  };
  const endpoint = `http://127.0.0.1:${port}`;
  try {
    await untilHealthy(child, `${endpoint}/health`);
  } catch (error) {
    await close();
    throw error;
  }
  return describeServer(endpoint, 'us-east-1', credentials, keysOf(binary, endpoint, credentials), close);
}

function keysOf(binary: string, endpoint: string, { accessKeyId, secretAccessKey }: S3Server['credentials']): S3Keys {
  const administer = async (...args: string[]) => {
    const root = ['--access', accessKeyId, '--secret', secretAccessKey, '--endpoint-url', endpoint];
    await run(binary, ['admin', ...root, ...args]);
  };
  return {
    add: (access, secret) => administer('create-user', '--access', access, '--secret', secret, '--role', 'admin'),
    remove: (access) => administer('delete-user', '--access', access),
  };
}

function describeServer(
  endpoint: string,
  region: string,
  credentials: S3Server['credentials'],
  keys: S3Keys | undefined,
  stop: () => Promise<void>,
): S3Server {
  const client: S3ClientConfig = { endpoint, region, credentials };
  const maker = new S3Client({ ...client, forcePathStyle: true });
  return {
    endpoint,
    region,
    credentials,
    client,
    keys,
    env: {
      AWS_ENDPOINT_URL_S3: endpoint,
      AWS_REGION: region,
      AWS_ACCESS_KEY_ID: credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    },
    async newBucket() {
      const bucket = `wan-video-test-${randomUUID()}`;
      await maker.send(new CreateBucketCommand({ Bucket: bucket }));
      return bucket;
    },
    async close() {
      maker.destroy();
      await stop();
    },
  };
}

function findVersitygw(): string | undefined {
  const named = process.env['VERSITYGW'];
  if (named !== undefined) return named;
  const onPath = (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, 'versitygw'));
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  const cached = join(cache, 'wan-video-temporal', `versitygw-${VERSION}`, 'versitygw');
  return [...onPath, cached].find(isExecutable);
}

function installVersitygw(): string {
  if (process.env['REQUIRE_PARTS'] !== '1') throw new Error(s3ServerMissing());
  const script = fileURLToPath(new URL('../../scripts/parts/versitygw.sh', import.meta.url));
  return execFileSync(script, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }).trim();
}

function isExecutable(path: string): boolean {
  if (!existsSync(path)) return false;
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}

async function untilHealthy(child: ChildProcess, url: string): Promise<void> {
  const deadline = Date.now() + READY_MS;
  while (Date.now() < deadline) {
    if (child.exitCode !== null) throw new Error(`versitygw exited with ${child.exitCode}`);
    const ready = await fetch(url).then(
      (answer) => answer.ok,
      () => false,
    );
    if (ready) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`versitygw was not ready within ${READY_MS} ms`);
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const force = setTimeout(() => child.kill('SIGKILL'), 5_000);
  await exited;
  clearTimeout(force);
}
