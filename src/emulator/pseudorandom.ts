import { createHash } from 'node:crypto';

/** Returns an integer in 0..2^32-1 that is always the same for the same text. */
export function pseudorandomInteger(text: string): number {
  return createHash('sha256').update(text).digest().readUInt32BE();
}

/** Returns a fraction in 0..1 (exclusive) that is always the same for the same text. */
export function pseudorandomFraction(text: string): number {
  return pseudorandomInteger(text) / 2 ** 32;
}
