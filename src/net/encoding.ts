import { isUtf8 } from 'node:buffer';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
// Imports by name fail to link on a Node.js without zstd, before the check of its version can refuse it.
import zlib from 'node:zlib';

interface Decoder {
  readonly decode: (bytes: Buffer, options: { readonly maxOutputLength: number }) => Promise<Buffer>;
  readonly stream: () => NodeJS.ReadWriteStream & Readable;
}

/** Content encodings that servers apply although no request of ours accepts one. */
const DECODERS: Readonly<Record<string, Decoder>> = {
  gzip: { decode: promisify(zlib.gunzip), stream: zlib.createGunzip },
  'x-gzip': { decode: promisify(zlib.gunzip), stream: zlib.createGunzip },
  deflate: {
    // Many servers leave out the zlib header.
    decode: (bytes, options) =>
      promisify(zlib.inflate)(bytes, options).catch(() => promisify(zlib.inflateRaw)(bytes, options)),
    stream: zlib.createInflate,
  },
  br: { decode: promisify(zlib.brotliDecompress), stream: zlib.createBrotliDecompress },
  zstd: { decode: promisify(zlib.zstdDecompress), stream: zlib.createZstdDecompress },
};
/** Words of servers that changed nothing: a charset in the wrong header, or how a part was sent. */
const UNCHANGED: ReadonlySet<string> = new Set([
  '',
  'identity',
  'none',
  'utf-8',
  'utf8',
  'binary',
  '8bit',
  'aws-chunked',
]);

/** Encodings of a body, the outermost first. */
function encodingsOf(header: string | undefined): readonly string[] {
  const names = (header ?? '').split(',').map((name) => name.trim().toLowerCase());
  return names.filter((name) => !UNCHANGED.has(name)).reverse();
}

/**
 * The decoded bytes of a body that is meant to be JSON. One that is not encoded as its header says, or in a way that is
 * not known, stays as it is when it begins as JSON does.
 * @param maxBytes - Longest result; a longer one rejects.
 * @throws Error for an encoding that is not known, damaged bytes, or too many.
 */
export async function decodeBody(bytes: Buffer, encoding: string | undefined, maxBytes: number): Promise<Buffer> {
  let decoded = bytes;
  for (const name of encodingsOf(encoding)) {
    // Compressed bytes may begin so as well, brotli's often with a bracket, and are no text.
    if (/^\s*[[{]/.test(decoded.toString('latin1', 0, 16)) && isUtf8(decoded)) break;
    const decoder = DECODERS[name];
    if (decoder === undefined) throw new Error(`the answer has the encoding ${name.slice(0, 20)}`);
    decoded = await decoder.decode(decoded, { maxOutputLength: maxBytes });
  }
  return decoded;
}

/**
 * The decoded stream of a body; undefined for an encoding that is not known. The reader
 * bounds its length.
 */
export function decodeStream(body: Readable, encoding: string | undefined): Readable | undefined {
  let decoded = body;
  for (const name of encodingsOf(encoding)) {
    const decoder = DECODERS[name]?.stream();
    if (decoder === undefined) return undefined;
    const source = decoded;
    source.on('error', (error) => decoder.destroy(error));
    decoder.on('close', () => source.destroy());
    decoded = source.pipe(decoder);
  }
  return decoded;
}
