import type { Bits } from './bits.js';

/**
 * Context-adaptive variable-length codes of transform coefficients (ITU-T H.264, 9.2). Every table holds the length and
 * the value of a code.
 */
interface Codes {
  readonly lengths: readonly number[];
  readonly values: readonly number[];
}

const numbers = (text: string): number[] => text.trim().split(/\s+/).map(Number);
const codes = (lengths: string, values: string): Codes => ({ lengths: numbers(lengths), values: numbers(values) });

/** Table 9-5, by context (nC 0..1, 2..3, 4..7, 8 and more); index is 4 × coefficients + trailing ones. */
const COEFF_TOKEN: readonly Codes[] = [
  codes(
    `1 0 0 0 6 2 0 0 8 6 3 0 9 8 7 5 10 9 8 6 11 10 9 7 13 11 10 8 13 13 11 9 13 13 13 10 14 14 13 11 14 14 14 13
     15 15 14 14 15 15 15 14 16 15 15 15 16 16 16 15 16 16 16 16 16 16 16 16`,
    `1 0 0 0 5 1 0 0 7 4 1 0 7 6 5 3 7 6 5 3 7 6 5 4 15 6 5 4 11 14 5 4 8 10 13 4 15 14 9 4 11 10 13 12
     15 14 9 12 11 10 13 8 15 1 9 12 11 14 13 8 7 10 9 12 4 6 5 8`,
  ),
  codes(
    `2 0 0 0 6 2 0 0 6 5 3 0 7 6 6 4 8 6 6 4 8 7 7 5 9 8 8 6 11 9 9 6 11 11 11 7 12 11 11 9 12 12 12 11
     12 12 12 11 13 13 13 12 13 13 13 13 13 14 13 13 14 14 14 13 14 14 14 14`,
    `3 0 0 0 11 2 0 0 7 7 3 0 7 10 9 5 7 6 5 4 4 6 5 6 7 6 5 8 15 6 5 4 11 14 13 4 15 10 9 4 11 14 13 12
     8 10 9 8 15 14 13 12 11 10 9 12 7 11 6 8 9 8 10 1 7 6 5 4`,
  ),
  codes(
    `4 0 0 0 6 4 0 0 6 5 4 0 6 5 5 4 7 5 5 4 7 5 5 4 7 6 6 4 7 6 6 4 8 7 7 5 8 8 7 6 9 8 8 7
     9 9 8 8 9 9 9 8 10 9 9 9 10 10 10 10 10 10 10 10 10 10 10 10`,
    `15 0 0 0 15 14 0 0 11 15 13 0 8 12 14 12 15 10 11 11 11 8 9 10 9 14 13 9 8 10 9 8 15 14 13 13 11 14 10 12
     15 10 13 12 11 14 9 12 8 10 13 8 13 7 9 12 9 12 11 10 5 8 7 6 1 4 3 2`,
  ),
  {
    lengths: Array.from({ length: 68 }, () => 6),
    // No coefficient is 000011; otherwise four bits for the coefficients less one and two for the trailing ones.
    values: Array.from({ length: 68 }, (_, i) => (i < 4 ? 3 : i - 4)),
  },
];
/** Table 9-5, the column of the four chroma DC coefficients. */
const COEFF_TOKEN_CHROMA_DC = codes(
  '2 0 0 0 6 1 0 0 6 6 3 0 6 7 7 6 6 8 8 7',
  '1 0 0 0 7 1 0 0 4 6 1 0 3 3 2 5 2 3 2 0',
);
/** Tables 9-7 and 9-8, by coefficients less one; index is the zeros before the last coefficient. */
const TOTAL_ZEROS: readonly Codes[] = [
  codes('1 3 3 4 4 5 5 6 6 7 7 8 8 9 9 9', '1 3 2 3 2 3 2 3 2 3 2 3 2 3 2 1'),
  codes('3 3 3 3 3 4 4 4 4 5 5 6 6 6 6', '7 6 5 4 3 5 4 3 2 3 2 3 2 1 0'),
  codes('4 3 3 3 4 4 3 3 4 5 5 6 5 6', '5 7 6 5 4 3 4 3 2 3 2 1 1 0'),
  codes('5 3 4 4 3 3 3 4 3 4 5 5 5', '3 7 5 4 6 5 4 3 3 2 2 1 0'),
  codes('4 4 4 3 3 3 3 3 4 5 4 5', '5 4 3 7 6 5 4 3 2 1 1 0'),
  codes('6 5 3 3 3 3 3 3 4 3 6', '1 1 7 6 5 4 3 2 1 1 0'),
  codes('6 5 3 3 3 2 3 4 3 6', '1 1 5 4 3 3 2 1 1 0'),
  codes('6 4 5 3 2 2 3 3 6', '1 1 1 3 3 2 2 1 0'),
  codes('6 6 4 2 2 3 2 5', '1 0 1 3 2 1 1 1'),
  codes('5 5 3 2 2 2 4', '1 0 1 3 2 1 1'),
  codes('4 4 3 3 1 3', '0 1 1 2 1 3'),
  codes('4 4 2 1 3', '0 1 1 1 1'),
  codes('3 3 1 2', '0 1 1 1'),
  codes('2 2 1', '0 1 1'),
  codes('1 1', '0 1'),
];
/** Table 9-9 (a). */
const TOTAL_ZEROS_CHROMA_DC: readonly Codes[] = [
  codes('1 2 3 3', '1 1 1 0'),
  codes('1 2 2', '1 1 0'),
  codes('1 1', '1 0'),
];
/** Table 9-10, by zeros left less one (7 stands for more than six); index is the run before a coefficient. */
const RUN_BEFORE: readonly Codes[] = [
  codes('1 1', '1 0'),
  codes('1 2 2', '1 1 0'),
  codes('2 2 2 2', '3 2 1 0'),
  codes('2 2 2 3 3', '3 2 1 1 0'),
  codes('2 2 3 3 3 3', '3 2 3 2 1 0'),
  codes('2 3 3 3 3 3 3', '3 0 1 3 2 5 4'),
  codes('3 3 3 3 3 3 3 4 5 6 7 8 9 10 11', '7 6 5 4 3 2 1 1 1 1 1 1 1 1 1'),
];

function put(bits: Bits, table: Codes | undefined, index: number): void {
  bits.u(table?.values[index] ?? 0, table?.lengths[index] ?? 0);
}

/** Context of the four chroma DC coefficients, which have tables of their own. */
export const CHROMA_DC = -1;

/**
 * Writes one block of coefficients in scan order and returns how many are not zero.
 * @param context - `nC` of the standard, the count of the neighbouring blocks; or {@link CHROMA_DC}.
 */
export function writeCoefficients(bits: Bits, levels: Int32Array, context: number): number {
  let total = 0;
  let last = -1;
  for (let i = 0; i < levels.length; i++) {
    if (levels[i] === 0) continue;
    total++;
    last = i;
  }
  let ones = 0;
  for (let i = last; i >= 0 && ones < 3; i--) {
    const level = levels[i] ?? 0;
    if (level === 0) continue;
    if (level !== 1 && level !== -1) break;
    ones++;
  }
  const column = context < 2 ? 0 : context < 4 ? 1 : context < 8 ? 2 : 3;
  put(bits, context === CHROMA_DC ? COEFF_TOKEN_CHROMA_DC : COEFF_TOKEN[column], 4 * total + ones);
  if (total === 0) return 0;
  writeLevels(bits, levels, last, total, ones);
  if (total < levels.length) {
    const tables = context === CHROMA_DC ? TOTAL_ZEROS_CHROMA_DC : TOTAL_ZEROS;
    put(bits, tables[total - 1], last + 1 - total);
  }
  writeRuns(bits, levels, last, last + 1 - total);
  return total;
}

/** From the highest frequency down: the signs of the trailing ones, then the other levels (9.2.2). */
function writeLevels(bits: Bits, levels: Int32Array, last: number, total: number, ones: number): void {
  let suffix = total > 10 && ones < 3 ? 1 : 0;
  let seen = 0;
  for (let i = last; i >= 0; i--) {
    const level = levels[i] ?? 0;
    if (level === 0) continue;
    seen++;
    if (seen <= ones) {
      bits.u(level < 0 ? 1 : 0, 1);
      continue;
    }
    let code = level > 0 ? 2 * level - 2 : -2 * level - 1;
    if (seen === ones + 1 && ones < 3) code -= 2; // it cannot be one more trailing one
    if (suffix === 0 && code >= 14 && code < 30) {
      bits.u(1, 15);
      bits.u(code - 14, 4);
    } else {
      const limit = suffix === 0 ? 30 : 15 << suffix;
      if (code >= limit) {
        bits.u(1, 16);
        bits.u(code - limit, 12); // 12 bits hold every level that eight-bit samples give at our quantiser
      } else {
        bits.u(1, (code >> suffix) + 1);
        if (suffix > 0) bits.u(code & ((1 << suffix) - 1), suffix);
      }
    }
    if (suffix === 0) suffix = 1;
    if (Math.abs(level) > 3 << (suffix - 1) && suffix < 6) suffix++;
  }
}

/** From the highest frequency down: how many zeros stand before each coefficient (9.2.3). */
function writeRuns(bits: Bits, levels: Int32Array, last: number, zeros: number): void {
  let left = zeros;
  for (let i = last; i > 0 && left > 0; ) {
    let next = i - 1;
    while (next >= 0 && levels[next] === 0) next--;
    if (next < 0) return; // the lowest coefficient's run is what is left
    const run = i - next - 1;
    put(bits, RUN_BEFORE[Math.min(left, 7) - 1], run);
    left -= run;
    i = next;
  }
}
