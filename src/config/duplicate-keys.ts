import type { Issue } from '../contract/video-error.js';

interface Level {
  /** Undefined in an array, whose elements have no names. */
  readonly names: Set<string> | undefined;
  name: string;
  isNameNext: boolean;
}

/**
 * Finds names that occur twice in one object of a JSON text. A parser silently takes the last one, and nobody means a
 * limit that a later line overrules.
 * @param text - Valid JSON.
 */
export function findDuplicateKeys(text: string): Issue[] {
  const issues = new Map<string, Issue>();
  const levels: Level[] = [];
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\],]/g)) {
    const level = levels.at(-1);
    if (token === '{' || token === '[') {
      levels.push({ names: token === '{' ? new Set() : undefined, name: '', isNameNext: token === '{' });
    } else if (token === '}' || token === ']') {
      levels.pop();
    } else if (level?.names === undefined) {
      // an element of an array
    } else if (token === ',') {
      level.isNameNext = true;
    } else if (level.isNameNext) {
      level.isNameNext = false;
      level.name = JSON.parse(token) as string;
      const path = levels.map(({ name }) => name).join('.');
      if (level.names.has(level.name)) issues.set(path, { path, message: 'occurs more than once' });
      level.names.add(level.name);
    }
  }
  return [...issues.values()];
}
