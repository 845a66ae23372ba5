import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import type { Client } from '@temporalio/client';
import { readAccountSlots } from '../../src/client/account-slots.js';
import { connectClient } from '../../src/client/connect.js';
import { registerSearchAttributes } from '../../src/client/setup.js';
import { WanVideoClient } from '../../src/client/video-client.js';
import { loadConfig } from '../../src/config/config.js';
import { DEFAULT_TIMES, type Times } from '../../src/config/times.js';
import { slotsWorkflowId } from '../../src/contract/names.js';
import type { AccountSlotsView } from '../../src/contract/slots.js';
import { findTemporalCli } from '../../src/dev/temporal-cli.js';
import { type DevServer, freePort, startDevServer } from '../../src/dev/temporal-server.js';
import { DEFAULT_LEDGER_TIMES } from '../../src/ledger/times.js';
import { stageImage } from '../../src/media/stage-image.js';
import type { AssetStore } from '../../src/storage/asset-store.js';
import { openStore } from '../../src/storage/open-store.js';
import { deferred } from '../support/deferred.js';
import { type EmulatorProcess, startEmulatorProcess } from '../support/emulator-process.js';
import { type GateProxy, startGateProxy } from '../support/gate-proxy.js';
import { type S3Keys, startS3Server } from '../support/s3-server.js';
import { ROOT, TEST_KEY } from '../support/stack.js';
import { startTcpGate, type TcpGate } from '../support/tcp-gate.js';
import { startReceiver, type WebhookReceiver, webhookFile } from '../support/webhook-receiver.js';
import { DURATION } from './cells.js';

const run = promisify(execFile);

/** The shipped times, shortened in proportion: every bound that must lie above another one still does. */
const MATRIX_TIMES: Partial<Times> = {
  submitHttpMs: 3_000,
  submitStartToCloseMs: 8_000, // 1.5 s + 3 s + 1.5 s, and the machine may be busy
  cancelStartToCloseMs: 4_000,
  cancelHttpMs: 3_500,
  readHttpMs: 3_000,
  downloadIdleMs: 3_000,
  heartbeatTimeoutMs: 3_000,
  heartbeatThrottleMs: 500,
  retryInitialMs: 200,
  retryMaximumMs: 1_000,
  slotAckMs: 10_000, // a killed worker is replaced within some eight seconds
  slotAskAgainMs: 3_000,
  slotCheckMs: 1_000,
  ledger: {
    ...DEFAULT_LEDGER_TIMES,
    postWithinMs: 1_500,
    postMs: 3_000,
    claimMs: 1_500,
    submitBoundMs: 7_000,
    followEveryMs: 200,
    parkedEveryMs: 300,
    listEveryMs: 300,
    emptySpanMs: 1_500,
    clockSkewMs: 5_000,
  },
};

/** As {@link MATRIX_TIMES}, with requests that may be held for as long as eight runs need to come into their steps. */
export const HOLDING_TIMES: Partial<Times> = {
  ...MATRIX_TIMES,
  nextStepMs: 60_000,
  submitHttpMs: 10_000,
  submitStartToCloseMs: 15_000,
  cancelStartToCloseMs: 11_000,
  cancelHttpMs: 10_000,
  readHttpMs: 25_000,
  downloadIdleMs: 25_000,
  ledger: {
    ...DEFAULT_LEDGER_TIMES,
    ...MATRIX_TIMES.ledger,
    postMs: 10_000,
    submitBoundMs: 14_000,
    clockSkewMs: 8_000,
    // As long as the shipped two minutes are to a short outage: a list that only cannot be reached is not refused.
    listFaultsMax: 60,
  },
};

/** Per second; a video of a cell, four silent seconds at 720P, costs 0.60. */
export const PRICE = 0.15;
const PRICES = {
  currency: 'CNY',
  per_second: { '720P': { silent: PRICE, sound: 0.3 }, '1080P': { silent: 0.25, sound: 0.5 } },
};
/** Tenants that begin like this have the money for one video. */
export const TENANT_OF_ONE = 'one-';
/** Room for everything, but for those tenants: every run goes by the budgets. */
const BUDGETS = {
  day: '100000.00',
  tenants: { '': { day: '100000.00' }, [`${TENANT_OF_ONE}*`]: { day: '0.60' } },
  batches: { '*': '100000.00' },
};

export type StoreKind = 'file' | 'small-disk' | 's3';

export interface WorldOptions {
  readonly store?: StoreKind;
  /** Deviations from the shipped times; default {@link MATRIX_TIMES}. */
  readonly times?: Partial<Times>;
  /** How many times faster than the provider; default 40: 4 s of video take 0.6 s. */
  readonly speed?: number;
}

/** A worker process. */
interface WorldWorker {
  /** As Temporal shows it: `<pid>@<host>`. */
  readonly pid: number;
  end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>;
}

/**
 * A Temporal server, an emulator behind a gate, a store and a worker, each of which can be taken away and given back.
 */
export interface World {
  readonly client: Client;
  readonly videos: WanVideoClient;
  readonly emulator: EmulatorProcess;
  readonly gate: GateProxy;
  readonly images: HeldImages;
  /** Hears how every run and every batch ends. */
  readonly receiver: WebhookReceiver;
  readonly store: AssetStore;
  readonly times: Times;
  /** Directory of the store, where it has one. */
  readonly storeDir: string;
  /** The worker that was started last. */
  worker: WorldWorker;
  request(prompt: string, image?: string): Record<string, unknown> & { prompt: string };
  /** The account's slots; undefined when none run. */
  slots(): Promise<AccountSlotsView | undefined>;
  readonly slotsId: string;
  startWorker(): Promise<WorldWorker>;
  /** `temporal …` against this world's server. */
  temporal(...args: string[]): Promise<string>;
  temporalDown(): Promise<void>;
  temporalUp(): Promise<void>;
  s3: TcpGate | undefined;
  /** The workers' access key, where the server is ours. */
  readonly s3Keys: RotatedKey | undefined;
  /** SHA-256 (hex) of a task's video, as the provider itself serves it. */
  providerHash(taskId: string): Promise<string>;
  /** SHA-256 (hex) of a task's video in the store; undefined when it is not there. */
  storedHash(taskId: string): Promise<string | undefined>;
  close(): Promise<void>;
}

/** An access key that can be replaced in three steps. */
interface RotatedKey {
  /** Makes the server accept another one, too. */
  add(): Promise<void>;
  /** Makes it refuse the one in use. */
  removeEarlier(): Promise<void>;
  /** Gives the new one to the workers. */
  use(): Promise<void>;
}

/** Serves the sample image under any path; the first request for a held one waits. */
interface HeldImages {
  readonly origin: string;
  hold(path: string): { readonly reached: Promise<void> };
  releaseAll(): void;
}

/** Whether a small disk of our own can be made here: it takes the right to mount. */
export async function mayMount(): Promise<boolean> {
  const at = await mkdtemp(join(tmpdir(), 'wan-video-mount-'));
  try {
    await run('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', at]);
    await run('umount', [at]);
    return true;
  } catch {
    return false;
  } finally {
    await rm(at, { recursive: true, force: true });
  }
}

export async function startWorld(options: WorldOptions = {}): Promise<World> {
  const { store: storeKind = 'file', speed = 40 } = options;
  const closers: (() => Promise<unknown>)[] = [];
  const home = await mkdtemp(join(tmpdir(), 'wan-video-matrix-'));
  closers.push(() => rm(home, { recursive: true, force: true }));
  try {
    const outputDir = join(home, 'output');
    await mkdir(outputDir);
    if (storeKind === 'small-disk') {
      await run('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', outputDir]);
      closers.push(() => run('umount', ['-l', outputDir]));
    }
    const cliPath = await findTemporalCli(process.env);
    const temporalOptions = {
      cliPath,
      port: await freePort(),
      searchAttributes: {},
      dbFilename: join(home, 'temporal.db'),
    };
    let server: DevServer = await startDevServer(temporalOptions);
    closers.push(() => server.stop());
    const emulator = await startEmulatorProcess(join(home, 'emulator.json'), { speed, slots: 50 });
    closers.push(() => emulator.kill());
    const gate = await startGateProxy(emulator.origin);
    closers.push(() => gate.close());
    const { images, close: closeImages } = await startImages();
    closers.push(closeImages);
    const receiver = await startReceiver();
    closers.push(() => receiver.close());
    let s3: TcpGate | undefined;
    let s3Keys: RotatedKey | undefined;
    let workerKey: Record<string, string> = {};
    const storeEnv: Record<string, string> = {};
    if (storeKind === 's3') {
      const s3Server = await startS3Server();
      closers.push(() => s3Server.close());
      s3 = await startTcpGate(s3Server.endpoint);
      const opened = s3;
      closers.push(() => opened.down());
      const bucket = await s3Server.newBucket();
      Object.assign(storeEnv, s3Server.env, { AWS_ENDPOINT_URL_S3: s3.origin, ASSET_STORE: `s3://${bucket}/store` });
      // The store of this process reads the SDK's own environment, too.
      Object.assign(process.env, storeEnv);
      if (s3Server.keys !== undefined) {
        const file = join(home, 'aws-credentials');
        s3Keys = await rotateKeys(s3Server.keys, file);
        workerKey = { AWS_SHARED_CREDENTIALS_FILE: file, AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '' };
      }
    }
    const [pricesFile, budgetsFile] = [join(home, 'prices.json'), join(home, 'budgets.json')];
    await writeFile(pricesFile, JSON.stringify(PRICES));
    await writeFile(budgetsFile, JSON.stringify(BUDGETS));
    const env = {
      WAN_VIDEO_PRICES: pricesFile,
      WAN_VIDEO_BUDGETS: budgetsFile,
      WAN_VIDEO_WEBHOOK: await webhookFile(home, receiver, { events: ['batch.ended', 'run.ended'] }),
      DASHSCOPE_HTTP_BASE_URL: `${gate.origin}/api/v1`,
      OUTPUT_DIR: outputDir,
      TEMPORAL_ADDRESS: server.address,
      WAN_VIDEO_ALLOW_PRIVATE_URLS: '127.0.0.1',
      WAN_VIDEO_MAX_RUNNING: '50', // as many as the emulator's slots: no run is to wait for another
      ...storeEnv,
    };
    const config = loadConfig(env, { cwd: ROOT, homeDir: home });
    const store = openStore(config.store);
    const staged = await stageImage(join(ROOT, 'assets', 'sample.jpg'), store);
    const client = await connectClient({ namespace: 'default', connection: { address: server.address } });
    closers.push(() => client.connection.close());
    await registerSearchAttributes(client);

    const times = { ...DEFAULT_TIMES, ...(options.times ?? MATRIX_TIMES) };
    const workers = new Set<ChildProcess>();
    const killWithUs = () => {
      for (const child of workers) child.kill('SIGKILL');
    };
    process.once('exit', killWithUs);
    closers.push(async () => {
      process.off('exit', killWithUs);
      await Promise.all([...workers].map((child) => endOf(child, 'SIGKILL')));
    });
    const startWorker = async (): Promise<WorldWorker> => {
      const script = join(ROOT, 'test', 'support', 'worker-process.mjs');
      const child = spawn(process.execPath, [script, JSON.stringify({ times })], {
        env: { PATH: process.env['PATH'], HOME: home, ...env, ...workerKey, DASHSCOPE_API_KEY: TEST_KEY },
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      workers.add(child);
      const exited = once(child, 'exit').then(([code]) => {
        workers.delete(child);
        return code as number | null;
      });
      await Promise.race([
        once(createInterface({ input: child.stdout }), 'line'),
        exited.then((code) => {
          throw new Error(`the worker process ended with ${code} before it was ready`);
        }),
      ]);
      world.worker = { pid: child.pid ?? 0, end: (signal) => endOf(child, signal) };
      return world.worker;
    };
    const { providerId, account } = config.provider;
    const world: World = {
      slots: () => readAccountSlots(client, providerId, account),
      slotsId: slotsWorkflowId(providerId, account),
      client,
      emulator,
      gate,
      images,
      receiver,
      store,
      times,
      s3,
      s3Keys,
      startWorker,
      videos: new WanVideoClient({ client, taskQueue: config.taskQueues.generate }),
      storeDir: join(outputDir, 'ai-video-wan-video'),
      worker: undefined as unknown as WorldWorker,
      request: (prompt, image = `asset:${staged.asset.key}`) => ({
        prompt,
        duration: DURATION,
        fps: 30,
        size: '1280*720',
        reference_image: image,
      }),
      temporal: async (...args) => (await run(cliPath, [...args, '--address', server.address])).stdout,
      temporalDown: () => server.stop(),
      async temporalUp() {
        server = await startDevServer(temporalOptions);
      },
      async providerHash(taskId) {
        const asked = await fetch(`${emulator.baseUrl}/tasks/${taskId}`, {
          headers: { authorization: `Bearer ${TEST_KEY}` },
        });
        const { output } = (await asked.json()) as { output: { video_url?: string } };
        const file = await fetch(output.video_url ?? '');
        if (!file.ok) throw new Error(`the provider does not serve the video of ${taskId}: ${file.status}`);
        return createHash('sha256')
          .update(Buffer.from(await file.arrayBuffer()))
          .digest('hex');
      },
      async storedHash(taskId) {
        const key = `videos/${taskId}.mp4`;
        if ((await store.head(key)) === undefined) return undefined;
        const hash = createHash('sha256');
        for await (const chunk of await store.get(key)) hash.update(chunk as Uint8Array);
        return hash.digest('hex');
      },
      async close() {
        for (const close of closers.reverse()) await close();
      },
    };
    await startWorker();
    return world;
  } catch (error) {
    for (const close of closers.reverse()) await close().catch(() => undefined);
    throw error;
  }
}

/** Gives the workers a key in a credentials file, which can be replaced. */
async function rotateKeys(keys: S3Keys, file: string): Promise<RotatedKey> {
  const valid: string[] = [];
  const rotated: RotatedKey = {
    async add() {
      const key = `key-${randomUUID()}`;
      await keys.add(key, `of-${key}`);
      valid.push(key);
    },
    removeEarlier: () => keys.remove(valid.shift() ?? ''),
    async use() {
      const key = valid.at(-1);
      await writeFile(file, `[default]\naws_access_key_id = ${key}\naws_secret_access_key = of-${key}\n`);
    },
  };
  await rotated.add();
  await rotated.use();
  return rotated;
}

async function endOf(child: ChildProcess, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill(signal);
  await exited;
}

async function startImages(): Promise<{ images: HeldImages; close: () => Promise<void> }> {
  const image = await readFile(join(ROOT, 'assets', 'sample.jpg'));
  const held = new Map<string, { arrived: () => void; released: Promise<void> }>();
  const server: Server = createServer(async (request, response) => {
    const hold = held.get(request.url ?? '');
    held.delete(request.url ?? '');
    hold?.arrived();
    await hold?.released;
    response.writeHead(200, { 'content-type': 'image/jpeg', 'content-length': image.length }).end(image);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const releases = new Set<() => void>();
  const images: HeldImages = {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    hold(path) {
      const arrived = deferred<void>();
      const released = deferred<void>();
      held.set(path, { arrived: () => arrived.resolve(), released: released.promise });
      releases.add(released.resolve);
      return { reached: arrived.promise };
    },
    releaseAll() {
      for (const release of releases) release();
      releases.clear();
    },
  };
  return {
    images,
    async close() {
      images.releaseAll();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Takes the store's directory away; the answer gives it back, and drops what was written meanwhile in its place. */
export async function takeStoreAway(directory: string): Promise<() => Promise<void>> {
  const away = `${directory}.away-${randomUUID()}`;
  await rename(directory, away);
  return async () => {
    await rm(directory, { recursive: true, force: true });
    await rename(away, directory);
  };
}

/** Makes every write of the store fail: its folder for bodies on their way is no folder. Works for root, too. */
export async function makeUnwritable(directory: string): Promise<() => Promise<void>> {
  const partial = join(directory, '.partial');
  const aside = `${directory}.partial-${randomUUID()}`;
  await rename(partial, aside);
  await writeFile(partial, 'in the way');
  return async () => {
    await rm(partial, { force: true });
    await rename(aside, partial);
  };
}

/** Fills the disk of the store to the last byte; the answer frees it. */
export async function fillDisk(directory: string): Promise<() => Promise<void>> {
  const ballast = join(directory, '..', 'ballast');
  // Fails with ENOSPC once the disk is full, which is what is wanted.
  await run('dd', ['if=/dev/zero', `of=${ballast}`, 'bs=4k']).catch(() => undefined);
  return () => rm(ballast, { force: true });
}
