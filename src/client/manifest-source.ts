import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { encodeLines } from '../batch/line-reader.js';
import { decodeDataUri } from '../contract/image-reference.js';
import { invalidRequest } from '../contract/validate.js';
import { checkImage, identifyImage, type StagedImage, stageImage } from '../media/stage-image.js';
import type { AssetStore } from '../storage/asset-store.js';

/** A manifest: a file, or its lines. Relative image paths start from the file's folder, or from `folder`. */
export type ManifestSource =
  | { readonly file: string }
  | { readonly lines: Iterable<Readonly<Record<string, unknown>>>; readonly folder?: string };

/** A manifest of this machine: how it is opened, its name for messages, and what is done with its images. */
export const localManifest = (source: ManifestSource, store: AssetStore, signal: AbortSignal | undefined) => ({
  open: () => openManifest(source),
  name: 'file' in source ? source.file : 'of lines',
  images: imagesInFolder('file' in source ? dirname(source.file) : (source.folder ?? '.'), store, signal),
});

/**
 * Streams a manifest.
 * @throws VideoError `InvalidRequest` when the file does not exist, cannot be read, or is not a file.
 */
export async function openManifest(source: ManifestSource): Promise<AsyncIterable<Uint8Array>> {
  if ('lines' in source) return encodeLines(source.lines);
  const info = await stat(source.file).catch((error: NodeJS.ErrnoException) => error);
  if (!(info instanceof Error) && info.isFile()) return createReadStream(source.file);
  const fault =
    info instanceof Error ? (info.code === 'ENOENT' ? 'does not exist' : 'cannot be read') : 'is not a file';
  throw invalidRequest([{ path: 'manifest', message: `${source.file} ${fault}` }]);
}

/** How images are checked, staged and identified; their relative paths start from `folder`. */
export function imagesInFolder(folder: string, store: AssetStore, signal: AbortSignal | undefined) {
  const pathOf = (image: string): string => (image.startsWith('file:') ? fileURLToPath(image) : resolve(folder, image));
  const options = { signal };
  return {
    check: (image: string) => checkImage(image.startsWith('data:') ? decodeDataUri(image) : pathOf(image), options),
    stage: async (image: string) =>
      referenceOf(await stageImage(image.startsWith('data:') ? decodeDataUri(image) : pathOf(image), store, options)),
    identify: async (image: string) =>
      referenceOf(await identifyImage(image.startsWith('data:') ? decodeDataUri(image) : pathOf(image), options)),
  };
}

/** Identifies images of a manifest in the store: its lines may hold `data:` URIs, and no path of this machine. */
export const storedImages = {
  identify: async (image: string): Promise<string> => referenceOf(await identifyImage(decodeDataUri(image))),
};

const referenceOf = ({ asset }: StagedImage): string => `asset:${asset.key}`;
