import { bytesOf, ID_BYTES_MAX } from '../../src/contract/bounds.js';
import { cleanText } from '../../src/contract/safe-text.js';

// Checks that the guards of messages are made of. A message may come from any program that may signal the workflow.

/** The fields of a value whose types are not known. */
type Fields = Readonly<Record<string, unknown>>;

/** The fields of a value; none if it is not an object. */
export const fieldsOf = (value: unknown): Fields => (isObject(value) ? value : {});

export const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);

/**
 * Whether a value is text of the length of an id that UTF-8 can hold: a command with half of a surrogate pair cannot be
 * sent.
 */
export const isText = (value: unknown): value is string =>
  typeof value === 'string' &&
  value.length <= ID_BYTES_MAX &&
  bytesOf(value) <= ID_BYTES_MAX &&
  !/\p{Surrogate}/u.test(value);

/** Whether a value is text that can be an id. */
export const isName = (value: unknown): value is string => isText(value) && value !== '';

/** Whether a value is a purchase key: a SHA-256 in hexadecimal digits, which is part of names in the store. */
export const isPurchaseKey = (value: unknown): value is string =>
  typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);

/** Whether a value is an id that can be shown as it is. */
export const isPlainName = (value: unknown): value is string => isName(value) && cleanText(value) === value;

export const isTextOrNull = (value: unknown): value is string | null => value === null || isText(value);

/** Whether a value is a whole number that is not negative, and exact. */
export const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** Whether a value is a number that is not negative, and not too large to be exact. */
export const isAmount = (value: unknown): value is number =>
  typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER;
