import { cleanText } from '../contract/safe-text.js';
import { displayWidth, padToWidth } from './display-width.js';

/** Columns for people: left-aligned, two spaces between, without trailing spaces. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, ...rows].map((row) => row.map((cell) => cleanText(cell)));
  const widths = head.map((_, column) => Math.max(...lines.map((row) => displayWidth(row[column] ?? ''))));
  return lines
    .map((row) =>
      row
        .map((cell, column) => padToWidth(cell, widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
