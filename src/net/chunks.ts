import { Readable } from 'node:stream';
import { type Pace, SlowError } from './pace.js';

/** Bytes in order, in any pieces. */
export type ByteSource = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/** Bounds of the wait for each chunk. */
export interface ChunkOptions {
  /** Ends the wait with its reason. */
  readonly signal?: AbortSignal | undefined;
  /** How slow the source may be; default: as slow as it likes. */
  readonly pace?: Pace | undefined;
}

/**
 * The chunks of `source`. An abort or a source that is too slow ends the wait at once, also where the source itself
 * would not notice, and a stream that was not read to its end is destroyed.
 * @throws {@link SlowError} when too little came; `signal.reason` on abort; errors of the source, unchanged.
 */
export async function* chunksOf(source: ByteSource, options: ChunkOptions = {}): AsyncGenerator<Uint8Array> {
  const { signal } = options;
  const iterator =
    Symbol.asyncIterator in source
      ? source[Symbol.asyncIterator]()
      : (source as Iterable<Uint8Array>)[Symbol.iterator]();
  let ended = false;
  try {
    for (;;) {
      const step = await nextOf(iterator, options);
      ended = step.done === true;
      if (step.done === true) return;
      yield step.value;
    }
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw error;
  } finally {
    if (!ended) closeSource(source, iterator);
  }
}

/** Ends a source that is not read on: a stream is destroyed, an iterator returned. */
export function closeSource(source: ByteSource, iterator?: Iterator<Uint8Array> | AsyncIterator<Uint8Array>): void {
  if (source instanceof Readable) source.on('error', () => {}).destroy();
  // Nothing awaits this: a generator that is stuck in its own wait returns only when that wait ends.
  else void Promise.resolve(iterator?.return?.()).catch(() => {});
}

// A promise of its own for each chunk: racing against one long-lived promise would keep every chunk in memory.
function nextOf(
  iterator: Iterator<Uint8Array> | AsyncIterator<Uint8Array>,
  { signal, pace }: ChunkOptions,
): Promise<IteratorResult<Uint8Array>> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = () => reject(signal?.reason);
    const sinceMs = performance.now();
    const timer = pace === undefined ? undefined : setTimeout(() => reject(new SlowError(pace.slowMs)), pace.leftMs);
    signal?.addEventListener('abort', onAbort, { once: true });
    // An async function, so that a synchronous iterator that throws rejects too.
    (async () => iterator.next())()
      .then((step) => {
        pace?.note(performance.now() - sinceMs, step.done === true ? 0 : step.value.length);
        resolve(step);
      }, reject)
      .finally(() => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
      });
  });
}
