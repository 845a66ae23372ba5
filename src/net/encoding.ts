import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { brotliDecompress, createBrotliDecompress, createGunzip, createInflate, gunzip, inflate } from 'node:zlib';

interface Decoder {
  readonly decode: (bytes: Buffer, options: { readonly maxOutputLength: number }) => Promise<Buffer>;
  readonly stream: () => NodeJS.ReadWriteStream & Readable;
}

/** Content encodings that servers apply although no request of ours accepts one. */
const DECODERS: Readonly<Record<string, Decoder>> = {
  gzip: { decode: promisify(gunzip), stream: createGunzip },
  'x-gzip': { decode: promisify(gunzip), stream: createGunzip },
  deflate: { decode: promisify(inflate), stream: createInflate },
  br: { decode: promisify(brotliDecompress), stream: createBrotliDecompress },
};

const isIdentity = (encoding: string | undefined): boolean =>
  encoding === undefined || encoding === '' || encoding.toLowerCase() === 'identity';

/**
 * The decoded bytes of a body.
 * @param maxBytes - Longest result; a longer one rejects.
 * @throws Error for an encoding that is not known, damaged bytes, or too many.
 */
export async function decodeBody(bytes: Buffer, encoding: string | undefined, maxBytes: number): Promise<Buffer> {
  if (isIdentity(encoding)) return bytes;
  const decoder = DECODERS[(encoding ?? '').toLowerCase()];
  if (decoder === undefined) throw new Error(`the answer has the encoding ${(encoding ?? '').slice(0, 20)}`);
  return decoder.decode(bytes, { maxOutputLength: maxBytes });
}

/**
 * The decoded stream of a body; undefined for an encoding that is not known. The reader
 * bounds its length.
 */
export function decodeStream(body: Readable, encoding: string | undefined): Readable | undefined {
  if (isIdentity(encoding)) return body;
  const decoder = DECODERS[(encoding ?? '').toLowerCase()]?.stream();
  if (decoder === undefined) return undefined;
  body.on('error', (error) => decoder.destroy(error));
  decoder.on('close', () => body.destroy());
  return body.pipe(decoder);
}
