import { createHash } from 'node:crypto';
import { mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Readable } from 'node:stream';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';

/** Bytes that come one after the other. */
export type ByteSource = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/** Limits of one spooling. */
export interface SpoolOptions {
  /** Ends the call with its reason, also while the source is silent. */
  readonly signal?: AbortSignal | undefined;
  /** Most bytes that are written; default: no limit. */
  readonly maxBytes?: number | undefined;
  /** The error for a source that is longer; default: `ResultRejected`. */
  readonly tooLarge?: ((maxBytes: number) => Error) | undefined;
}

/** What lies in the file now: its length in bytes and its SHA-256 (hex). */
export interface Spooled {
  readonly bytes: number;
  readonly sha256: string;
}

/**
 * Streams `source` into a new file, in constant memory; makes the folder when it is missing. The caller removes the file.
 * @throws whatever the source throws, unchanged, and `signal.reason` on abort.
 * @throws {@link VideoError} `StoreUnavailable` (retryable) when the disk cannot take it.
 */
export async function spoolToFile(source: ByteSource, file: string, options: SpoolOptions = {}): Promise<Spooled> {
  const { signal, maxBytes = Number.POSITIVE_INFINITY, tooLarge = resultTooLarge } = options;
  const handle = await onDisk(async () => {
    await mkdir(dirname(file), { recursive: true });
    return open(file, 'w');
  });
  const hash = createHash('sha256');
  let bytes = 0;
  try {
    for await (const chunk of untilAborted(source, signal)) {
      bytes += chunk.length;
      if (bytes > maxBytes) throw tooLarge(maxBytes);
      hash.update(chunk);
      await onDisk(() => handle.writeFile(chunk));
    }
  } finally {
    await handle.close();
  }
  return { bytes, sha256: hash.digest('hex') };
}

/** The chunks of `source`; an abort ends the wait for the next one at once and destroys a stream. */
export async function* untilAborted(source: ByteSource, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  signal?.throwIfAborted();
  const iterator =
    Symbol.asyncIterator in source
      ? source[Symbol.asyncIterator]()
      : (source as Iterable<Uint8Array>)[Symbol.iterator]();
  let onAbort = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
  aborted.catch(() => {}); // it may come when nobody waits any more
  let ended = false;
  try {
    for (;;) {
      const step = await Promise.race([iterator.next(), aborted]);
      if (step.done === true) {
        ended = true;
        return;
      }
      yield step.value;
    }
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw error;
  } finally {
    signal?.removeEventListener('abort', onAbort);
    if (!ended) {
      if (source instanceof Readable) source.on('error', () => {}).destroy();
      // Not awaited: a generator that is stuck in its own wait answers a return only when that ends.
      else void Promise.resolve(iterator.return?.()).catch(() => {});
    }
  }
}

async function onDisk<T>(step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? 'unknown';
    throw new VideoError(FailureType.StoreUnavailable, `The worker's spool folder cannot be written: ${code}`, {
      retryable: true,
      nextStep: 'Check the free space and the permissions of the temporary folder on the worker.',
      cause,
    });
  }
}

function resultTooLarge(maxBytes: number): VideoError {
  return new VideoError(FailureType.ResultRejected, `The result is larger than ${maxBytes} bytes`);
}
