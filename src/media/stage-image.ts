import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Issue, VideoError } from '../contract/video-error.js';
import { type ByteSource, chunksOf } from '../net/chunks.js';
import { spoolToFile } from '../net/spool.js';
import type { AssetStore, ByteStream } from '../storage/asset-store.js';
import { referenceKey } from '../storage/keys.js';
import {
  type EndMark,
  endMarkOf,
  IMAGE_BYTES_MAX,
  IMAGE_HEAD_BYTES,
  type ImageInfo,
  imageRejected,
  inspectImage,
} from './image.js';

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

/** An image to stage: a file's path, its bytes, or a stream of them. */
export type StageableImage = string | Uint8Array | Blob | AsyncIterable<Uint8Array>;

/** Limits of staging. */
export interface StageOptions {
  /** Ends the staging with its reason. */
  readonly signal?: AbortSignal | undefined;
  /** Folder for a spooled stream; default: the system's temporary folder. */
  readonly spoolDir?: string | undefined;
}

/**
 * Checks an image by its content and puts it into the store under its SHA-256, in constant memory; an image that is
 * there already stays as it is. A stream is spooled to a file first, at most 20 MB of it, and the file is removed.
 * @throws {@link VideoError} `ReferenceRejected` with all faults at once; `StoreUnavailable` on I/O faults.
 * @throws errors of the stream, unchanged, and `signal.reason` on abort.
 */
export async function stageImage(
  source: StageableImage,
  store: AssetStore,
  options: StageOptions = {},
): Promise<StagedImage> {
  const { signal, spoolDir = tmpdir() } = options;
  if (typeof source === 'string') return stageImageFile(source, store, options);
  if (source instanceof Uint8Array) {
    return put(imageOf(source), store, signal);
  }
  const file = join(spoolDir, `reference-${randomUUID()}`);
  try {
    const stream: ByteSource = source instanceof Blob ? source.stream() : source;
    const tooLarge = () => new TooLargeError();
    await spoolToFile(stream, file, { signal, maxBytes: IMAGE_BYTES_MAX, tooLarge });
    return await stageImageFile(file, store, { signal });
  } catch (error) {
    if (!(error instanceof TooLargeError)) throw error;
    // The bytes read so far are enough to name the other faults.
    inspectImage(await headOf(file), IMAGE_BYTES_MAX + 1);
    throw error;
  } finally {
    await rm(file, { force: true });
  }
}

/** {@link stageImage} for a file. */
export async function stageImageFile(
  file: string,
  store: AssetStore,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<StagedImage> {
  return put(await openImage(file), store, options.signal);
}

/**
 * Checks an image as {@link stageImage} does, and stores nothing.
 * @returns what it would be staged as.
 * @throws {@link VideoError} as {@link stageImage}.
 */
export async function identifyImage(
  source: string | Uint8Array,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<StagedImage> {
  return stagedAs(typeof source === 'string' ? await openImage(source) : imageOf(source), options.signal);
}

/**
 * Checks an image file and stores nothing.
 * @returns every fault with the path `reference_image`, each with its fix; none for an image that the provider takes.
 */
export async function checkImageFile(
  file: string,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<readonly Issue[]> {
  try {
    await examine(await openImage(file), options.signal);
    return [];
  } catch (error) {
    if (error instanceof VideoError && error.issues !== undefined) return error.issues;
    throw error;
  }
}

/** Bytes that can be read more than once. */
interface ImageBytes {
  readonly bytes: number;
  readonly head: Uint8Array;
  readonly read: () => ByteStream;
}

/** The stream went over the limit. */
class TooLargeError extends Error {}

async function openImage(file: string): Promise<ImageBytes> {
  try {
    const info = await stat(file);
    if (info.isDirectory()) throw imageRejected([`${file} is a folder; give the path of an image`]);
    // A device or a pipe may never end; its bytes can come as a stream.
    if (!info.isFile()) throw imageRejected([`${file} is not a regular file; give the path of an image`]);
    return { bytes: info.size, head: await headOf(file), read: () => createReadStream(file) };
  } catch (error) {
    if (error instanceof VideoError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    const fault = code === 'ENOENT' || code === 'ENOTDIR' ? 'does not exist' : `cannot be read (${code})`;
    throw imageRejected([`${file} ${fault}; give the path of an image or an http(s) URL`]);
  }
}

async function headOf(file: string): Promise<Uint8Array> {
  const handle = await open(file, 'r');
  try {
    const head = Buffer.alloc(Math.min((await handle.stat()).size, IMAGE_HEAD_BYTES));
    let filled = 0;
    while (filled < head.length) {
      const { bytesRead } = await handle.read(head, filled, head.length - filled, filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return head.subarray(0, filled);
  } finally {
    await handle.close();
  }
}

/** Reads the whole image once: its checksum, and whether its end is there. An oversized one is judged by its head. */
async function examine(
  image: ImageBytes,
  signal: AbortSignal | undefined,
): Promise<{ readonly info: ImageInfo; readonly sha256: string }> {
  const hash = createHash('sha256');
  const mark = endMarkOf(image.head);
  const seen = mark === undefined ? undefined : endFinder(mark);
  let ended = mark === undefined;
  if (image.bytes <= IMAGE_BYTES_MAX) {
    const body = image.read();
    for await (const chunk of chunksOf(body instanceof Uint8Array ? [body] : body, { signal })) {
      hash.update(chunk);
      if (seen?.(chunk) === true) ended = true;
    }
  }
  return { info: inspectImage(image.head, image.bytes, ended), sha256: hash.digest('hex') };
}

/** Returns for each chunk whether the mark has been seen; one that is split between two chunks counts. */
function endFinder({ bytes: mark, from }: EndMark): (chunk: Uint8Array) => boolean {
  let offset = 0;
  let carry = Buffer.alloc(0);
  return (chunk) => {
    const window = Buffer.concat([carry, chunk]);
    const found = window.indexOf(mark, Math.max(0, from - (offset - carry.length))) >= 0;
    offset += chunk.length;
    carry = window.subarray(Math.max(0, window.length - mark.length + 1));
    return found;
  };
}

const imageOf = (bytes: Uint8Array): ImageBytes => ({
  bytes: bytes.length,
  head: bytes.subarray(0, IMAGE_HEAD_BYTES),
  read: () => bytes,
});

async function stagedAs(image: ImageBytes, signal: AbortSignal | undefined): Promise<StagedImage> {
  const { info, sha256 } = await examine(image, signal);
  const { mime, width, height } = info;
  return { sha256, asset: { key: referenceKey(sha256, info.ext), mime, bytes: image.bytes, width, height } };
}

async function put(image: ImageBytes, store: AssetStore, signal: AbortSignal | undefined): Promise<StagedImage> {
  const staged = await stagedAs(image, signal);
  const { sha256, asset } = staged;
  const { key, bytes, mime: contentType } = asset;
  // Length and checksum are given, so that a file which changes meanwhile is refused by the store.
  await store.put(key, image.read(), { ifAbsent: true, contentType, sha256, bytes, signal });
  return staged;
}
