/** Longest text that goes into a message, a log line, a history or a terminal, in characters. */
export const SAFE_TEXT_MAX = 4_000;
/** Read beyond the limit, so that a secret across the cut is seen whole before the rest of it is dropped. */
const CUT_MARGIN = 512;

const ESCAPE = '\u001b';
const C1_CSI = '\u009b';
/** Terminal control sequences (ECMA-48): CSI, OSC and the other strings, and two-character escapes. */
const TERMINAL_SEQUENCES = new RegExp(
  [
    `(?:${ESCAPE}\\[|${C1_CSI})[0-?]*[ -/]*[@-~]?`,
    `${ESCAPE}[\\]PX^_][^${ESCAPE}\\u0007]*(?:\\u0007|${ESCAPE}\\\\)?`,
    `${ESCAPE}[ -/]*[0-~]?`,
  ].join('|'),
  'g',
);
/** Marks that change the direction of the text around them, or are not seen. */
const INVISIBLE_MARKS = /\p{Cf}/gu;
/** Control characters and line breaks of every kind. */
const CONTROLS = /[\p{Cc}\p{Zl}\p{Zp}]+/gu;
const LONE_SURROGATES = /\p{Cs}/gu;

/**
 * Makes a foreign text safe for messages, logs, histories, attributes and terminals: cut to a stated length first, then
 * one line without control characters, terminal sequences, direction marks and half characters. Linear in `max`, for
 * any text.
 * @param max - Longest result in characters; a text that was cut ends with `…`.
 * @param blank - Removes what must not be seen from the cleaned text, before the rest beyond `max` is dropped.
 */
export function cleanText(text: string, max = SAFE_TEXT_MAX, blank = (clean: string): string => clean): string {
  const isCut = text.length > max;
  const clean = (isCut ? text.slice(0, max + CUT_MARGIN) : text)
    .replace(TERMINAL_SEQUENCES, '')
    .replace(INVISIBLE_MARKS, '')
    .replace(CONTROLS, ' ')
    .replace(LONE_SURROGATES, '\ufffd');
  const safe = blank(clean);
  if (!isCut && safe.length <= max) return safe;
  const kept = safe.slice(0, Math.min(max - 1, Math.max(0, isCut ? safe.length - CUT_MARGIN : safe.length)));
  return `${kept.replace(LONE_SURROGATES, '')}…`;
}

/** Makes a text of ours with foreign parts safe for a terminal; its line breaks, also those of CSV, stay. */
export const cleanLines = (text: string): string =>
  text
    .split(/(\r?\n)/)
    .map((part, nth) => (nth % 2 === 1 ? part : cleanText(part, Number.POSITIVE_INFINITY)))
    .join('');

/** What JSON may hold as it is, and a terminal may obey or not show. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;
const escapeUnit = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;

/**
 * JSON in one line that is safe for a terminal: control characters, direction marks, invisible marks and line breaks
 * are escaped, so that a program still reads the same value.
 */
export const printableJson = (value: unknown): string =>
  // By UTF-16 unit, as JSON escapes a character beyond the first 65,536: with two escapes.
  JSON.stringify(value).replace(UNPRINTABLE, (mark) => mark.split('').map(escapeUnit).join(''));
