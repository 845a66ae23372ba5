import type { Bits } from './bits.js';
import { CHROMA_DC, writeCoefficients } from './cavlc.js';

/** A picture in 4:2:0; both sides of the luma plane are multiples of 16. */
export interface Planes {
  readonly width: number;
  readonly height: number;
  readonly y: Uint8Array;
  readonly cb: Uint8Array;
  readonly cr: Uint8Array;
}

/**
 * The one quantiser of every picture: about 40 dB for photographs. It is a multiple of 6, so that the scaling of 8.5.12
 * is a shift by 4; below 30, chroma uses the same.
 */
export const QP = 24;
/** `QP` / 6. */
const SHIFT = 4;
/** Bits of the forward quantiser, and the third that intra pictures round with. */
const QUANT_BITS = 15 + SHIFT;
const ROUND = Math.floor((1 << QUANT_BITS) / 3);
/** Forward and inverse scale at `QP` % 6 = 0 by position: both coordinates even, both odd, mixed (8.5.9). */
const scaleAt = (even: number, odd: number, mixed: number): Int32Array =>
  Int32Array.from({ length: 16 }, (_, i) => {
    const [x, y] = [i & 1, (i >> 2) & 1];
    return x !== y ? mixed : x === 1 ? odd : even;
  });
const FORWARD = scaleAt(13_107, 5_243, 8_066);
const INVERSE = scaleAt(10, 16, 13);
const FORWARD_DC = 13_107;
const INVERSE_DC = 10;
/** Raster position of the coefficients in scan order (8.5.6). */
const ZIGZAG = [0, 1, 4, 8, 5, 2, 3, 6, 9, 12, 13, 10, 7, 11, 14, 15];
/** Raster position (4 × row + column) of the luma blocks in coding order (6.4.3). */
const BLOCKS = [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15];

/** Prediction modes of Intra 16x16 (table 7-11). */
const VERTICAL = 0;
const HORIZONTAL = 1;
const DC = 2;

/**
 * Encodes one whole picture as the macroblocks of an I slice: Intra 16x16, one quantiser. What the decoder will see is kept
 * up to date beside it, because each macroblock is predicted from its decoded neighbours (before deblocking).
 */
export function writeKeyPicture(bits: Bits, picture: Planes): void {
  const coder = new IntraCoder(bits, picture);
  for (let row = 0; row < picture.height / 16; row++)
    for (let column = 0; column < picture.width / 16; column++) coder.macroblock(column, row);
}

class IntraCoder {
  readonly #bits: Bits;
  readonly #luma: Plane;
  readonly #chroma: readonly [cb: Plane, cr: Plane];

  constructor(bits: Bits, { width, y, cb, cr }: Planes) {
    this.#bits = bits;
    this.#luma = new Plane(y, width, 16);
    this.#chroma = [new Plane(cb, width / 2, 8), new Plane(cr, width / 2, 8)];
  }

  macroblock(column: number, row: number): void {
    const luma = this.#luma;
    luma.moveTo(column, row);
    const mode = luma.bestMode();
    luma.predict(mode);
    luma.transform();
    hadamard(luma.dc);
    for (let i = 0; i < 16; i++) luma.dc[i] = quantised(Math.trunc((luma.dc[i] ?? 0) / 2), FORWARD_DC, QUANT_BITS + 1);

    // Vertical or horizontal where there is a neighbour; the DC mode of chroma has a rule per block and gains little.
    const chromaMode = row > 0 ? VERTICAL : column > 0 ? HORIZONTAL : DC;
    let chromaPattern = 0;
    for (const plane of this.#chroma) {
      plane.moveTo(column, row);
      plane.predict(chromaMode);
      plane.transform();
      chromaHadamard(plane.dc);
      for (let i = 0; i < 4; i++) plane.dc[i] = quantised(plane.dc[i] ?? 0, FORWARD_DC, QUANT_BITS + 1);
      if (plane.hasAc) chromaPattern = 2;
      else if (chromaPattern === 0 && plane.dc.some((level) => level !== 0)) chromaPattern = 1;
    }

    const bits = this.#bits;
    bits.ue(1 + mode + 4 * chromaPattern + (luma.hasAc ? 12 : 0)); // mb_type (table 7-11)
    bits.ue(chromaMode === VERTICAL ? 2 : chromaMode === HORIZONTAL ? 1 : 0); // its own numbers (table 7-16)
    bits.se(0); // mb_qp_delta
    writeCoefficients(bits, scanned(luma.dc, 0), luma.context(0));
    if (luma.hasAc) for (const block of BLOCKS) luma.writeBlock(bits, block);
    if (chromaPattern > 0) for (const { dc } of this.#chroma) writeCoefficients(bits, dc, CHROMA_DC);
    if (chromaPattern > 1) {
      for (const plane of this.#chroma) for (let block = 0; block < 4; block++) plane.writeBlock(bits, block);
    }

    // What the decoder makes of the DC levels (8.5.10 and 8.5.11.2).
    hadamard(luma.dc);
    for (let i = 0; i < 16; i++) luma.dc[i] = ((luma.dc[i] ?? 0) * INVERSE_DC) << (SHIFT - 2);
    luma.reconstruct();
    for (const plane of this.#chroma) {
      chromaHadamard(plane.dc);
      for (let i = 0; i < 4; i++) plane.dc[i] = (((plane.dc[i] ?? 0) * INVERSE_DC) << SHIFT) >> 1;
      plane.reconstruct();
    }
  }
}

/** One plane, and of it the macroblock in hand: its prediction and its levels. Its arrays serve every macroblock. */
class Plane {
  /** DC of the 4x4 blocks in raster order, at whatever stage it is. */
  readonly dc: Int32Array;
  /** Whether any level but a DC is not zero. */
  hasAc = false;
  readonly #source: Uint8Array;
  /** The decoded plane. */
  readonly #seen: Uint8Array;
  readonly #stride: number;
  readonly #size: number;
  readonly #across: number;
  readonly #prediction: Uint8Array;
  /** Sixteen levels of each 4x4 block; the first one of each is not used. */
  readonly #levels: Int32Array;
  readonly #work = new Int32Array(16);
  /** Coefficients (without luma's DC) of every 4x4 block of the plane so far: the context of the next ones. */
  readonly #counts: Uint8Array;
  #column = 0;
  #row = 0;
  #at = 0;

  constructor(source: Uint8Array, stride: number, size: number) {
    this.#source = source;
    this.#seen = new Uint8Array(source.length);
    this.#stride = stride;
    this.#size = size;
    this.#across = size / 4;
    this.#prediction = new Uint8Array(size * size);
    this.#levels = new Int32Array(size * size);
    this.dc = new Int32Array(this.#across * this.#across);
    this.#counts = new Uint8Array(source.length / 16);
  }

  moveTo(column: number, row: number): void {
    this.#column = column;
    this.#row = row;
    this.#at = row * this.#size * this.#stride + column * this.#size;
  }

  /** The mode whose prediction differs least. */
  bestMode(): number {
    let best = DC;
    let least = Number.POSITIVE_INFINITY;
    for (const mode of [DC, VERTICAL, HORIZONTAL]) {
      if ((mode === VERTICAL && this.#row === 0) || (mode === HORIZONTAL && this.#column === 0)) continue;
      this.predict(mode);
      let sum = 0;
      for (let y = 0, i = 0; y < this.#size; y++) {
        for (let at = this.#at + y * this.#stride, end = at + this.#size; at < end; at++, i++) {
          sum += Math.abs((this.#source[at] ?? 0) - (this.#prediction[i] ?? 0));
        }
      }
      if (sum >= least) continue;
      least = sum;
      best = mode;
    }
    return best;
  }

  predict(mode: number): void {
    const size = this.#size;
    if (mode === DC) {
      this.#prediction.fill(this.#average());
      return;
    }
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        const at = mode === VERTICAL ? this.#at - this.#stride + x : this.#at + y * this.#stride - 1;
        this.#prediction[y * size + x] = this.#seen[at] ?? 0;
      }
    }
  }

  #average(): number {
    let sum = 0;
    let count = 0;
    for (let i = 0; i < this.#size; i++) {
      if (this.#row > 0) sum += this.#seen[this.#at - this.#stride + i] ?? 0;
      if (this.#column > 0) sum += this.#seen[this.#at + i * this.#stride - 1] ?? 0;
      count += Number(this.#row > 0) + Number(this.#column > 0);
    }
    return count === 0 ? 128 : Math.floor((sum + count / 2) / count);
  }

  /** Levels and (unquantised) DC of what the prediction lacks. */
  transform(): void {
    const work = this.#work;
    this.hasAc = false;
    for (let block = 0; block < this.dc.length; block++) {
      const x = (block % this.#across) * 4;
      const y = Math.floor(block / this.#across) * 4;
      for (let i = 0; i < 16; i++) {
        const [dx, dy] = [x + (i & 3), y + (i >> 2)];
        work[i] =
          (this.#source[this.#at + dy * this.#stride + dx] ?? 0) - (this.#prediction[dy * this.#size + dx] ?? 0);
      }
      forward(work);
      this.dc[block] = work[0] ?? 0;
      for (let i = 1; i < 16; i++) {
        const level = quantised(work[i] ?? 0, FORWARD[i] ?? 0, QUANT_BITS);
        this.#levels[block * 16 + i] = level;
        if (level !== 0) this.hasAc = true;
      }
    }
  }

  /** `nC` of a block: the mean of its left and its upper neighbour, or the one that there is (9.2.1). */
  context(block: number): number {
    const at = this.#countOf(block);
    const left = this.#column > 0 || block % this.#across > 0 ? this.#counts[at - 1] : undefined;
    const above = this.#row > 0 || block >= this.#across ? this.#counts[at - this.#stride / 4] : undefined;
    if (left !== undefined && above !== undefined) return (left + above + 1) >> 1;
    return left ?? above ?? 0;
  }

  /** Writes the levels of a block but its DC. */
  writeBlock(bits: Bits, block: number): void {
    const levels = scanned(this.#levels.subarray(block * 16, block * 16 + 16), 1);
    this.#counts[this.#countOf(block)] = writeCoefficients(bits, levels, this.context(block));
  }

  #countOf(block: number): number {
    const row = this.#row * this.#across + Math.floor(block / this.#across);
    return (row * this.#stride) / 4 + this.#column * this.#across + (block % this.#across);
  }

  /** Adds to the prediction what the decoder makes of the levels and of `dc` (8.5.12). */
  reconstruct(): void {
    const work = this.#work;
    for (let block = 0; block < this.dc.length; block++) {
      work[0] = this.dc[block] ?? 0;
      for (let i = 1; i < 16; i++) work[i] = ((this.#levels[block * 16 + i] ?? 0) * (INVERSE[i] ?? 0)) << SHIFT;
      inverse(work);
      const x = (block % this.#across) * 4;
      const y = Math.floor(block / this.#across) * 4;
      for (let i = 0; i < 16; i++) {
        const [dx, dy] = [x + (i & 3), y + (i >> 2)];
        const value = (this.#prediction[dy * this.#size + dx] ?? 0) + (((work[i] ?? 0) + 32) >> 6);
        this.#seen[this.#at + dy * this.#stride + dx] = value < 0 ? 0 : value > 255 ? 255 : value;
      }
    }
  }
}

/** Levels in scan order, from position `first` on. */
function scanned(levels: Int32Array, first: number): Int32Array {
  const out = new Int32Array(16 - first);
  for (let i = first; i < 16; i++) out[i - first] = levels[ZIGZAG[i] ?? 0] ?? 0;
  return out;
}

function quantised(value: number, scale: number, bits: number): number {
  const round = bits === QUANT_BITS ? ROUND : 2 * ROUND;
  const level = (Math.abs(value) * scale + round) >> bits;
  return value < 0 ? -level : level;
}

/** Core transform in place (8.5.12.2 has its inverse). */
function forward(c: Int32Array): void {
  for (let i = 0; i < 4; i++) butterfly(c, i * 4, 1);
  for (let i = 0; i < 4; i++) butterfly(c, i, 4);
}

function butterfly(c: Int32Array, at: number, step: number): void {
  const a = c[at] ?? 0;
  const b = c[at + step] ?? 0;
  const d = c[at + 2 * step] ?? 0;
  const e = c[at + 3 * step] ?? 0;
  c[at] = a + e + (b + d);
  c[at + step] = 2 * (a - e) + (b - d);
  c[at + 2 * step] = a + e - (b + d);
  c[at + 3 * step] = a - e - 2 * (b - d);
}

/** Inverse core transform in place; the result still has its 6 bits of scale. */
function inverse(c: Int32Array): void {
  for (let i = 0; i < 4; i++) inverseButterfly(c, i * 4, 1);
  for (let i = 0; i < 4; i++) inverseButterfly(c, i, 4);
}

function inverseButterfly(c: Int32Array, at: number, step: number): void {
  const a = c[at] ?? 0;
  const b = c[at + step] ?? 0;
  const d = c[at + 2 * step] ?? 0;
  const e = c[at + 3 * step] ?? 0;
  const s = b + (e >> 1);
  const r = (b >> 1) - e;
  c[at] = a + d + s;
  c[at + step] = a - d + r;
  c[at + 2 * step] = a - d - r;
  c[at + 3 * step] = a + d - s;
}

/** 4x4 Hadamard transform in place. */
function hadamard(c: Int32Array): void {
  for (let i = 0; i < 4; i++) hadamardButterfly(c, i * 4, 1);
  for (let i = 0; i < 4; i++) hadamardButterfly(c, i, 4);
}

function hadamardButterfly(c: Int32Array, at: number, step: number): void {
  const a = c[at] ?? 0;
  const b = c[at + step] ?? 0;
  const d = c[at + 2 * step] ?? 0;
  const e = c[at + 3 * step] ?? 0;
  c[at] = a + b + d + e;
  c[at + step] = a + b - d - e;
  c[at + 2 * step] = a - b - d + e;
  c[at + 3 * step] = a - b + d - e;
}

/** 2x2 Hadamard transform in place. */
function chromaHadamard(c: Int32Array): void {
  const [a = 0, b = 0, d = 0, e = 0] = c;
  c[0] = a + b + d + e;
  c[1] = a - b + d - e;
  c[2] = a + b - d - e;
  c[3] = a - b - d + e;
}
