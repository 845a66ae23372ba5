const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: ' ' };
const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', b: ' ', f: ' ' };

/** Functions that undo what servers in between do to a text; each returns a text that was not changed so as it is. */
const UNDO: readonly ((text: string) => string)[] = [
  // HTML: `a &amp; b`, `&#29483;`.
  (text) =>
    text.replace(/&(?:#x([\da-f]{1,6})|#(\d{1,7})|([a-z]{2,6}));/gi, (whole, hex, decimal, name) =>
      name === undefined
        ? characterOf(hex === undefined ? Number(decimal) : Number.parseInt(hex, 16), whole)
        : (ENTITIES[name.toLowerCase()] ?? whole),
    ),
  // JSON, written twice: `\u732b`, `\"`.
  (text) =>
    text.replace(/\\(?:u([\da-f]{4})|(.))/gis, (_whole, unit, character) =>
      unit === undefined ? (ESCAPES[character] ?? character) : String.fromCharCode(Number.parseInt(unit, 16)),
    ),
  // A form: `a+%26+b`.
  decodeForm,
  // UTF-8 that was read as Latin-1: `cafÃ©`.
  (text) => (/^[\0-\xff]*$/.test(text) ? Buffer.from(text, 'latin1').toString('utf8') : text),
];

/** The texts that one text may have been before servers in between changed it, each in one way; without itself. */
export const earlierReadings = (text: string): readonly string[] =>
  UNDO.map((undo) => undo(text)).filter((reading) => reading !== text);

/**
 * Whether characters were lost on the way: the shown text has U+FFFD, which replaces what cannot be decoded, or it has
 * the ASCII letters and digits of the one that was sent and none of its other characters.
 */
export function hasLostCharacters(sent: string, shown: string): boolean {
  if (shown.includes('\ufffd')) return true;
  if (/[^\0-\x7f]/.test(shown) || !/[^\0-\x7f]/.test(sent)) return false;
  return asciiLetters(sent) === asciiLetters(shown);
}

const asciiLetters = (text: string): string => text.toLowerCase().replace(/[^a-z\d]+/g, '');

function characterOf(point: number, otherwise: string): string {
  return point <= 0x10ffff ? String.fromCodePoint(point) : otherwise;
}

function decodeForm(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return text;
  }
}
