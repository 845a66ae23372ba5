import { homedir } from 'node:os';
import type { Client } from '@temporalio/client';
import { loadConfig } from '../config/config.js';
import { AN_ENVIRONMENT, checkOptions } from '../contract/options.js';
import type { AssetStore } from '../storage/asset-store.js';
import { openStore } from '../storage/open-store.js';
import { s3ClientOf } from '../storage/s3-client-of.js';
import { checkSharedFileStore } from '../storage/shared-file-store.js';
import { connectClient } from './connect.js';
import { loadPayloadCodec } from './payload-codec.js';
import { addressOf, temporalFromEnv } from './temporal-target.js';

/** Where the settings of a client come from. */
export interface FromEnvOptions {
  /** The variables, as docs/configuration.md lists them; default: those of the process. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
}

/**
 * Connects with the settings of the command and of the worker: `TEMPORAL_*`, `ASSET_STORE`, `WAN_VIDEO_TASK_QUEUE`,
 * `WAN_VIDEO_PAYLOAD_CODEC`, proxies.
 * @returns no store where none is named and the workers would not see a directory of this machine.
 */
export async function connectFromEnv(
  options: FromEnvOptions,
): Promise<{ readonly client: Client; readonly store?: AssetStore; readonly taskQueue: string }> {
  checkOptions('fromEnv', options, { env: AN_ENVIRONMENT });
  const env = options.env ?? process.env;
  const config = loadConfig(env, { cwd: process.cwd(), homeDir: homedir() });
  const target = temporalFromEnv(options.env);
  const store = {
    store: config.store.kind,
    temporalAddress: addressOf(target),
    sharedFileStore: config.sharedFileStore,
  };
  const codec = config.payloadCodec;
  let isShared = true;
  try {
    checkSharedFileStore(store);
  } catch (error) {
    // Only a store that was named is a fault: a client that is given addresses of images needs none.
    if (env['ASSET_STORE']?.trim()) throw error;
    isShared = false;
  }
  const client = await connectClient(
    codec === undefined ? target : { ...target, payloadCodec: await loadPayloadCodec(codec, process.cwd()) },
  );
  const s3 = options.env === undefined ? undefined : s3ClientOf(options.env);
  return {
    client,
    taskQueue: config.taskQueues.generate,
    ...(isShared && {
      store: openStore(config.store, { proxies: config.proxies, presignEndpoint: config.presignEndpoint, s3 }),
    }),
  };
}
