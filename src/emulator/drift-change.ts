import { z } from 'zod';
import { isPath, JsonDocument, type Place, removeValue, renameMember, setValue, valueAt } from './json-path.js';
import { Duplicate, RawJson, writeJson } from './json-text.js';
import { pseudorandomInteger } from './pseudorandom.js';

/** Type of JSON value. */
type JsonType = 'text' | 'number' | 'boolean' | 'null' | 'object' | 'list';

/** Spelling of a name or a word. */
type LetterCase = 'upper' | 'lower' | 'camel' | 'pascal' | 'snake' | 'kebab';

/** Kind of change, with the fields that it reads. */
type ChangeKind =
  /** Removes the value. */
  | { kind: 'delete' }
  /** Sets any value and creates what the path lacks. */
  | { kind: 'set'; value?: unknown }
  /** Writes a text in place of the value, such as `1e400`; it need not be JSON. */
  | { kind: 'raw'; json: string }
  /** Converts the value; a text that is no number becomes 0, and any value an empty object or list. */
  | { kind: 'retype'; to: JsonType }
  /** Spells the name of a member, a text, or both in another way. */
  | { kind: 'recase'; name?: LetterCase | undefined; value?: LetterCase | undefined }
  /** Gives a member another name in the same object. */
  | { kind: 'rename'; to: string }
  /** Moves the value to another path and creates what that path lacks. */
  | { kind: 'move'; to: string }
  /** Wraps the value in a list or, with a name, in an object that has this one member. */
  | { kind: 'nest'; name?: string | undefined }
  /** Replaces a value by a list of it, and a list by one with its elements, this many times; default 2. */
  | { kind: 'repeat'; times?: number | undefined }
  /** Writes the name twice: with the value, and with another one (default: the same) after it, or before it. */
  | { kind: 'duplicate'; value?: unknown; first?: boolean | undefined }
  /** Adds to a number, or milliseconds to a time in the provider's form. */
  | { kind: 'shift'; by: number }
  /** Replaces a part of a text wherever it occurs. */
  | { kind: 'replace'; find: string; with: string }
  /** Repeats a text up to this many characters. */
  | { kind: 'lengthen'; to: number }
  /** Does one of the other changes to one value below the path; the emulator's seed chooses both. */
  | { kind: 'any' };

/** A change of an answer's JSON. Where there is nothing at the path, only `set` has an effect. */
export type DriftChange = ChangeKind & {
  /** Such as `output.results[0].url`, `data[*].status` or `data[task_id=x].status`; default: the whole answer. */
  path?: string | undefined;
};

const path = z.string().refine(isPath, 'not a path such as output.results[0].url, data[*].status or data[status=x]');
const letterCase = z.enum(['upper', 'lower', 'camel', 'pascal', 'snake', 'kebab']).optional();

function kind<K extends string, S extends z.ZodRawShape>(name: K, fields: S) {
  return z.strictObject({ kind: z.literal(name), path: path.optional(), ...fields });
}

export const driftChange: z.ZodType<DriftChange> = z.discriminatedUnion('kind', [
  kind('delete', {}),
  kind('set', { value: z.unknown() }),
  kind('raw', { json: z.string() }),
  kind('retype', { to: z.enum(['text', 'number', 'boolean', 'null', 'object', 'list']) }),
  kind('recase', { name: letterCase, value: letterCase }),
  kind('rename', { to: z.string().min(1) }),
  kind('move', { to: path.min(1) }),
  kind('nest', { name: z.string().min(1).optional() }),
  kind('repeat', { times: z.int().positive().optional() }),
  kind('duplicate', { value: z.unknown().optional(), first: z.boolean().optional() }),
  kind('shift', { by: z.number() }),
  kind('replace', { find: z.string().min(1), with: z.string() }),
  kind('lengthen', { to: z.int().positive() }),
  kind('any', {}),
]);

/** Changes from which `any` chooses: each leaves the other values as they are. */
const ANY_CHANGES: readonly ChangeKind[] = [
  { kind: 'delete' },
  ...(['text', 'number', 'boolean', 'null', 'object', 'list'] as const).map((to) => ({ kind: 'retype', to }) as const),
  ...(['upper', 'lower', 'camel'] as const).map((name) => ({ kind: 'recase', name }) as const),
  ...(['upper', 'lower'] as const).map((value) => ({ kind: 'recase', value }) as const),
  { kind: 'nest' },
  { kind: 'nest', name: 'value' },
  { kind: 'repeat' },
  { kind: 'duplicate' },
  { kind: 'duplicate', value: null },
];

/**
 * Returns the JSON text of an answer after changes; undefined when they deleted it.
 * @param seed - text that determines what `any` chooses.
 */
export function writeChanged(answer: unknown, changes: readonly DriftChange[], seed: string): string | undefined {
  const document = new JsonDocument(structuredClone(answer));
  for (const [index, change] of changes.entries()) {
    const at = change.path ?? '';
    if (change.kind === 'set') document.set(at, structuredClone(change.value ?? null));
    else if (change.kind === 'any') applyAny(document, at, `${seed}:${index}`);
    else for (const place of document.find(at)) applyChange(change, place, document);
  }
  return document.isAbsent ? undefined : writeJson(document.value);
}

function applyAny(document: JsonDocument, path: string, seed: string): void {
  const places = document.findInside(path);
  const place = places[pseudorandomInteger(`${seed}:place`) % places.length];
  const change = ANY_CHANGES[pseudorandomInteger(`${seed}:change`) % ANY_CHANGES.length];
  if (place !== undefined && change !== undefined) applyChange(change, place, document);
}

function applyChange(change: ChangeKind, place: Place, document: JsonDocument): void {
  const value = valueAt(place);
  switch (change.kind) {
    case 'delete':
      removeValue(place);
      break;
    case 'move':
      removeValue(place);
      document.set(change.to, value);
      break;
    case 'rename':
      renameMember(place, change.to);
      break;
    case 'recase':
      if (change.value !== undefined) setValue(place, changedValue(change, value));
      if (change.name !== undefined) renameMember(place, recased(place.key, change.name));
      break;
    default:
      setValue(place, changedValue(change, value));
  }
}

/** Returns what a change makes of a value alone. */
function changedValue(change: ChangeKind, value: unknown): unknown {
  switch (change.kind) {
    case 'raw':
      return new RawJson(change.json);
    case 'retype':
      return retyped(value, change.to);
    case 'recase':
      return typeof value === 'string' && change.value !== undefined ? recased(value, change.value) : value;
    case 'nest':
      return change.name === undefined ? [value] : { [change.name]: value };
    case 'repeat': {
      const elements = Array.isArray(value) ? value : [value];
      return Array.from({ length: change.times ?? 2 }, () => structuredClone(elements)).flat();
    }
    case 'duplicate': {
      const other = 'value' in change ? change.value : value;
      return change.first === true ? new Duplicate(other, value) : new Duplicate(value, other);
    }
    case 'shift':
      return shifted(value, change.by);
    case 'replace':
      return typeof value === 'string' ? value.replaceAll(change.find, () => change.with) : value;
    case 'lengthen': {
      const text = toText(value);
      return text.padEnd(change.to, text || ' ');
    }
    default: // The others do not change the value, or change the whole document.
      return value;
  }
}

function retyped(value: unknown, type: JsonType): unknown {
  switch (type) {
    case 'text':
      return toText(value);
    case 'number': {
      const number = Number(value);
      return Number.isFinite(number) ? number : 0;
    }
    case 'boolean':
      return Boolean(value);
    case 'null':
      return null;
    case 'object':
      return {};
    case 'list':
      return [];
  }
}

function toText(value: unknown): string {
  return typeof value === 'string' ? value : writeJson(value);
}

function recased(text: string, letterCase: LetterCase): string {
  if (letterCase === 'upper') return text.toUpperCase();
  if (letterCase === 'lower') return text.toLowerCase();
  // A run of capitals is one word: SR, POST-PROCESSING.
  const words = (text.match(/[A-Z]?[a-z\d]+|[A-Z\d]+/g) ?? [text]).map((word) => word.toLowerCase());
  if (letterCase === 'snake' || letterCase === 'kebab') return words.join(letterCase === 'snake' ? '_' : '-');
  const capitalized = words.map((word) => word.charAt(0).toUpperCase() + word.slice(1));
  if (letterCase === 'camel') capitalized[0] = words[0] ?? '';
  return capitalized.join('');
}

/** A time of a query's answer. */
const TIME = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d\.\d{3})$/;

function shifted(value: unknown, by: number): unknown {
  // Ten decimals hide the noise of binary fractions: 4 + 0.04 is written as 4.04.
  if (typeof value === 'number') return Number((value + by).toFixed(10));
  const [, day, time] = (typeof value === 'string' && TIME.exec(value)) || [];
  if (day === undefined) return value;
  return new Date(Date.parse(`${day}T${time}Z`) + by).toISOString().replace('T', ' ').replace('Z', '');
}
