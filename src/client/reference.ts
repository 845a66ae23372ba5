import { createReadStream } from 'node:fs';
import { mkdtemp, open, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FailureType } from '../contract/failure-type.js';
import { type Issue, VideoError } from '../contract/video-error.js';
import { IMAGE_BYTES_MAX, IMAGE_HEAD_BYTES, type ImageInfo, imageRejected, inspectImage } from '../media/image.js';
import { checkImageFile, type ImageSource as StageableImage, stageImageFile } from '../media/stage-image.js';
import type { ByteSource } from '../net/chunks.js';
import { spoolToFile } from '../net/spool.js';
import type { AssetStore } from '../storage/asset-store.js';
import { referenceKey } from '../storage/keys.js';

/**
 * An image as a caller may give it: a path or a `file:` URL, bytes, a `Blob` or a stream, which are staged to the asset
 * store; or an `http(s)` URL, an `asset:` or `oss://` reference or a `data:` URI, which are passed on as they are.
 */
export type ImageSource = StageableImage | URL;

/** A well-formed reference, in place of an image that is checked on its own while the other fields are checked. */
export const UNSTAGED_REFERENCE = `asset:references/${'0'.repeat(64)}.png`;

/** Whether `source` goes into the request as it is, because the worker or the provider reads it. */
export const isReference = (source: unknown): source is string | URL =>
  (typeof source === 'string' || source instanceof URL) && /^(https?|asset|oss|data):/i.test(String(source));

/**
 * What is known of a good image: MIME type, pixels as shown, length, SHA-256 (hex), and where the store will have it.
 */
export type KnownImage = ImageInfo & { readonly bytes: number; readonly sha256: string; readonly key: string };

/**
 * A private copy of a caller's image, so that what was checked is what is staged, also when the file changes meanwhile.
 * It lies in a folder of its own until {@link LocalImage.dispose}.
 */
export class LocalImage {
  /** Why the image cannot be used; empty for a good one. Each has the path `reference_image`. */
  readonly issues: readonly Issue[];
  readonly #folder: string;
  readonly #known: KnownImage | undefined;

  private constructor(folder: string, issues: readonly Issue[], known?: KnownImage) {
    this.issues = issues;
    this.#folder = folder;
    this.#known = known;
  }

  /**
   * Copies an image and judges it by its content. Faults of the image become `issues`.
   * @throws `signal.reason` on abort; what a stream throws, unchanged; VideoError `StoreUnavailable` when the temporary
   * folder cannot take the copy.
   */
  static async read(
    source: ImageSource,
    { signal }: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<LocalImage> {
    const folder = await mkdtemp(join(tmpdir(), 'wan-video-image-'));
    try {
      const file = fileIn(folder);
      const tooLarge = () => new TooLargeError();
      const copy = await spoolToFile(await bytesOf(source), file, { signal, maxBytes: IMAGE_BYTES_MAX, tooLarge });
      const issues = await checkImageFile(file, { signal });
      if (issues.length > 0) return new LocalImage(folder, issues);
      const info = inspectImage(await headOf(file), copy.bytes);
      return new LocalImage(folder, [], { ...info, ...copy, key: referenceKey(copy.sha256, info.ext) });
    } catch (error) {
      const rejection = error instanceof TooLargeError ? await oversized(folder) : error;
      if (rejection instanceof VideoError && rejection.type === FailureType.ReferenceRejected) {
        return new LocalImage(folder, rejection.issues ?? []);
      }
      await rm(folder, { recursive: true, force: true });
      throw rejection;
    }
  }

  /** @throws VideoError `ReferenceRejected` for an image with `issues`. */
  get known(): KnownImage {
    if (this.#known === undefined) throw imageRejected(this.issues.map(({ message }) => message));
    return this.#known;
  }

  /**
   * Puts the image into the store under its SHA-256; harmless to repeat.
   * @returns its `asset:` reference.
   * @throws VideoError `ReferenceRejected` for an image with `issues`, `StoreUnavailable` on I/O faults.
   */
  async stage(store: AssetStore, options: { readonly signal?: AbortSignal | undefined } = {}): Promise<string> {
    const { asset } = await stageImageFile(fileIn(this.#folder), store, options);
    return `asset:${asset.key}`;
  }

  /** Removes the copy. */
  async dispose(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }
}

const fileIn = (folder: string): string => join(folder, 'image');

/** The source went over the limit; what was copied of it is enough to name the other faults as well. */
class TooLargeError extends Error {}

async function oversized(folder: string): Promise<unknown> {
  try {
    return inspectImage(await headOf(fileIn(folder)), IMAGE_BYTES_MAX + 1);
  } catch (error) {
    return error;
  }
}

async function bytesOf(source: ImageSource): Promise<ByteSource> {
  if (source instanceof Uint8Array) return [source];
  if (source instanceof Blob) return source.stream();
  if (typeof source !== 'string' && !(source instanceof URL)) return source;
  const path = String(source).startsWith('file:') ? fileURLToPath(source) : String(source);
  try {
    if ((await stat(path)).isDirectory()) throw imageRejected([`${path} is a folder; give the path of an image`]);
    await (await open(path, 'r')).close(); // says now, not in mid-stream, that it may not be read
  } catch (error) {
    if (error instanceof VideoError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    const fault = code === 'ENOENT' || code === 'ENOTDIR' ? 'does not exist' : `cannot be read (${code})`;
    throw imageRejected([`${path} ${fault}; give the path of an image or an http(s) URL`]);
  }
  return createReadStream(path);
}

async function headOf(file: string): Promise<Uint8Array> {
  const handle = await open(file, 'r');
  try {
    const head = new Uint8Array(IMAGE_HEAD_BYTES);
    return head.subarray(0, (await handle.read(head, 0, head.length, 0)).bytesRead);
  } finally {
    await handle.close();
  }
}
