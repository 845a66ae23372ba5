import { isObject } from './wire.js';

/** A value that is written as this text, which need not be JSON. */
export class RawJson {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** A member that an object has twice, or an element that an array has twice. */
export class Duplicate {
  readonly first: unknown;
  readonly second: unknown;

  constructor(first: unknown, second: unknown) {
    this.first = first;
    this.second = second;
  }
}

/** Returns the text of a JSON value, in which an object may have a member twice and a value may be any text. */
export function writeJson(value: unknown): string {
  if (value instanceof RawJson) return value.text;
  if (value instanceof Duplicate) return writeJson(value.second); // A document cannot be there twice.
  if (Array.isArray(value)) return `[${value.flatMap(occurrences).map(writeJson).join(',')}]`;
  if (!isObject(value)) return JSON.stringify(value) ?? 'null';
  const members = Object.entries(value).flatMap(([name, member]) =>
    occurrences(member).map((each) => `${JSON.stringify(name)}:${writeJson(each)}`),
  );
  return `{${members.join(',')}}`;
}

function occurrences(value: unknown): unknown[] {
  return value instanceof Duplicate ? [value.first, value.second] : [value];
}
