import { randomUUID } from 'node:crypto';

/** A change of a valid request that makes it one that was never valid. */
export interface HostileRequest {
  readonly what: string;
  /** The changed request; another one with each call. */
  change(valid: object): object;
  /** What the run's failure says. */
  readonly message: RegExp;
}

/** Nested as deep as JSON.parse goes without an error of its own. */
export const BRACKETS: unknown = JSON.parse(`${'['.repeat(3_000)}${']'.repeat(3_000)}`);

export const manyLabels = (count: number, length: number): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, n) => [`label-${n}`, 'x'.repeat(length)]));

/** A control character, a direction mark or half of a surrogate pair. */
const NO_TEXT = /holds a control character, a direction mark or half/;
/** Each is refused before anything is bought. */
const REFUSED: readonly (readonly [string, () => object, RegExp])[] = [
  ['a field with a name of 200 kB', () => ({ ['x'.repeat(200_000)]: 1 }), /^The request is invalid: x+… is not/],
  ['10,000 unknown fields', () => manyLabels(10_000, 1), /has 100\d\d fields/],
  ['labels of 3,000 bytes', () => ({ labels: manyLabels(30, 100) }), /labels has 3\d\d\d bytes/],
  ['10,000 labels', () => ({ labels: manyLabels(10_000, 1) }), /labels has 10000 labels/],
  ['1.9 MB', () => ({ extra: 'x'.repeat(1_900_000) }), /has 19\d+ bytes; at most 1048576/],
  ['a prompt of 1.9 MB', () => ({ prompt: 'x'.repeat(1_900_000) }), /has 19\d+ bytes; at most 1048576/],
  ['brackets in brackets', () => ({ prompt: BRACKETS }), /deep/],
  ['a deadline beyond all timers', () => ({ deadline_seconds: 1e300 }), /at most 2592000/],
  ['half a character', () => ({ tenant: 'a\ud800' }), NO_TEXT],
  ['NUL in its prompt', () => ({ prompt: 'a\0b' }), NO_TEXT],
  ['NUL in a label', () => ({ labels: { shot: '\0' } }), NO_TEXT],
  ['a direction mark in its tenant', () => ({ tenant: '\u202egnp' }), NO_TEXT],
  ['half a character in the name of a label', () => ({ labels: { '\ud800': 'x' } }), /has the name/],
  ['a label named __proto__', () => ({ labels: JSON.parse('{"__proto__":"x"}') }), /"__proto__"/],
  ['a field named __proto__', () => JSON.parse('{"__proto__":{"prompt":"x"}}'), /__proto__ is not a field/],
  ['a field named toString', () => ({ toString: 1 }), /toString is not a field/],
  ['a number whose toString is a number', () => ({ duration: { toString: 1 } }), /duration must be a number/],
  ['a tenant of 5,000 characters', () => ({ tenant: 'x'.repeat(5_000) }), /tenant must have at most/],
  ['a file of the worker as its image', () => ({ reference_image: 'file:///etc/passwd' }), /reference_image must be/],
];
export const HOSTILE_REQUESTS: readonly HostileRequest[] = REFUSED.map(([what, change, message]) => ({
  what,
  message,
  // Without a prototype a member named `__proto__` is one like every other.
  change: (valid) => Object.assign(Object.create(null), valid, { prompt: `hostile ${randomUUID()}` }, change()),
}));
