import type { FittedImage } from './stage-image.js';

/** Bytes that are kept: some fifty typical images, and runs take seconds from their check to their upload. */
const BYTES_MAX = 32 * 1024 * 1024;
/** Images that are remembered without their bytes. */
const IMAGES_MAX = 1000;

/**
 * Images that this process has decoded lately: the next run of a batch need not decode its image again, and the upload
 * need not read it from the store. Nothing depends on it.
 */
export class RecentImages {
  /** By the source's hash and the background; the youngest last. */
  readonly #images = new Map<string, FittedImage>();
  /** By the key of what is sent; the youngest last. */
  readonly #data = new Map<string, Uint8Array>();
  #bytes = 0;

  add({ data, ...image }: FittedImage, background: string | undefined): void {
    this.#images.set(`${image.sha256} ${background}`, image);
    for (const oldest of this.#images.keys()) {
      if (this.#images.size <= IMAGES_MAX) break;
      this.#images.delete(oldest);
    }
    if (data === undefined) return;
    this.#bytes += data.length - (this.#data.get(image.asset.key)?.length ?? 0);
    this.#data.delete(image.asset.key);
    this.#data.set(image.asset.key, data);
    for (const [oldest, { length }] of this.#data) {
      if (this.#bytes <= BYTES_MAX) break;
      this.#data.delete(oldest);
      this.#bytes -= length;
    }
  }

  /** What was found of an image, and what is sent instead of it. */
  find(sha256: string, background: string | undefined): FittedImage | undefined {
    return this.#images.get(`${sha256} ${background}`);
  }

  /** The bytes of an image that is sent. */
  read(key: string): Uint8Array | undefined {
    return this.#data.get(key);
  }
}
