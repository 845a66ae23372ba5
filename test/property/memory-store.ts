import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { FailureType } from '../../src/contract/failure-type.js';
import { VideoError } from '../../src/contract/video-error.js';
import type {
  AssetInfo,
  AssetStore,
  ByteStream,
  GetOptions,
  ListOptions,
  PutOptions,
  PutOutcome,
} from '../../src/storage/asset-store.js';

interface Stored {
  readonly body: Buffer;
  readonly modifiedAtMs: number;
}

/** An AssetStore in memory with the semantics of the real ones. */
export class MemoryStore implements AssetStore {
  readonly name = 'memory';
  readonly objects = new Map<string, Stored>();
  /** In ascending order, from the first listing on. */
  #keys: string[] | undefined;
  readonly #now: () => number;
  /** Its clock, for those who ask; undefined as that of a local directory. */
  readonly now?: () => number;

  constructor(now: () => number = Date.now, { showsClock = false } = {}) {
    this.#now = now;
    if (showsClock) this.now = now;
  }

  async head(key: string): Promise<AssetInfo | undefined> {
    return this.info(key);
  }

  async get(key: string, _options?: GetOptions): Promise<Readable> {
    const found = this.objects.get(key);
    if (found === undefined) throw new VideoError(FailureType.AssetNotFound, `${key} is not there`);
    return Readable.from([found.body]);
  }

  async put(key: string, body: ByteStream, options: PutOptions = {}): Promise<PutOutcome> {
    const chunks: Uint8Array[] = [];
    if (body instanceof Uint8Array) chunks.push(body);
    else for await (const chunk of body) chunks.push(chunk);
    return this.set(key, Buffer.concat(chunks), options.ifAbsent === true);
  }

  async *list(prefix: string, { after }: ListOptions = {}): AsyncGenerator<AssetInfo> {
    yield* this.infos(prefix, { after });
  }

  async delete(key: string): Promise<void> {
    this.objects.delete(key);
    this.#keys = undefined;
  }

  url(key: string): string {
    return `memory:${key}`;
  }

  set(key: string, body: Buffer, ifAbsent = false): PutOutcome {
    if (ifAbsent && this.objects.has(key)) return { stored: false };
    if (!this.objects.has(key)) this.#keys?.splice(firstFrom(this.#keys, key), 0, key);
    this.objects.set(key, { body, modifiedAtMs: this.#now() });
    return { stored: true };
  }

  info(key: string): AssetInfo | undefined {
    const found = this.objects.get(key);
    if (found === undefined) return undefined;
    const sha256 = createHash('sha256').update(found.body).digest('hex');
    return { key, bytes: found.body.length, sha256, modifiedAtMs: found.modifiedAtMs };
  }

  /** @param how.lateMs - Leaves out what was put since then. */
  infos(prefix: string, { after = '', lateMs = 0 }: { after?: string | undefined; lateMs?: number } = {}): AssetInfo[] {
    const listedUntilMs = lateMs > 0 ? this.#now() - lateMs : Number.POSITIVE_INFINITY;
    const found: AssetInfo[] = [];
    this.#keys ??= [...this.objects.keys()].sort();
    const keys = this.#keys;
    for (let at = firstFrom(keys, after > prefix ? after : prefix); at < keys.length; at += 1) {
      const key = keys[at]!;
      if (!key.startsWith(prefix)) break;
      const stored = this.objects.get(key);
      if (key === after || stored === undefined || stored.modifiedAtMs > listedUntilMs) continue;
      found.push({ key, bytes: stored.body.length, modifiedAtMs: stored.modifiedAtMs });
    }
    return found;
  }

  json(key: string): Record<string, unknown> | undefined {
    const found = this.objects.get(key);
    return found === undefined ? undefined : JSON.parse(found.body.toString());
  }
}

/** Index of the first key that is not before `from`. */
function firstFrom(keys: readonly string[], from: string): number {
  let [low, high] = [0, keys.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (keys[middle]! < from) low = middle + 1;
    else high = middle;
  }
  return low;
}
