import { cleanLines } from '../contract/safe-text.js';

/** Begins a CSV text: without it a spreadsheet reads UTF-8 as an older code page, and damages every other name. */
export const CSV_START = '\ufeff';

/**
 * One line of CSV (RFC 4180), safe for a terminal, without its line end. Every table for spreadsheets is written with
 * it.
 */
export const csvLine = (cells: readonly (string | number)[]): string => cells.map(csvCell).join(',');

function csvCell(value: string | number): string {
  const text = cleanLines(String(value));
  // A spreadsheet would execute a cell that begins like a formula, also in wide characters, and some remove the blanks
  // before it; tenants, labels and messages come from outside.
  const safe = typeof value === 'string' && /^\s*[=+@＝＋＠－-]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
