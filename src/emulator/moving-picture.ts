import { Bits } from './bits.js';
import type { H264Sample, H264Stream } from './h264.js';
import { type Planes, QP, writeKeyPicture } from './key-picture.js';

/** Where the camera is: the middle of what it sees, in pixels of the still picture, and how much it magnifies. */
export interface View {
  readonly x: number;
  readonly y: number;
  readonly zoom: number;
}

/** A camera that moves over a still picture. */
export interface MovingPicture {
  /** Width in pixels, even. */
  readonly width: number;
  /** Height in pixels, even. */
  readonly height: number;
  /** Number of frames. */
  readonly frames: number;
  /** Frames per second. */
  readonly fps: number;
  /** Frames from one key frame to the next. */
  readonly gop: number;
  /** Where the camera is at a frame; its zoom never falls within a group of pictures. */
  view(frame: number): View;
  /** What it sees there; the planes are those of whole macroblocks. */
  draw(view: View): Planes;
}

/**
 * Encodes a camera's way (Constrained Baseline, CAVLC). A key frame is a whole picture; the frames up to the next one are
 * that picture with each macroblock moved to where the camera sees it. They carry no residual: within half a second a block
 * is at most a quarter pixel off at its edges, and the deblocking filter covers that.
 */
export function encodeMovingPicture(options: MovingPicture): H264Stream {
  const { width, height, frames, fps, gop, view, draw } = options;
  const columns = Math.ceil(width / 16);
  const rows = Math.ceil(height / 16);
  const total = columns * rows;
  const sps = new Bits();
  const level = total > 8192 ? 51 : total > 3600 ? 40 : 31;
  // Profile, constraints, level; id; 8 bits of frame number; order by 8 bits in every slice; one reference picture.
  sps.fields(66, 8, 0xc0, 8, level, 8, 0, 0, 4, 0, 0, 0, 4, 0, 1, 0, 0, 1, columns - 1, 0, rows - 1, 0, 1, 1, 1, 1);
  sps.fields(1, 1, 0, 0, (columns * 16 - width) / 2, 0, 0, 0, (rows * 16 - height) / 2, 0); // cropping
  sps.fields(1, 1, 0, 2, 1, 1, 5, 3, 0, 1, 1, 1, 1, 8, 1, 8, 1, 8, 0, 1); // VUI: BT.709, limited range
  sps.fields(1, 1, 1, 32, fps * 2, 32, 1, 1, 0, 3); // fixed frame rate
  sps.fields(1, 1, 1, 1, 0, 0, 0, 0, 10, 0, 10, 0, 0, 0, 1, 0); // nothing is shown later than it is decoded
  const pps = new Bits();
  pps.fields(0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3);
  pps.se(QP - 26);
  pps.fields(0, 0, 0, 0, 1, 1, 0, 2);
  const spsNal = sps.nal(0x67);
  const ppsNal = pps.nal(0x68);

  const samples: H264Sample[] = [];
  let key = view(0);
  for (let frame = 0; frame < frames; frame++) {
    const since = frame % gop;
    const bits = new Bits();
    let unit: Uint8Array;
    if (since === 0) {
      key = view(frame);
      // First macroblock, I slice, parameter set, frame number, IDR number, order, two marks, quantiser, deblocking.
      bits.fields(0, 0, 7, 0, 0, 0, 0, 8, (frame / gop) & 1, 0, 0, 8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0);
      writeKeyPicture(bits, draw(key));
      unit = bits.nal(0x65);
    } else {
      // As above; the frame number stays 1 because only the key frame is a reference.
      bits.fields(0, 0, 5, 0, 0, 0, 1, 8, since * 2, 8, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0);
      writeMotion(bits, options, key, view(frame));
      unit = bits.nal(0x01);
    }
    const data = new Uint8Array(4 + unit.length);
    new DataView(data.buffer).setUint32(0, unit.length);
    data.set(unit, 4);
    samples.push({ data, key: since === 0 });
  }
  const profile = spsNal.subarray(1, 4);
  return {
    samples,
    codec: `avc1.${Buffer.from(profile).toString('hex')}`,
    description: Uint8Array.of(1, ...profile, 0xff, 0xe1, 0, spsNal.length, ...spsNal, 1, 0, ppsNal.length, ...ppsNal),
  };
}

/** A motion vector in quarter pixels. */
type Vector = readonly [x: number, y: number];
const STILL: Vector = [0, 0];

/** The macroblocks of a P slice that shows the key frame as it is seen from `now`. */
function writeMotion(bits: Bits, { width, height }: MovingPicture, key: View, now: View): void {
  const columns = Math.ceil(width / 16);
  const rows = Math.ceil(height / 16);
  const vectors: Vector[] = [];
  const quarterPixels = (middle: number, size: number, from: number, to: number): number => {
    const seen = to + (middle - size / 2) / now.zoom; // in the still picture
    return Math.round(((seen - from) * key.zoom + size / 2 - middle) * 4);
  };
  let skipped = 0;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const vector: Vector = [
        quarterPixels(column * 16 + 8, width, key.x, now.x),
        quarterPixels(row * 16 + 8, height, key.y, now.y),
      ];
      const left = column > 0 ? vectors[row * columns + column - 1] : undefined;
      const above = row > 0 ? vectors[(row - 1) * columns + column] : undefined;
      // The upper right neighbour; in the last column the upper left one stands in for it (8.4.1.3.2).
      const corner = row > 0 ? vectors[(row - 1) * columns + column + (column < columns - 1 ? 1 : -1)] : undefined;
      vectors.push(vector);
      const predicted = predictedVector(left, above, corner);
      // A skipped macroblock stands still beside an edge or a neighbour that does (8.4.1.1).
      const skip = left === undefined || above === undefined || isStill(left) || isStill(above) ? STILL : predicted;
      if (skip[0] === vector[0] && skip[1] === vector[1]) {
        skipped++;
        continue;
      }
      bits.ue(skipped);
      skipped = 0;
      bits.ue(0); // P_L0_16x16
      bits.se(vector[0] - predicted[0]);
      bits.se(vector[1] - predicted[1]);
      bits.ue(0); // no coefficients (table 9-4, inter)
    }
  }
  if (skipped > 0) bits.ue(skipped);
}

const isStill = ([x, y]: Vector): boolean => x === 0 && y === 0;

/** What the decoder expects of a macroblock's motion (8.4.1.3). */
function predictedVector(left: Vector | undefined, above: Vector | undefined, corner: Vector | undefined): Vector {
  const known = [left, above, corner].filter((vector) => vector !== undefined);
  const [only] = known;
  if (known.length === 1 && only !== undefined) return only;
  const median = (axis: 0 | 1): number => {
    const [a, b, c] = [left?.[axis] ?? 0, above?.[axis] ?? 0, corner?.[axis] ?? 0];
    return Math.max(Math.min(a, b), Math.min(Math.max(a, b), c));
  };
  return [median(0), median(1)];
}
