import type { AssetStore } from './asset-store.js';

/** Addresses of stored objects that a browser can open. */
export class AssetLinks {
  readonly #store: AssetStore;
  readonly #expiresSeconds: number;
  #areSigned = false;

  /** @param expiresSeconds - How long a signed address is valid; S3 allows seven days. */
  constructor(store: AssetStore, expiresSeconds: number) {
    this.#store = store;
    this.#expiresSeconds = expiresSeconds;
  }

  /** Whether an address had to be signed: it is secret, and expires. */
  get areSigned(): boolean {
    return this.#areSigned;
  }

  /** The stable address where a browser can open it (`file:`, `https:`), else a signed one. */
  async of(key: string): Promise<string> {
    const url = this.#store.url(key);
    if (!url.startsWith('s3:') || this.#store.presign === undefined) return url;
    this.#areSigned = true;
    return this.#store.presign(key, { seconds: this.#expiresSeconds });
  }
}

/**
 * When an address ends that was signed at this moment or just after it. A signature counts from its second, so a later
 * fraction would promise time that it does not have.
 */
export const linkExpiry = (signedMs: number, seconds: number): string =>
  new Date((Math.floor(signedMs / 1000) + seconds) * 1000).toISOString();
