import stringWidth from 'string-width';

/** Printable ASCII, which is nearly everything: one column for each character. */
const PLAIN = /^[\x20-\x7e]*$/;
const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });

/** Columns that a text takes on a terminal: two for East Asian characters and emoji, none for combining marks. */
export const displayWidth = (text: string): number => (PLAIN.test(text) ? text.length : stringWidth(text));

/** Adds spaces up to a width in columns. */
export const padToWidth = (text: string, columns: number): string =>
  `${text}${' '.repeat(Math.max(0, columns - displayWidth(text)))}`;

/** The beginning of a text that fits into a number of columns; no character is cut in two. */
export function cutToWidth(text: string, columns: number): string {
  if (displayWidth(text) <= columns) return text;
  let [kept, width] = ['', 0];
  for (const { segment } of graphemes.segment(text)) {
    width += displayWidth(segment);
    if (width > columns) break;
    kept += segment;
  }
  return kept;
}
