import zlib from 'node:zlib';
import { expect, test } from 'vitest';
import { decodeBody } from '../../src/net/encoding.js';

const MAX_BYTES = 4_000_000;
/** Brotli's form of the longest one begins with `[`. */
const TEXTS = [10, 1_000, 15_000].map((count) =>
  JSON.stringify({ data: Array.from({ length: count }, (_, at) => `t${at * 7919}`) }),
);

test.each(['br', 'gzip', 'deflate', 'zstd'])('a body in %s of any length is decoded', async (encoding) => {
  const encode = { br: zlib.brotliCompressSync, gzip: zlib.gzipSync, deflate: zlib.deflateSync };
  for (const text of TEXTS) {
    const encoded = (encode[encoding as 'br'] ?? zlib.zstdCompressSync)(Buffer.from(text));
    expect((await decodeBody(encoded, encoding, MAX_BYTES)).toString() === text).toBe(true);
    expect((await decodeBody(Buffer.from(text), encoding, MAX_BYTES)).toString() === text).toBe(true);
  }
});
