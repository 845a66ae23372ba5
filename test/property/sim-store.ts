import type { Readable } from 'node:stream';
import { FailureType } from '../../src/contract/failure-type.js';
import { VideoError } from '../../src/contract/video-error.js';
import type {
  AssetInfo,
  AssetStore,
  ByteStream,
  ListOptions,
  PutOptions,
  PutOutcome,
} from '../../src/storage/asset-store.js';
import type { MemoryStore } from './memory-store.js';
import type { Process, Simulation } from './simulation.js';

export interface StoreFaults {
  /** Chances of one operation. */
  readonly refused: number;
  readonly replyLost: number;
  /** The put ends in an error and takes effect long after it. */
  readonly landsLater: number;
  /** The store's client tries twice and loses against itself. */
  readonly doubled: number;
  /** A listing does not show what was put within the last minute. */
  readonly listsLate: number;
}

const away = () => new VideoError(FailureType.StoreUnavailable, 'the store is away', { retryable: true });

/** One process's view of the shared store, through a network that loses replies. */
export class SimStore implements AssetStore {
  readonly name = 'simulated';
  readonly #sim: Simulation;
  readonly #process: Process;
  readonly #shared: MemoryStore;
  readonly #faults: () => StoreFaults;
  readonly #onPut: (key: string) => void;

  constructor(
    sim: Simulation,
    process: Process,
    shared: MemoryStore,
    faults: () => StoreFaults,
    onPut: (key: string) => void,
  ) {
    this.#sim = sim;
    this.#process = process;
    this.#shared = shared;
    this.#faults = faults;
    this.#onPut = onPut;
  }

  head(key: string): Promise<AssetInfo | undefined> {
    return this.#read(() => this.#shared.info(key));
  }

  async get(key: string): Promise<Readable> {
    const body = await this.#read(() => this.#shared.objects.get(key)?.body);
    if (body === undefined) throw new VideoError(FailureType.AssetNotFound, `${key} is not there`);
    return [body] as unknown as Readable; // its readers only iterate
  }

  async *list(prefix: string, { after }: ListOptions = {}): AsyncGenerator<AssetInfo> {
    const { random } = this.#sim;
    const lateMs = random.chance(this.#faults().listsLate) ? random.between(1, 60_000) : 0;
    yield* await this.#read(() => this.#shared.infos(prefix, { after, lateMs }));
  }

  put(key: string, body: ByteStream, { ifAbsent = false }: PutOptions = {}): Promise<PutOutcome> {
    const { random } = this.#sim;
    const faults = this.#faults();
    const set = () => {
      const outcome = this.#shared.set(key, body as Buffer, ifAbsent);
      if (outcome.stored) this.#onPut(key);
      return outcome;
    };
    if (random.chance(faults.landsLater)) {
      this.#sim.at(this.#sim.nowMs + random.between(1, 120_000), set);
      return this.#process.operation(() => ({ stored: false }), { refusedAs: away() });
    }
    if (random.chance(faults.doubled)) {
      return this.#process.operation(() => {
        set();
        return set();
      });
    }
    return this.#process.operation(set, {
      refusedAs: random.chance(faults.refused) ? away() : undefined,
      lostAs: random.chance(faults.replyLost) ? away() : undefined,
    });
  }

  async delete(): Promise<void> {
    throw new Error('the ledger deletes nothing');
  }

  now(): number | undefined {
    return this.#shared.now?.();
  }

  url(key: string): string {
    return `memory:${key}`;
  }

  #read<T>(effect: () => T): Promise<T> {
    const refused = this.#sim.random.chance(this.#faults().refused);
    return this.#process.operation(effect, { refusedAs: refused ? away() : undefined });
  }
}
