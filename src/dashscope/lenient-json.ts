/** A text, a bracket, a run of what lies between them, or the beginning of a text that does not end. */
const TOKENS = /"[^"\\]*(?:\\[\s\S][^"\\]*)*"|[{}[\]]|[^"{}[\]]+|"/g;
/** Words that other languages write, which JSON does not have. */
const FOREIGN_WORDS = /[-+]?\b(?:NaN|nan|Infinity|inf|undefined|None)\b/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON must escape exactly these.
const CONTROL = /[\0-\x1f]/g;

/**
 * Reads JSON that is not quite valid: with a byte order mark, words such as `NaN`, commas before a closing bracket,
 * control characters in a text, or something behind the value. A foreign word is read as an empty object, so that the
 * field that has it is unreadable and no other one is: as a text it would be a task's id, or another prompt than the
 * one that was sent. A text that is cut off is not JSON.
 * @returns undefined for a text that is not JSON.
 */
export function parseLenientJson(text: string): unknown {
  const plain = text.replace(/^\ufeff/, '');
  const strict = parse(plain);
  return strict === undefined && /^\s*[[{]/.test(plain) ? parse(plain, repair) : strict;
}

function parse(text: string, prepare = (plain: string) => plain): unknown {
  try {
    return JSON.parse(prepare(text));
  } catch {
    return undefined;
  }
}

function repair(text: string): string {
  const kept: string[] = [];
  let depth = 0;
  for (const [token] of text.matchAll(TOKENS)) {
    if (token === '{' || token === '[') depth += 1;
    else if (token === '}' || token === ']') {
      depth -= 1;
      const before = kept.at(-1) ?? '';
      kept[kept.length - 1] = before.replace(/,\s*$/, '');
    }
    kept.push(token.startsWith('"') ? escapeControls(token) : spellWords(token));
    // What comes behind the value is not part of it.
    if (depth === 0 && kept.length > 1) break;
  }
  return kept.join('');
}

const escapeControls = (token: string): string =>
  token.replace(CONTROL, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);

const spellWords = (token: string): string =>
  token
    .replace(FOREIGN_WORDS, '{}')
    .replace(/\bTrue\b/g, 'true')
    .replace(/\bFalse\b/g, 'false');
