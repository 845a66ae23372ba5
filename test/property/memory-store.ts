import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { FailureType } from '../../src/contract/failure-type.js';
import { VideoError } from '../../src/contract/video-error.js';
import type {
  AssetInfo,
  AssetStore,
  ByteStream,
  GetOptions,
  PutOptions,
  PutOutcome,
} from '../../src/storage/asset-store.js';

interface Stored {
  readonly body: Buffer;
  readonly sha256: string;
  readonly modifiedAtMs: number;
}

/** An AssetStore in memory with the semantics of the real ones. */
export class MemoryStore implements AssetStore {
  readonly name = 'memory';
  readonly objects = new Map<string, Stored>();
  readonly #now: () => number;

  constructor(now: () => number = Date.now) {
    this.#now = now;
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

  async *list(prefix: string): AsyncGenerator<AssetInfo> {
    yield* this.infos(prefix);
  }

  async delete(key: string): Promise<void> {
    this.objects.delete(key);
  }

  url(key: string): string {
    return `memory:${key}`;
  }

  set(key: string, body: Buffer, ifAbsent = false): PutOutcome {
    if (ifAbsent && this.objects.has(key)) return { stored: false };
    const sha256 = createHash('sha256').update(body).digest('hex');
    this.objects.set(key, { body, sha256, modifiedAtMs: this.#now() });
    return { stored: true };
  }

  info(key: string): AssetInfo | undefined {
    const found = this.objects.get(key);
    if (found === undefined) return undefined;
    return { key, bytes: found.body.length, sha256: found.sha256, modifiedAtMs: found.modifiedAtMs };
  }

  infos(prefix: string): AssetInfo[] {
    const keys = [...this.objects.keys()].filter((key) => key.startsWith(prefix)).sort();
    return keys.flatMap((key) => this.info(key) ?? []);
  }

  json(key: string): Record<string, unknown> | undefined {
    const found = this.objects.get(key);
    return found === undefined ? undefined : JSON.parse(found.body.toString());
  }
}
