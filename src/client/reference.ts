import { createReadStream } from 'node:fs';
import { mkdtemp, open, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FailureType } from '../contract/failure-type.js';
import { isReference } from '../contract/image-reference.js';
import { type Issue, VideoError } from '../contract/video-error.js';
import { type ExaminedImage, IMAGE_BYTES_MAX, imageRejected, strictFaults } from '../media/image.js';
import { examineImage, putImage, type StageableImage, stagedAs, unreadableFile } from '../media/stage-image.js';
import type { ByteSource } from '../net/chunks.js';
import { spoolToFile } from '../net/spool.js';
import type { AssetStore } from '../storage/asset-store.js';

/**
 * An image in any form: a path or `file:` URL, bytes, a `Blob` or a stream, which are staged to the asset store; or an
 * `http(s)` URL, an `asset:` or `oss://` reference or a `data:` URI, which go into the request unchanged.
 */
export type ImageSource = StageableImage | URL;

/** Whether `source` goes into the request unchanged, because the worker or the provider resolves it. */
export const isReferenceSource = (source: unknown): source is string | URL =>
  (typeof source === 'string' || source instanceof URL) && isReference(String(source));

/**
 * A private copy of a caller's image, so that the content that is staged is the one that was checked, even if the file
 * changes meanwhile. The copy exists until {@link LocalImage.dispose}.
 */
export class LocalImage {
  /** Why the image cannot be used; empty for a valid one. Each issue has the path `reference_image`. */
  readonly issues: readonly Issue[];
  readonly #folder: string;
  readonly #info: ExaminedImage | undefined;

  private constructor(folder: string, issues: readonly Issue[], info?: ExaminedImage) {
    this.issues = issues;
    this.#folder = folder;
    this.#info = info;
  }

  /**
   * Copies an image and checks its content; faults of the image become `issues`.
   * @throws `signal.reason` on abort; the error of a stream, unchanged; VideoError `StoreUnavailable` when the
   * temporary folder cannot hold the copy.
   */
  static async read(
    source: ImageSource,
    { signal }: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<LocalImage> {
    const folder = await mkdtemp(join(tmpdir(), 'wan-video-image-'));
    try {
      const file = fileIn(folder);
      const tooLarge = () => new TooLargeError();
      await spoolToFile(await bytesOf(source), file, { signal, maxBytes: IMAGE_BYTES_MAX, tooLarge });
      return new LocalImage(folder, [], await examineImage(file, { signal }));
    } catch (error) {
      const isTooLarge = error instanceof TooLargeError;
      const rejection = isTooLarge ? await tooLargeRejection(folder, signal) : error;
      if (rejection instanceof VideoError && rejection.type === FailureType.ReferenceRejected) {
        return new LocalImage(folder, rejection.issues ?? []);
      }
      await rm(folder, { recursive: true, force: true });
      throw rejection;
    }
  }

  /** The issues of a request with this image: with `strict`, everything that would be done to it is one. */
  issuesFor(referenceFit: unknown): readonly Issue[] {
    if (referenceFit !== 'strict' || this.#info === undefined) return this.issues;
    return strictFaults(this.#info.changes).map((message) => ({ path: 'reference_image', message }));
  }

  /** The `asset:` reference that the image has once it is staged. Throws as {@link LocalImage.info} does. */
  get reference(): string {
    return `asset:${stagedAs(this.info).asset.key}`;
  }

  /** @throws VideoError `ReferenceRejected` for an image with `issues`. */
  get info(): ExaminedImage {
    if (this.#info === undefined) throw imageRejected(this.issues.map(({ message }) => message));
    return this.#info;
  }

  /**
   * Puts the image into the store under its SHA-256; it is safe to repeat.
   * @returns its `asset:` reference.
   * @throws VideoError `ReferenceRejected` for an image with `issues`, `StoreUnavailable` on I/O faults.
   */
  async stage(store: AssetStore, options: { readonly signal?: AbortSignal | undefined } = {}): Promise<string> {
    await putImage(fileIn(this.#folder), this.info, store, options);
    return this.reference;
  }

  /** Removes the copy. */
  async dispose(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }
}

const fileIn = (folder: string): string => join(folder, 'image');

/** The source exceeds the limit; the part that was copied is enough to find its other faults. */
class TooLargeError extends Error {}

async function tooLargeRejection(folder: string, signal: AbortSignal | undefined): Promise<unknown> {
  return examineImage(fileIn(folder), { signal, isCut: true }).catch((error: unknown) => error);
}

async function bytesOf(source: ImageSource): Promise<ByteSource> {
  if (source instanceof Uint8Array) return [source];
  if (source instanceof Blob) return source.stream();
  if (typeof source !== 'string' && !(source instanceof URL)) return source;
  const path = String(source).startsWith('file:') ? fileURLToPath(source) : String(source);
  try {
    if ((await stat(path)).isDirectory()) throw imageRejected([`${path} is a folder; give the path of an image`]);
    await (await open(path, 'r')).close(); // a file that may not be read is reported now, not in mid-stream
  } catch (error) {
    if (error instanceof VideoError) throw error;
    throw unreadableFile(path, error as NodeJS.ErrnoException);
  }
  return createReadStream(path);
}
