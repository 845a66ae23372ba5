/** Bytes that are kept: some fifty typical images, and runs take seconds from their check to their upload. */
const BYTES_MAX = 32 * 1024 * 1024;

/**
 * Staged images as the step that checks them has read them whole, for the step that uploads them in the same process: a
 * read less for each video. Without one the upload reads the store.
 */
export class RecentImages {
  /** By key; the youngest last. */
  readonly #byKey = new Map<string, Uint8Array>();
  #bytes = 0;

  add(key: string, image: Uint8Array): void {
    this.take(key);
    this.#byKey.set(key, image);
    this.#bytes += image.length;
    for (const oldest of this.#byKey.keys()) {
      if (this.#bytes <= BYTES_MAX) break;
      this.take(oldest);
    }
  }

  /** Removes and returns an image. */
  take(key: string): Uint8Array | undefined {
    const image = this.#byKey.get(key);
    if (this.#byKey.delete(key)) this.#bytes -= image?.length ?? 0;
    return image;
  }
}
