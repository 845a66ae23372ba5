import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import type { AssetStore } from '../storage/asset-store.js';
import { referenceKey } from '../storage/keys.js';
import { inspectImage } from './image.js';

/** A staged image: its SHA-256 (hex) and what is known of it; `bytes` and pixels. */
export interface StagedImage {
  readonly sha256: string;
  readonly asset: {
    readonly key: string;
    readonly mime: string;
    readonly bytes: number;
    readonly width: number;
    readonly height: number;
  };
}

/**
 * Checks an image file by its content and puts it into the store under its SHA-256; streamed.
 * @throws VideoError `ReferenceRejected` for a file that the provider would refuse; `StoreUnavailable` on I/O faults.
 */
export async function stageImageFile(
  file: string,
  store: AssetStore,
  options: { signal?: AbortSignal } = {},
): Promise<StagedImage> {
  const { size } = await stat(file);
  const handle = await open(file, 'r');
  const head = Buffer.alloc(Math.min(size, 1024 * 1024)); // a JPEG's size may stand behind long APP segments
  try {
    await handle.read(head, 0, head.length, 0);
  } finally {
    await handle.close();
  }
  const image = inspectImage(head, size);
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  const sha256 = hash.digest('hex');
  const key = referenceKey(sha256, image.ext);
  await store.put(key, createReadStream(file), { ifAbsent: true, contentType: image.mime, sha256, ...options });
  return { sha256, asset: { key, mime: image.mime, bytes: size, width: image.width, height: image.height } };
}
