import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isReadable } from './clip/still.js';

/** Largest picture that the service takes; a longer answer is not read to its end. */
const MAX_BYTES = 20 * 1024 * 1024;
/** Without a folder so much is kept in memory; the oldest pictures go first, and their clips become plain ones. */
const MAX_KEPT_BYTES = 128 * 1024 * 1024;
/** The service gives up on an address after some seconds; nothing documents how many. */
const FETCH_TIMEOUT_MS = 10_000;

/** The callers' pictures under the SHA-256 of their bytes: in a folder, where they survive the process, or in memory. */
export class PictureStore {
  readonly #folder: string | undefined;
  readonly #kept = new Map<string, Uint8Array>();
  #keptBytes = 0;

  constructor(folder: string | undefined) {
    this.#folder = folder;
  }

  /** Keeps a JPEG or PNG picture and returns its name; null for anything else. */
  keep(bytes: Uint8Array): string | null {
    if (bytes.length > MAX_BYTES || !isReadable(bytes)) return null;
    const name = createHash('sha256').update(bytes).digest('hex');
    if (this.#folder !== undefined) {
      mkdirSync(this.#folder, { recursive: true });
      if (!existsSync(join(this.#folder, name))) writeFileSync(join(this.#folder, name), bytes);
    } else if (!this.#kept.has(name)) {
      this.#kept.set(name, Uint8Array.from(bytes));
      this.#keptBytes += bytes.length;
      for (const [oldest, { length }] of this.#kept) {
        if (this.#keptBytes <= MAX_KEPT_BYTES) break;
        this.#kept.delete(oldest);
        this.#keptBytes -= length;
      }
    }
    return name;
  }

  /** Fetches an address and keeps the picture; null when there is none to be had. Never rejects. */
  async fetch(url: string, signal: AbortSignal): Promise<string | null> {
    try {
      const bounds = AbortSignal.any([signal, AbortSignal.timeout(FETCH_TIMEOUT_MS)]);
      const { ok, body } = await fetch(url, { signal: bounds });
      if (!ok || body === null) return null;
      const pieces: Uint8Array[] = [];
      let size = 0;
      for await (const piece of body) {
        pieces.push(piece);
        size += piece.length;
        if (size > MAX_BYTES) return null;
      }
      return this.keep(Buffer.concat(pieces));
    } catch {
      return null;
    }
  }

  /** The bytes of a picture that is still there. */
  get(name: string): Uint8Array | undefined {
    if (this.#folder === undefined) return this.#kept.get(name);
    const file = join(this.#folder, name);
    return existsSync(file) ? readFileSync(file) : undefined;
  }

  /** Drops every picture but these. */
  retain(names: ReadonlySet<string>): void {
    for (const [name, { length }] of this.#kept) {
      if (names.has(name)) continue;
      this.#kept.delete(name);
      this.#keptBytes -= length;
    }
    if (this.#folder === undefined || !existsSync(this.#folder)) return;
    for (const name of readdirSync(this.#folder)) if (!names.has(name)) rmSync(join(this.#folder, name));
  }
}
