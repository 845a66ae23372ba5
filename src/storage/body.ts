import { createHash } from 'node:crypto';
import { PassThrough, type Readable } from 'node:stream';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import type { ByteStream, PutOptions } from './asset-store.js';

type BodyOptions = Pick<PutOptions, 'sha256' | 'bytes' | 'signal'>;

/**
 * A body on its way into a store. It counts and hashes what passes, ends with an error when that is not what was
 * announced, and ends with the signal's reason at once, also while its source is silent.
 */
export class VerifyingStream implements AsyncIterable<Uint8Array> {
  /** The error of the body itself, as opposed to a fault of the store. */
  fault: { readonly error: unknown } | undefined;
  readonly #key: string;
  readonly #body: ByteStream;
  readonly #options: BodyOptions;

  constructor(key: string, body: ByteStream, options: BodyOptions) {
    this.#key = key;
    this.#body = body;
    this.#options = options;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      yield* this.#verified();
    } catch (error) {
      this.fault = { error };
      throw error;
    }
  }

  async *#verified(): AsyncGenerator<Uint8Array> {
    const { sha256, bytes, signal } = this.#options;
    const hash = sha256 === undefined ? undefined : createHash('sha256');
    let seen = 0;
    for await (const chunk of this.#body instanceof Uint8Array ? [this.#body] : abortable(this.#body, signal)) {
      seen += chunk.length;
      if (bytes !== undefined && seen > bytes) throw this.#mismatch(`is longer than the ${bytes} bytes announced`);
      hash?.update(chunk);
      yield chunk;
    }
    if (bytes !== undefined && seen < bytes) throw this.#mismatch(`ended after ${seen} of ${bytes} bytes`);
    if (hash !== undefined && hash.digest('hex') !== sha256) throw this.#mismatch('has another SHA-256 than announced');
  }

  #mismatch(fault: string): VideoError {
    // Retryable: a repeated put reads its source again, and a source that really changed fails again.
    return new VideoError(FailureType.StoreUnavailable, `The body for ${this.#key} ${fault}; nothing was stored`, {
      retryable: true,
      code: 'BodyMismatch',
    });
  }
}

/** Iterates `body` until the signal aborts. A `for await` alone would wait for a silent source for ever. */
async function* abortable(
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const iterator = body[Symbol.asyncIterator]();
  let done = false;
  try {
    while (true) {
      const step = await nextUnlessAborted(iterator, signal);
      if (step.done) {
        done = true;
        return;
      }
      yield step.value;
    }
  } finally {
    // Not awaited: the iterator of a silent source returns only after its pending step.
    if (!done) void iterator.return?.().catch(() => undefined);
  }
}

function nextUnlessAborted<T>(iterator: AsyncIterator<T>, signal: AbortSignal | undefined): Promise<IteratorResult<T>> {
  if (signal === undefined) return iterator.next();
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    iterator
      .next()
      .then(resolve, reject)
      .finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/**
 * Forwards a store's own stream to the caller: its faults become `toError(fault)`, an abort ends it with the signal's
 * reason, and the source is closed as soon as the reader is done with it.
 */
export function forwardStream(source: Readable, toError: (cause: unknown) => Error, signal?: AbortSignal): Readable {
  const onAbort = () => out.destroy(signal?.reason);
  const out = new PassThrough({
    destroy(error, done) {
      signal?.removeEventListener('abort', onAbort);
      source.destroy();
      done(error);
    },
  });
  // The reader receives the error in any case. Until there is one, as while an upload connects, an error without a
  // listener would end the process.
  out.on('error', () => undefined);
  source.on('error', (cause) => out.destroy(toError(cause)));
  source.on('close', () => {
    if (!source.readableEnded) out.destroy(toError(new Error('the stream was closed in the middle of the object')));
  });
  if (signal?.aborted) out.destroy(signal.reason);
  else signal?.addEventListener('abort', onAbort, { once: true });
  return source.pipe(out);
}
