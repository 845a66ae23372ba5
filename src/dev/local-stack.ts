import { resolve } from 'node:path';
import type { Client } from '@temporalio/client';
import { connectClient } from '../client/connect.js';
import { loadPayloadCodec } from '../client/payload-codec.js';
import { ensureSweepSchedule } from '../client/sweep-schedule.js';
import type { TemporalTarget } from '../client/temporal-target.js';
import { type Config, loadConfig } from '../config/config.js';
import { resolveApiKey } from '../config/credentials.js';
import { type Emulator, startEmulator } from '../emulator/index.js';
import { DEFAULT_LEDGER_TIMES } from '../ledger/times.js';
import { POLL_TIMES } from '../polling/poll-schedule.js';
import { runWorker } from '../worker/run-worker.js';
import { type DevPorts, type EmbeddedTemporal, embeddedTemporal } from './embedded-temporal.js';

/** Times for one machine, where heartbeats cost nothing: a killed worker is detected in 5 s instead of 30. */
const LOCAL_TIMES = { heartbeatTimeoutMs: 5_000, heartbeatThrottleMs: 2_000 } as const;
/** A submit crosses no network here, so a quarter of the shipped 20 s is enough, and a lost reply is clear sooner. */
const EMULATOR_SUBMIT_MS = 5_000;
const EMULATOR_LEDGER = {
  ...DEFAULT_LEDGER_TIMES,
  postWithinMs: 2_000,
  postMs: EMULATOR_SUBMIT_MS,
  submitBoundMs: 15_000, // 2 s + 5 s, and as much again, as in the shipped times
  listEveryMs: 2_000, // the emulator has no limit for the list
} as const;
/**
 * The demo's emulator renders eight times faster than the provider, so it is polled more often while nothing is
 * learned.
 */
const EMULATOR_POLL = { ...POLL_TIMES, coldMinMs: 400, coldMaxMs: 700, tightMinMs: 300 } as const;

/** How the stack is built. */
export interface LocalStackOptions {
  /** Keeps the state of Temporal and the emulator; the caller holds its lock (`lockDirectory`). */
  readonly directory: string;
  /** The environment that configures store and, when live, the provider. Temporal's part of it is not read. */
  readonly env: NodeJS.ProcessEnv;
  /** Directories that relative paths and `~/` refer to. */
  readonly where: { readonly cwd: string; readonly homeDir: string };
  /** The configured provider, which costs money, instead of the emulator. */
  readonly live: boolean;
  /** How much faster than the provider the emulator renders. */
  readonly speed: number;
  readonly say: (line: string) => void;
  /** Default: free ones. */
  readonly ports?: DevPorts | undefined;
}

/** An embedded Temporal, a provider and a worker that polls. */
export interface LocalStack {
  readonly temporal: EmbeddedTemporal;
  readonly emulator: Emulator | undefined;
  readonly config: Config;
  readonly client: Client;
  /** Resolves when the worker was stopped; rejects when it fails. */
  readonly worker: Promise<void>;
  /** Stops worker and emulator; Temporal stays up. */
  close(): Promise<void>;
}

/**
 * Starts everything that a generation needs on this machine; interrupted generations of the same directory continue.
 * @throws VideoError as `embeddedTemporal`, `loadConfig` and `resolveApiKey` do.
 */
export async function startLocalStack(options: LocalStackOptions): Promise<LocalStack> {
  const { directory, env, where, live, speed, say, ports } = options;
  if (live) await resolveApiKey(env, where); // a missing key is reported before anything starts
  const temporal = await embeddedTemporal(directory, say, ports);
  const emulator = live
    ? undefined
    : await startEmulator({
        stateFile: resolve(directory, 'emulator.json'),
        settings: { speed, clip: 'picture' },
        ...(ports?.emulator !== undefined && { port: ports.emulator }),
      });
  const read = loadConfig(emulator === undefined ? env : { ...env, DASHSCOPE_HTTP_BASE_URL: emulator.baseUrl }, where);
  const config: Config = {
    ...read,
    times: {
      ...read.times,
      ...LOCAL_TIMES,
      ...(live ? {} : { poll: EMULATOR_POLL, ledger: EMULATOR_LEDGER, submitHttpMs: EMULATOR_SUBMIT_MS }),
    },
  };
  const target = await withCodec(temporal.target, config, where.cwd);
  const stop = new AbortController();
  let worker: Promise<void> = Promise.resolve();
  await new Promise<void>((ready, failed) => {
    worker = runWorker({
      config,
      temporal: target,
      apiKey: emulator === undefined ? async () => (await resolveApiKey(env, where)).reveal() : () => 'sk-emulator',
      signal: stop.signal,
      onReady: ready,
    });
    worker.catch(failed);
  });
  const client = await connectClient(target);
  await ensureSweepSchedule(client, config.taskQueues.generate);
  return {
    temporal,
    emulator,
    config,
    client,
    worker,
    async close() {
      stop.abort();
      await worker.catch(() => undefined);
      await client.connection.close();
      await emulator?.close();
    },
  };
}

/** Adds the configured codec, so that commands with the same environment read what the worker writes. */
async function withCodec(target: TemporalTarget, { payloadCodec }: Config, cwd: string): Promise<TemporalTarget> {
  return payloadCodec === undefined ? target : { ...target, payloadCodec: await loadPayloadCodec(payloadCodec, cwd) };
}
