import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Readable } from 'node:stream';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import { type ByteSource, chunksOf, closeSource } from './chunks.js';

/** Limits of one spooling. */
export interface SpoolOptions {
  /** Ends the call with its reason, also while the source is silent. */
  readonly signal?: AbortSignal | undefined;
  /** Most bytes that are written; default: no limit. */
  readonly maxBytes?: number | undefined;
  /** Makes the error for a source that is longer; default: `ResultRejected`. */
  readonly tooLarge?: ((maxBytes: number) => Error) | undefined;
}

/** What lies in a spool file now. */
export interface Spooled {
  readonly bytes: number;
  /** SHA-256 (hex) of the whole file. */
  readonly sha256: string;
}

/**
 * Streams `source` into a new file, in constant memory; makes the folder when it is missing. The caller removes the
 * file.
 * @throws errors of the source, unchanged, and `signal.reason` on abort.
 * @throws {@link VideoError} `StoreUnavailable` (retryable) when the disk cannot take it.
 */
export async function spoolToFile(source: ByteSource, file: string, options: SpoolOptions = {}): Promise<Spooled> {
  const spool = await SpoolFile.create(file, options).catch((error: unknown) => {
    closeSource(source); // a file or a connection that nobody reads would stay open
    throw error;
  });
  try {
    for await (const chunk of chunksOf(source, options)) await spool.append(chunk);
    return spool.result();
  } finally {
    await spool.close();
  }
}

/** Each piece of a file takes a few turns through the thread pool; a put holds some of them at a time. */
const PIECE_BYTES = 256 * 1024;

/** A spool file once more, on its way into a store. */
export const readSpool = (file: string): Readable => createReadStream(file, { highWaterMark: PIECE_BYTES });

/** A file that is written from its beginning to its end and hashed on the way; it can be started over. */
export class SpoolFile {
  readonly #handle: FileHandle;
  readonly #options: SpoolOptions;
  #hash: Hash = createHash('sha256');
  #bytes = 0;

  private constructor(handle: FileHandle, options: SpoolOptions) {
    this.#handle = handle;
    this.#options = options;
  }

  /** Opens `file` for writing, empty; makes its folder when it is missing. */
  static async create(file: string, options: SpoolOptions = {}): Promise<SpoolFile> {
    return onDisk(async () => {
      await mkdir(dirname(file), { recursive: true });
      return new SpoolFile(await open(file, 'w'), options);
    });
  }

  /** Bytes written so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Writes and hashes one chunk. */
  async append(chunk: Uint8Array): Promise<void> {
    const { maxBytes = Number.POSITIVE_INFINITY, tooLarge = resultTooLarge } = this.#options;
    if (this.#bytes + chunk.length > maxBytes) throw tooLarge(maxBytes);
    this.#hash.update(chunk);
    await onDisk(async () => {
      for (let at = 0; at < chunk.length; ) {
        at += (await this.#handle.write(chunk, at, chunk.length - at, this.#bytes + at)).bytesWritten;
      }
    });
    this.#bytes += chunk.length;
  }

  /** Forgets everything written so far. */
  async restart(): Promise<void> {
    await onDisk(() => this.#handle.truncate(0));
    this.#hash = createHash('sha256');
    this.#bytes = 0;
  }

  /** Length and checksum; to be asked once, at the end. */
  result(): Spooled {
    return { bytes: this.#bytes, sha256: this.#hash.digest('hex') };
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

async function onDisk<T>(step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? 'unknown fault';
    throw new VideoError(FailureType.StoreUnavailable, `The spool folder cannot be written: ${code}`, {
      retryable: true,
      nextStep: 'Check the free space and the permissions of the temporary folder.',
      cause,
    });
  }
}

function resultTooLarge(maxBytes: number): VideoError {
  return new VideoError(FailureType.ResultRejected, `The result is larger than ${maxBytes} bytes`);
}

/** Length and checksum of a file that another program has written. */
export async function hashFile(file: string): Promise<Spooled> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of readSpool(file) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { bytes, sha256: hash.digest('hex') };
}
