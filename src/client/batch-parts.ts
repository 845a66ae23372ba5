import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Client } from '@temporalio/client';
import { BATCH_WINDOW_MAX } from '../contract/batch.js';
import { decodeDataUri } from '../contract/data-uri.js';
import { invalidRequest } from '../contract/validate.js';
import { checkImageFile, identifyImage, type StagedImage, stageImage, stageImageFile } from '../media/stage-image.js';
import type { AssetStore } from '../storage/asset-store.js';

/** What a batch client and a schedule client are made of. */
export interface WanBatchClientOptions {
  /** A connected Temporal client; the caller closes its connection. */
  readonly client: Client;
  /** The workers' asset store. */
  readonly store: AssetStore;
  /** The workers' queue for runs; default `video-generate`. */
  readonly taskQueue?: string;
}

/** The options with what they leave out. */
export const batchParts = ({ client, store, taskQueue = 'video-generate' }: WanBatchClientOptions) => ({
  client,
  store,
  taskQueue,
});

/** Where a manifest is: a file, whose folder relative image paths start from, or its lines. */
export type ManifestSource =
  | { readonly file: string }
  | { readonly lines: Iterable<Readonly<Record<string, unknown>>>; readonly folder?: string };

/**
 * A batch's id is a part of workflow ids and of keys; those of a schedule's runs, and so of their retries, hold a time.
 */
const BATCH_ID = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,119}$/;
/** With the time of a run and the number of a retry behind it, it is a batch's id. */
const SCHEDULE_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$/;

/** @throws VideoError `InvalidRequest` for an id that could not be part of workflow ids and keys. */
export function checkBatchId(batchId: string): void {
  if (BATCH_ID.test(batchId)) return;
  const message = 'must be 1 to 120 letters, digits, dots, dashes, colons or underscores, a letter or digit first';
  throw invalidRequest([{ path: 'id', message }]);
}

/** @throws VideoError `InvalidRequest` for an id that the runs of a schedule could not be called by. */
export function checkScheduleId(id: string): void {
  if (SCHEDULE_ID.test(id)) return;
  const message = 'must be 1 to 80 letters, digits, dots, dashes or underscores, a letter or digit first';
  throw invalidRequest([{ path: 'id', message }]);
}

/** @throws VideoError `InvalidRequest` for what is no window. */
export function checkWindow(window: number | undefined): void {
  if (window === undefined || (Number.isInteger(window) && window >= 1 && window <= BATCH_WINDOW_MAX)) return;
  throw invalidRequest([{ path: 'window', message: `must be a whole number from 1 to ${BATCH_WINDOW_MAX}` }]);
}

/** Of a manifest, for messages. */
export const nameOf = (source: ManifestSource): string => ('file' in source ? source.file : 'of lines');
/** What its relative image paths start from. */
export const folderOf = (source: ManifestSource): string =>
  'file' in source ? dirname(source.file) : (source.folder ?? '.');

/**
 * Streams a manifest.
 * @throws VideoError `InvalidRequest` when the file is not there or is none.
 */
export async function openManifest(source: ManifestSource): Promise<AsyncIterable<Uint8Array>> {
  if ('lines' in source) return bytesOf(source.lines);
  const info = await stat(source.file).catch((error: NodeJS.ErrnoException) => error);
  if (!(info instanceof Error) && info.isFile()) return createReadStream(source.file);
  const fault =
    info instanceof Error ? (info.code === 'ENOENT' ? 'does not exist' : 'cannot be read') : 'is not a file';
  throw invalidRequest([{ path: 'manifest', message: `${source.file} ${fault}` }]);
}

async function* bytesOf(lines: Iterable<Readonly<Record<string, unknown>>>): AsyncGenerator<Uint8Array> {
  for (const line of lines) yield Buffer.from(`${JSON.stringify(line)}\n`);
}

/** Images whose paths start from `folder`: how they are checked, staged, and named without being staged. */
export function imagesInFolder(folder: string, store: AssetStore, signal: AbortSignal | undefined) {
  const pathOf = (image: string): string => (image.startsWith('file:') ? fileURLToPath(image) : resolve(folder, image));
  const options = { signal };
  return {
    check: (image: string) => checkImageFile(pathOf(image), options),
    stage: async (image: string) =>
      referenceOf(
        image.startsWith('data:')
          ? await stageImage(decodeDataUri(image), store, options)
          : await stageImageFile(pathOf(image), store, options),
      ),
    identify: async (image: string) =>
      referenceOf(await identifyImage(image.startsWith('data:') ? decodeDataUri(image) : pathOf(image), options)),
  };
}

/** Names images that are part of the lines themselves; for callers that open no path that a line names. */
export const identifyInline = async (image: string): Promise<string> =>
  referenceOf(await identifyImage(decodeDataUri(image)));

const referenceOf = ({ asset }: StagedImage): string => `asset:${asset.key}`;
