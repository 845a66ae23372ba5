import type { BitWriter } from './bit-writer.js';
import { H264Builder, type H264Stream, macroblocksOf, type VideoFormat, writePcm, type YuvPicture } from './h264.js';

/** One macroblock; the same object in two frames means that it did not change. */
export type Tile = YuvPicture;

/** A video of vertical bars with tiles on them. */
interface BarsVideo extends VideoFormat {
  /** Number of frames. */
  readonly frames: number;
  /** Frames from one key frame to the next. */
  readonly keyInterval: number;
  /** Colours of the bars, from left to right. */
  readonly bars: readonly Tile[];
  /** Tiles of a frame by macroblock index. A tile may change between two key frames, but it must not vanish. */
  readonly tiles: (frame: number) => ReadonlyMap<number, Tile>;
}

/** How the macroblock of a key frame is coded. */
const PREDICTED = 0;
const BAR = 1;
const TILE = 2;

/** Returns a tile with the given luma and one colour. */
export function tileOf(y: Uint8Array | number, cb = 128, cr = 128): Tile {
  const plane = (size: number, value: number): Uint8Array => new Uint8Array(size).fill(value);
  return { width: 16, height: 16, y: typeof y === 'number' ? plane(256, y) : y, cb: plane(64, cb), cr: plane(64, cr) };
}

/**
 * Encodes bars and tiles. Only macroblocks where a colour begins and tiles that changed carry samples (I_PCM); every
 * other one is predicted from its neighbour or from the frame before.
 */
export function encodeBars(video: BarsVideo): H264Stream {
  const builder = new H264Builder(video);
  let previous: ReadonlyMap<number, Tile> = new Map();
  for (let frame = 0; frame < video.frames; frame++) {
    const tiles = video.tiles(frame);
    if (frame % video.keyInterval === 0) builder.addKeyFrame((bits) => writeKeyFrame(bits, video, tiles));
    else {
      const changed = [...tiles].filter(([index, tile]) => previous.get(index) !== tile).sort(([a], [b]) => a - b);
      builder.addDeltaFrame('reference', (bits) => writeChanges(bits, video, changed));
    }
    previous = tiles;
  }
  return builder.build();
}

function writeKeyFrame(bits: BitWriter, video: BarsVideo, tiles: ReadonlyMap<number, Tile>): void {
  const { bars } = video;
  const { columns, rows } = macroblocksOf(video);
  const barAt = (column: number): Tile | undefined => bars[Math.floor((column * bars.length) / columns)];
  const coding = new Uint8Array(columns * rows);
  for (let index = 0; index < columns * rows; index++) {
    const column = index % columns;
    const isTop = index < columns;
    const left = column === 0 ? PREDICTED : coding[index - 1];
    const above = isTop ? PREDICTED : coding[index - columns];
    const tile = tiles.get(index);
    const bar = barAt(column);
    if (tile !== undefined) {
      writePcm(bits, 'I', tile);
      coding[index] = TILE;
    } else if (bar !== undefined && (isTop ? column === 0 || bar !== barAt(column - 1) : above === TILE)) {
      writePcm(bits, 'I', bar);
      coding[index] = BAR;
    } else {
      // Intra 16x16 without residual: the top row is predicted from the left, every other one from above.
      bits.ue(isTop ? 2 : 1); // mb_type
      bits.ue(isTop ? 1 : 2); // intra_chroma_pred_mode
      bits.se(0); // mb_qp_delta
      // coeff_token of no coefficients: an I_PCM neighbour counts as one with many (table 9-5).
      if (left !== PREDICTED || above !== PREDICTED) bits.u(3, 6);
      else bits.u(1, 1);
    }
  }
}

/** Writes the changed tiles; the macroblocks between them are skipped, which repeats the frame before. */
function writeChanges(bits: BitWriter, video: BarsVideo, changed: readonly (readonly [number, Tile])[]): void {
  const { columns, rows } = macroblocksOf(video);
  let next = 0;
  for (const [index, tile] of changed) {
    bits.ue(index - next); // mb_skip_run
    writePcm(bits, 'P', tile);
    next = index + 1;
  }
  if (next < columns * rows) bits.ue(columns * rows - next);
}
