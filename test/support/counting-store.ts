import type { Readable } from 'node:stream';
import {
  type AssetInfo,
  type AssetStore,
  type ByteStream,
  type GetOptions,
  LIST_PAGE,
  type ListOptions,
  type PutOptions,
  type PutOutcome,
  type StoreOptions,
} from '../../src/storage/asset-store.js';

type Operation = 'head' | 'get' | 'put' | 'list' | 'delete';

/** One request to the store. */
export interface CountedRequest {
  readonly operation: Operation;
  readonly key: string;
}

/** Counts the requests that S3 would get, one for each page of a listing; each takes `latencyMs`. */
export class CountingStore implements AssetStore {
  readonly name: string;
  requests: CountedRequest[] = [];
  readonly #store: AssetStore;
  readonly #latencyMs: number;

  constructor(store: AssetStore, latencyMs = 0) {
    this.#store = store;
    this.#latencyMs = latencyMs;
    this.name = store.name;
  }

  /** The requests since the last call, by operation. */
  take(): Partial<Record<Operation, number>> & { readonly all: number } {
    const counts: Partial<Record<Operation, number>> = {};
    for (const { operation } of this.requests) counts[operation] = (counts[operation] ?? 0) + 1;
    const all = this.requests.length;
    this.requests = [];
    return { ...counts, all };
  }

  async head(key: string, options?: StoreOptions): Promise<AssetInfo | undefined> {
    await this.#count('head', key);
    return this.#store.head(key, options);
  }

  async get(key: string, options?: GetOptions): Promise<Readable> {
    await this.#count('get', key);
    return this.#store.get(key, options);
  }

  async put(key: string, body: ByteStream, options?: PutOptions): Promise<PutOutcome> {
    await this.#count('put', key);
    return this.#store.put(key, body, options);
  }

  async *list(prefix: string, options?: ListOptions): AsyncGenerator<AssetInfo> {
    let listed = 0;
    await this.#count('list', prefix);
    for await (const info of this.#store.list(prefix, options)) {
      if (listed > 0 && listed % LIST_PAGE === 0) await this.#count('list', prefix);
      listed += 1;
      yield info;
    }
  }

  async delete(key: string, options?: StoreOptions): Promise<void> {
    await this.#count('delete', key);
    return this.#store.delete(key, options);
  }

  now(): number | undefined {
    return this.#store.now?.();
  }

  url(key: string): string {
    return this.#store.url(key);
  }

  async #count(operation: Operation, key: string): Promise<void> {
    this.requests.push({ operation, key });
    if (this.#latencyMs > 0) await new Promise((done) => setTimeout(done, this.#latencyMs));
  }
}
