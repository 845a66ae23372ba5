import { createHash } from 'node:crypto';
import { PassThrough, type Readable } from 'node:stream';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import type { ByteStream, PutOptions } from './asset-store.js';

/** A body on its way into a store: counts and hashes what passes, and ends with an error when it is not what was announced. */
export class CheckedBody implements AsyncIterable<Uint8Array> {
  /** The error that the body itself ended with, as opposed to one of the store. */
  fault: { readonly error: unknown } | undefined;
  readonly #key: string;
  readonly #body: ByteStream;
  readonly #expected: Pick<PutOptions, 'sha256' | 'bytes'>;

  constructor(key: string, body: ByteStream, expected: Pick<PutOptions, 'sha256' | 'bytes'>) {
    this.#key = key;
    this.#body = body;
    this.#expected = expected;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      yield* this.#checked();
    } catch (error) {
      this.fault = { error };
      throw error;
    }
  }

  async *#checked(): AsyncGenerator<Uint8Array> {
    const { sha256, bytes } = this.#expected;
    const hash = sha256 === undefined ? undefined : createHash('sha256');
    let seen = 0;
    for await (const chunk of this.#body instanceof Uint8Array ? [this.#body] : this.#body) {
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

/**
 * Passes a store's own stream on to the caller: its faults become `toError(fault)`, an abort ends it with the signal's reason,
 * and the source is closed whenever the reader is done with it.
 */
export function passBody(source: Readable, toError: (cause: unknown) => Error, signal?: AbortSignal): Readable {
  const onAbort = () => out.destroy(signal?.reason);
  const out = new PassThrough({
    destroy(error, done) {
      signal?.removeEventListener('abort', onAbort);
      source.destroy();
      done(error);
    },
  });
  source.on('error', (cause) => out.destroy(toError(cause)));
  source.on('close', () => {
    if (!source.readableEnded) out.destroy(toError(new Error('the connection was closed in the middle of the object')));
  });
  if (signal?.aborted) out.destroy(signal.reason);
  else signal?.addEventListener('abort', onAbort, { once: true });
  return source.pipe(out);
}
