import { LIMITS } from '../contract/model.js';
import type { Issue } from '../contract/video-error.js';

/** What is wrong with a number of takes. */
export function takesFault(takes: unknown): string | undefined {
  const isNumber = Number.isInteger(takes) && Number(takes) >= 1 && Number(takes) <= LIMITS.takesMax;
  return isNumber ? undefined : `must be a whole number from 1 to ${LIMITS.takesMax}`;
}

/**
 * The seeds of several videos of one request: counted up from its own seed, or from 1, so that the same request always
 * has the same takes and finds them again.
 * @param seed - As the request gives it; its own check reports what is no seed.
 */
export function seedsOfTakes(seed: unknown, takes: number): number[] {
  const first = typeof seed === 'number' && Number.isInteger(seed) && seed >= 0 ? seed : 1;
  return Array.from({ length: takes }, (_, take) => (first + take) % (LIMITS.seedMax + 1));
}

/** One line of a manifest for each take; a line without `takes` as it is. */
export function linesOfTakes(
  fields: Readonly<Record<string, unknown>>,
  itemId: unknown,
): readonly (readonly [itemId: unknown, fields: Readonly<Record<string, unknown>>])[] | Issue {
  const { takes, ...line } = fields;
  if (takes === undefined || takes === null) return [[itemId, line]];
  const message = takesFault(takes);
  if (message !== undefined) return { path: 'takes', message };
  const digits = String(takes).length;
  return seedsOfTakes(line['seed'], Number(takes)).map((seed, take) => [
    typeof itemId === 'string' ? `${itemId}-${String(take + 1).padStart(digits, '0')}` : itemId,
    { ...line, seed },
  ]);
}
