/** One line of CSV (RFC 4180), without its end. Every table that the command writes for spreadsheets goes through here. */
export const csvLine = (cells: readonly (string | number)[]): string => cells.map(csvCell).join(',');

function csvCell(value: string | number): string {
  const text = String(value);
  // A spreadsheet would run what begins like a formula; tenants, labels and messages come from outside.
  const safe = typeof value === 'string' && /^[=+@\t\r-]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
