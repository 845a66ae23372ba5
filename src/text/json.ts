/** Where a text stops being JSON (1-based), and what was expected there. */
export interface JsonFault {
  readonly line: number;
  readonly column: number;
  readonly expected: string;
}

/** One token of RFC 8259: punctuation, a string, a number or a word. */
const STRING = String.raw`"(?:[^"\\\p{Cc}]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*"`;
const NUMBER = String.raw`-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?`;
const TOKEN = new RegExp(String.raw`([{}[\],:])|${STRING}|${NUMBER}|true|false|null`, 'uy');
const SPACE = /[ \t\r\n]*/y;

/**
 * Finds the first fault of a text that `JSON.parse` refused. Its own messages do not always name a place, and quote the
 * text.
 * @returns `undefined` for JSON.
 */
export function jsonFault(text: string): JsonFault | undefined {
  const open: ('{' | '[')[] = [];
  const afterValue = (): string => (open.length === 0 ? 'the end' : open.at(-1) === '{' ? '"," or "}"' : '"," or "]"');
  let expected = 'a value';
  for (let at = 0; ; at = TOKEN.lastIndex) {
    SPACE.lastIndex = at;
    SPACE.exec(text);
    const start = SPACE.lastIndex;
    TOKEN.lastIndex = start;
    const token = start < text.length ? TOKEN.exec(text) : null;
    const next = token === null ? undefined : step(token[1] ?? (token[0].startsWith('"') ? '"' : '0'));
    if (next === undefined) return start === text.length && expected === 'the end' ? undefined : faultAt(start);
    expected = next;
  }

  /** What may follow `sign`; `undefined` when it is not allowed here. */
  function step(sign: string): string | undefined {
    const value = expected.startsWith('a value');
    if (sign === '"' && expected.startsWith('a name')) return '":"';
    if (sign === '"' || sign === '0') return value ? afterValue() : undefined;
    if (sign === ':') return expected === '":"' ? 'a value' : undefined;
    if (sign === ',')
      return expected.startsWith('","') ? (open.at(-1) === '{' ? 'a name in quotes' : 'a value') : undefined;
    if (sign === '{' || sign === '[') {
      if (!value) return undefined;
      open.push(sign);
      return sign === '{' ? 'a name in quotes or "}"' : 'a value or "]"';
    }
    if (!expected.endsWith(`"${sign}"`)) return undefined;
    open.pop();
    return afterValue();
  }

  function faultAt(offset: number): JsonFault {
    const before = text.slice(0, offset).split('\n');
    return { line: before.length, column: (before.at(-1) ?? '').length + 1, expected };
  }
}
