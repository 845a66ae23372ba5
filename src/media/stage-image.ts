import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Issue, VideoError } from '../contract/video-error.js';
import type { ByteSource } from '../net/chunks.js';
import { spoolToFile } from '../net/spool.js';
import type { AssetStore } from '../storage/asset-store.js';
import { referenceKey } from '../storage/keys.js';
import type { FitJob } from './fit-image.js';
import {
  type ExaminedImage,
  IMAGE_BYTES_MAX,
  type ImageChange,
  imageRejected,
  pixelChangeOf,
  type SendableImage,
} from './image.js';
import { ImageFitter } from './image-fitter.js';

/** Shared by everything in a process. Its own processes start with the first image. */
const fitter = new ImageFitter();

/** A typical image; larger ones are read from the store again when they are sent. */
const SHORT_BYTES = 1024 * 1024;

/** An image in the store; `bytes` and pixels. */
interface ImageAsset {
  readonly key: string;
  readonly mime: string;
  readonly bytes: number;
  readonly width: number;
  readonly height: number;
}

/** A staged image: its SHA-256 (hex) and what is known of it. */
export interface StagedImage {
  readonly sha256: string;
  readonly asset: ImageAsset;
  /** What will be done to it before it is sent. */
  readonly changes: readonly ImageChange[];
}

/** An image that is fit to be sent. */
export interface FittedImage extends StagedImage {
  /** SHA-256 (hex) of the file that it was made from. */
  readonly sha256: string;
  /** What is sent. */
  readonly asset: ImageAsset;
  /** The key that the file itself has, or would have. */
  readonly source: string;
  /** File name extension of the file, without the dot. */
  readonly ext: string;
  /** What is sent, when it is short. */
  readonly data?: Uint8Array | undefined;
}

/** An image to stage: a file's path, its bytes, or a stream of them. */
export type StageableImage = string | Uint8Array | Blob | AsyncIterable<Uint8Array>;

/** Limits of staging. */
export interface StageOptions {
  /** Ends the staging with its reason. */
  readonly signal?: AbortSignal | undefined;
  /** Folder for files on their way; default: the system's temporary folder. */
  readonly spoolDir?: string | undefined;
}

/** How an image is made fit. */
export interface FitOptions extends StageOptions {
  /** Colour behind transparent parts, `#rrggbb`; default: white. */
  readonly background?: string | undefined;
  /** Only examines the image: what is stored is its own file. */
  readonly keep?: boolean | undefined;
  /** Key under which the file is in the store already. */
  readonly storedAs?: string | undefined;
  /** Called before anything is stored; what it throws refuses the image. */
  readonly accept?: ((image: Pick<ExaminedImage, 'ext' | 'changes'>) => void) | undefined;
}

/**
 * Checks an image by its content, decoding all of it, and puts it into the store under its SHA-256; an image that is
 * there already stays as it is. What is not a file is spooled to one first, at most 20 MB of it, which is removed.
 * @throws {@link VideoError} `ReferenceRejected` with all faults at once; `StoreUnavailable` on I/O faults.
 * @throws errors of the stream, unchanged, and `signal.reason` on abort.
 */
export function stageImage(
  source: StageableImage,
  store: AssetStore,
  options: StageOptions = {},
): Promise<StagedImage> {
  return withFile(source, options, async (job) => {
    const image = await fitter.fit(job, options.signal);
    return putImage(job.file, image, store, options);
  });
}

/** Puts an image that was examined into the store. */
export async function putImage(
  file: string,
  image: ExaminedImage,
  store: AssetStore,
  { signal }: StageOptions = {},
): Promise<StagedImage> {
  const staged = stagedAs(image);
  await put(file, image, staged.asset.key, store, signal);
  return staged;
}

/** Checks an image, makes it fit, and puts what is to be sent into the store under its own SHA-256. */
export function stageFittedImage(
  source: StageableImage,
  store: AssetStore,
  { background, keep = false, storedAs, accept, ...options }: FitOptions = {},
): Promise<FittedImage> {
  return withFile(source, options, async (job) => {
    const output = `${job.file}-${randomUUID()}.fit`;
    try {
      const image = await fitter.fit({ ...job, background, ...(!keep && { output }) }, options.signal);
      accept?.(image);
      const { fitted } = image;
      const staged = stagedAs(image);
      const asset = fitted === undefined ? staged.asset : assetOf(fitted, referenceKey(fitted.sha256, fitted.ext));
      const file = fitted === undefined ? job.file : output;
      if (asset.key !== storedAs) await put(file, fitted ?? image, asset.key, store, options.signal);
      const data = asset.bytes <= SHORT_BYTES ? await readFile(file) : undefined;
      return { ...staged, asset, source: staged.asset.key, ext: image.ext, data };
    } finally {
      await rm(output, { force: true });
    }
  });
}

/**
 * Checks an image as {@link stageImage} does, and stores nothing.
 * @returns what it would be staged as.
 * @throws {@link VideoError} as {@link stageImage}.
 */
export async function identifyImage(source: string | Uint8Array, options: StageOptions = {}): Promise<StagedImage> {
  return stagedAs(await examineImage(source, options));
}

/**
 * Decodes an image whole and says what it is; stores nothing. Throws as {@link stageImage} does.
 * @param options - `isCut`: whether a file is only the beginning of an image that is too large.
 */
export function examineImage(
  source: StageableImage,
  { isCut = false, ...options }: StageOptions & { readonly isCut?: boolean } = {},
): Promise<ExaminedImage> {
  return withFile(source, options, (job) => fitter.fit({ ...job, isCut: isCut || job.isCut === true }, options.signal));
}

/**
 * Checks an image, by its path or its bytes, and stores nothing.
 * @returns every fault with the path `reference_image`, each with its fix; none for an image that can be used.
 */
export async function checkImage(source: string | Uint8Array, options: StageOptions = {}): Promise<readonly Issue[]> {
  try {
    await examineImage(source, options);
    return [];
  } catch (error) {
    if (error instanceof VideoError && error.issues !== undefined) return error.issues;
    throw error;
  }
}

/** The stream went over the limit. */
class TooLargeError extends Error {}

/** Calls `use` with a file that holds the image, or its beginning when it is too large. */
async function withFile<T>(
  source: StageableImage,
  { signal, spoolDir = tmpdir() }: StageOptions,
  use: (job: Pick<FitJob, 'file' | 'isCut'>) => Promise<T>,
): Promise<T> {
  if (typeof source === 'string') {
    await assertFile(source);
    return use({ file: source });
  }
  const file = join(spoolDir, `reference-${randomUUID()}`);
  try {
    const tooLarge = () => new TooLargeError();
    const isCut = await spoolToFile(streamOf(source), file, { signal, maxBytes: IMAGE_BYTES_MAX, tooLarge }).then(
      () => false,
      (error: unknown) => {
        if (!(error instanceof TooLargeError)) throw error;
        return true; // The bytes read so far are enough to name the other faults.
      },
    );
    return await use({ file, isCut });
  } finally {
    await rm(file, { force: true });
  }
}

function streamOf(source: Exclude<StageableImage, string>): ByteSource {
  if (source instanceof Uint8Array) return [source];
  return source instanceof Blob ? source.stream() : source;
}

async function assertFile(file: string): Promise<void> {
  try {
    const info = await stat(file);
    if (info.isDirectory()) throw imageRejected([`${file} is a folder; give the path of an image`]);
    // A device or a pipe may never end; its bytes can come as a stream.
    if (!info.isFile()) throw imageRejected([`${file} is not a regular file; give the path of an image`]);
  } catch (error) {
    if (error instanceof VideoError) throw error;
    throw unreadableFile(file, error as NodeJS.ErrnoException);
  }
}

/** The error for the path of an image that cannot be opened. */
export function unreadableFile(file: string, { code }: NodeJS.ErrnoException): VideoError {
  const fault = code === 'ENOENT' || code === 'ENOTDIR' ? 'does not exist' : `cannot be read (${code})`;
  return imageRejected([`${file} ${fault}; give the path of an image or an http(s) URL`]);
}

/** What an image is in the store. */
export function stagedAs(image: ExaminedImage): StagedImage {
  const { sha256, ext, changes } = image;
  return { sha256, asset: assetOf(image, referenceKey(sha256, ext, pixelChangeOf(changes))), changes };
}

const assetOf = ({ mime, bytes, width, height }: SendableImage, key: string): ImageAsset => ({
  key,
  mime,
  bytes,
  width,
  height,
});

async function put(
  file: string,
  { mime: contentType, bytes, sha256 }: SendableImage,
  key: string,
  store: AssetStore,
  signal: AbortSignal | undefined,
): Promise<void> {
  // Length and checksum are given, so that a file which changed meanwhile is refused by the store.
  await store.put(key, createReadStream(file), { ifAbsent: true, contentType, sha256, bytes, signal });
}
