import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isReadable } from './clip/still.js';

/** Largest picture that the service accepts; a longer response is not read to its end. */
const MAX_BYTES = 20 * 1024 * 1024;
/** Bytes kept in memory without a folder. The oldest pictures are dropped first; their clips become plain ones. */
const MAX_MEMORY_BYTES = 128 * 1024 * 1024;
/** The service gives up on an address after some seconds; its documents do not say how many. */
const FETCH_TIMEOUT_MS = 10_000;

/** The callers' pictures by the SHA-256 of their bytes: in a folder, where they survive the process, or in memory. */
export class PictureStore {
  readonly #folder: string | undefined;
  readonly #inMemory = new Map<string, Uint8Array>();
  #memoryBytes = 0;

  constructor(folder: string | undefined) {
    this.#folder = folder;
  }

  /** Stores a JPEG, PNG or WEBP picture and returns its name; null for other bytes. */
  store(bytes: Uint8Array): string | null {
    if (bytes.length > MAX_BYTES || !isReadable(bytes)) return null;
    const name = createHash('sha256').update(bytes).digest('hex');
    if (this.#folder !== undefined) {
      mkdirSync(this.#folder, { recursive: true });
      if (!existsSync(join(this.#folder, name))) writeFileSync(join(this.#folder, name), bytes);
    } else if (!this.#inMemory.has(name)) {
      this.#inMemory.set(name, Uint8Array.from(bytes));
      this.#memoryBytes += bytes.length;
      for (const oldest of this.#inMemory.keys()) {
        if (this.#memoryBytes <= MAX_MEMORY_BYTES) break;
        this.#drop(oldest);
      }
    }
    return name;
  }

  /** Downloads and stores a picture; resolves to null when there is none at the address. Never rejects. */
  async fetch(url: string, signal: AbortSignal): Promise<string | null> {
    try {
      const response = await fetch(url, { signal: AbortSignal.any([signal, AbortSignal.timeout(FETCH_TIMEOUT_MS)]) });
      if (!response.ok || response.body === null) return null;
      const pieces: Uint8Array[] = [];
      let size = 0;
      for await (const piece of response.body) {
        pieces.push(piece);
        size += piece.length;
        if (size > MAX_BYTES) return null;
      }
      return this.store(Buffer.concat(pieces));
    } catch {
      return null;
    }
  }

  /** Returns the bytes of a picture that is still stored. */
  get(name: string): Uint8Array | undefined {
    if (this.#folder === undefined) return this.#inMemory.get(name);
    const file = join(this.#folder, name);
    return existsSync(file) ? readFileSync(file) : undefined;
  }

  /** Deletes every picture that is not named. */
  retain(names: ReadonlySet<string>): void {
    for (const name of this.#inMemory.keys()) if (!names.has(name)) this.#drop(name);
    if (this.#folder === undefined || !existsSync(this.#folder)) return;
    for (const name of readdirSync(this.#folder)) if (!names.has(name)) rmSync(join(this.#folder, name));
  }

  #drop(name: string): void {
    this.#memoryBytes -= this.#inMemory.get(name)?.length ?? 0;
    this.#inMemory.delete(name);
  }
}
