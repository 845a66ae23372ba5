import type { ProviderOperation } from './errors.js';

/** One field of an answer that is not as documented. Carries the value's type and never the value. */
export interface Oddity {
  readonly operation: ProviderOperation;
  /** Its documented path, such as `usage.SR`. */
  readonly field: string;
  /** The kind of value found there, such as `array` or `text`. */
  readonly found: string;
}

/** Longest texts that are taken from an answer, in characters; longer values are cut or count as unreadable. */
const TEXT_MAX = 2_000;
/** Real ids are UUIDs of 36 characters. */
const ID_MAX = 200;
/** Real links have some 300 characters. */
const URL_MAX = 8_192;
/** Provider times are read as epoch milliseconds between 2020 and 2100, or as seconds in the same span. */
const EPOCH_MS = [1_577_836_800_000, 4_102_444_800_000] as const;

/**
 * Reads an answer of the provider field by field. A field that cannot be read is absent and is noted as an
 * {@link Oddity}; it never makes another field unreadable. Names match without regard to case, `_` and `-`, and a
 * value in an array of its own counts as the value.
 */
export class AnswerReader {
  readonly #operation: ProviderOperation;
  readonly #value: unknown;
  readonly #path: string;
  readonly #oddities: Oddity[];

  constructor(operation: ProviderOperation, value: unknown, path = '', oddities: Oddity[] = []) {
    this.#operation = operation;
    this.#path = path;
    this.#oddities = oddities;
    this.#value = path === '' ? this.#unwrap(value) : value;
  }

  /** Every oddity found so far, by this reader and by those that it made. */
  get oddities(): readonly Oddity[] {
    return this.#oddities;
  }

  /** Whether a value is there at all, readable or not. */
  has(name: string): boolean {
    return this.#find(name) != null;
  }

  /** The object in a field, also as the text of one; a reader of nothing when it is absent or no object. */
  object(name: string): AnswerReader {
    const found = this.#find(name);
    const value = structureOf(found);
    const readable = typeof value === 'object' && value !== null;
    if (found != null && !(readable && value === found)) this.note(name, found);
    return new AnswerReader(this.#operation, readable ? value : undefined, this.#at(name), this.#oddities);
  }

  /** One reader per element of a list, also of the text of one; undefined when it is absent or no list. */
  list(name: string): readonly AnswerReader[] | undefined {
    const found = field(this.#value, name);
    if (found == null) return undefined;
    const value = structureOf(found);
    if (value !== found || !Array.isArray(value)) this.note(name, found);
    if (!Array.isArray(value)) return undefined;
    const path = `${this.#at(name)}[]`;
    return value.map((element) => new AnswerReader(this.#operation, element, path, this.#oddities));
  }

  /** A text, cut to 2,000 characters; a number counts as its digits. Empty texts are absent. */
  text(name: string): string | undefined {
    return this.whole(name, Number.POSITIVE_INFINITY)?.slice(0, TEXT_MAX);
  }

  /** A text that is of no use when it is cut: one above `max` characters is unreadable. */
  whole(name: string, max: number): string | undefined {
    const value = this.#find(name);
    if (typeof value === 'number' && Number.isFinite(value)) return String(value);
    if (typeof value === 'string' && value.length <= max) return value === '' ? undefined : value;
    return this.#unreadable(name, value);
  }

  /**
   * A text that is compared with ours, cut to 2,000 characters. A number in its place is unreadable: taken as its
   * digits it would be another text, and prove what it does not.
   */
  words(name: string): string | undefined {
    const value = this.#find(name);
    return typeof value === 'string' ? this.text(name) : this.#unreadable(name, value);
  }

  /** What a person is meant to read: a text, or any other value as JSON, cut to 2,000 characters. */
  prose(name: string): string | undefined {
    const value = this.#find(name);
    if (value == null || typeof value !== 'object') return this.text(name);
    const json = jsonOf(value);
    if (json === undefined) this.note(name, value);
    // Something was said: an empty list with a message is no list.
    return json?.slice(0, TEXT_MAX) ?? 'a value that is nested too deeply to be shown';
  }

  /** An identifier: a text of at most 200 printable characters without space, or a whole number from 1. */
  id(name: string): string | undefined {
    const value = this.#find(name);
    // 0 is what a text becomes that was converted; a number that is not exact names another thing.
    if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return String(value);
    if (value === '') return undefined;
    if (typeof value === 'string' && value.length <= ID_MAX && /^[\x21-\x7e]+$/.test(value.trim())) return value.trim();
    return this.#unreadable(name, value);
  }

  /** An http(s) address of at most 8,192 characters, also without its scheme or escaped as in HTML. */
  url(name: string): string | undefined {
    const value = this.#find(name);
    if (value === '') return undefined;
    if (typeof value === 'string' && value.length <= URL_MAX) {
      const text = value.trim().replaceAll('&amp;', '&').replace(WITHOUT_SCHEME, 'https://$1');
      if (text !== value.trim()) this.note(name, value);
      if (/^https?:\/\//i.test(text) && URL.canParse(text)) return text;
    }
    return this.#unreadable(name, value);
  }

  /** A finite number of at least `min` and at most `max`, also as text. */
  number(name: string, min = 0, max = Number.MAX_SAFE_INTEGER): number | undefined {
    const value = this.#find(name);
    const number = numberOf(value);
    if (number !== undefined && number >= min && number <= max) return number;
    return this.#unreadable(name, value);
  }

  /** A yes or no, also as the texts `true` and `false`. */
  boolean(name: string): boolean | undefined {
    const value = this.#find(name);
    if (typeof value === 'boolean') return value;
    if (typeof value === 'string' && /^(true|false)$/i.test(value.trim())) return value.trim().toLowerCase() === 'true';
    return this.#unreadable(name, value);
  }

  /** A moment in epoch milliseconds: the provider's local form (UTC+8), ISO 8601 with a zone, or a Unix time. */
  time(name: string): number | undefined {
    const value = this.#find(name);
    if (value === '' || value === 0) return undefined;
    const atMs = timeOf(value);
    return atMs ?? this.#unreadable(name, value);
  }

  /** The same, except that the provider's local form counts as unreadable: where UTC is documented it may be UTC. */
  zonedTime(name: string): number | undefined {
    const value = this.#find(name);
    if (typeof value === 'string' && parseProviderTime(value.trim()) !== undefined) {
      return this.#unreadable(name, value);
    }
    return this.time(name);
  }

  /** Notes that a field is not as documented, also one that is missing. */
  note(name: string, value: unknown): void {
    const found = kindOf(value);
    const oddity = { operation: this.#operation, field: this.#at(name), found };
    if (!this.#oddities.some((known) => known.field === oddity.field && known.found === found)) {
      this.#oddities.push(oddity);
    }
  }

  /** The answer itself, which may be the text of one, or lie in a list of its own. */
  #unwrap(answer: unknown): unknown {
    const structure = structureOf(answer);
    const value = Array.isArray(structure) && isOneValue(structure) ? structure[0] : structure;
    if (value !== answer) this.note('answer', answer);
    return value;
  }

  #unreadable(name: string, value: unknown): undefined {
    if (value != null) this.note(name, value);
    return undefined;
  }

  #find(name: string): unknown {
    const value = field(this.#value, name);
    return Array.isArray(value) && isOneValue(value) ? value[0] : value;
  }

  #at(name: string): string {
    return this.#path === '' ? name : `${this.#path}.${name}`;
  }
}

/** The beginning of an address without its scheme: two slashes, or a host with a dot and a path. */
const WITHOUT_SCHEME = /^(?:\/\/)?([a-z\d-]+(?:\.[a-z\d-]+)+(?::\d{1,5})?\/)/i;

/** Longest list that may be one value, repeated. */
const REPEATS_MAX = 4;

/** Whether a list holds one value, once or repeated. */
function isOneValue(list: readonly unknown[]): boolean {
  if (list.length === 0 || list.length > REPEATS_MAX) return false;
  if (list.length === 1) return true;
  const first = jsonOf(list[0]);
  return first !== undefined && list.every((one) => jsonOf(one) === first);
}

/** A value as JSON; undefined when it is nested deeper than the stack, which JSON that comes from outside may be. */
function jsonOf(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
}

/** Members that are looked at for a name in another spelling; a documented answer has some ten. */
const MEMBERS_MAX = 100;

/** A field of a value that came from outside: by its exact name, else by its letters and digits. */
function field(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  if (Object.hasOwn(value, name)) return Reflect.get(value, name);
  const wanted = bareName(name);
  const key = Object.keys(value)
    .slice(0, MEMBERS_MAX)
    .find((member) => member.length <= 2 * name.length && bareName(member) === wanted);
  return key === undefined ? undefined : Reflect.get(value, key);
}

/** The object or list that a text spells in JSON; any other value as it is. */
function structureOf(value: unknown): unknown {
  if (typeof value !== 'string' || !/^\s{0,9}[[{]/.test(value)) return value;
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}

const bareName = (name: string): string => name.replace(/[_-]/g, '').toLowerCase();

function numberOf(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isFinite(value) ? value : undefined;
  if (typeof value !== 'string' || !/^\s{0,9}[+-]?\d{1,20}(?:\.\d{1,20})?\s{0,9}$/.test(value)) return undefined;
  return Number(value);
}

function timeOf(value: unknown): number | undefined {
  const number = numberOf(value);
  if (number !== undefined) {
    const atMs = number < EPOCH_MS[0] ? number * 1000 : number;
    return atMs >= EPOCH_MS[0] && atMs <= EPOCH_MS[1] ? atMs : undefined;
  }
  if (typeof value !== 'string' || value.length > 40) return undefined;
  return parseProviderTime(value.trim()) ?? parseZonedTime(value.trim());
}

/** Reads `YYYY-MM-DD HH:mm:ss[.SSS]`, which the provider writes in UTC+8 without saying so. */
export function parseProviderTime(value: string | undefined): number | undefined {
  const match = /^(\d{4}-\d{2}-\d{2})[ T](\d{2}:\d{2}:\d{2})(\.\d{1,3})?\d{0,6}$/.exec(value ?? '');
  if (match === null) return undefined;
  const atMs = Date.parse(`${match[1]}T${match[2]}${match[3] ?? ''}+08:00`);
  return Number.isNaN(atMs) ? undefined : atMs;
}

function parseZonedTime(value: string): number | undefined {
  if (!/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:?\d{2})$/i.test(value)) return undefined;
  const atMs = Date.parse(value);
  return Number.isNaN(atMs) ? undefined : atMs;
}

function kindOf(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return typeof value === 'string' ? 'text' : typeof value;
}
