import { Bits } from './bits.js';

/** A small H.264 writer (Constrained Baseline, CAVLC, no deblocking): flat vertical bars plus 16x16 luma tiles. */

/** A colour as luma, blue and red difference, each in 16..235. */
export type Yuv = readonly [y: number, cb: number, cr: number];

/** 256 luma bytes of one macroblock; the same object in two frames means "unchanged". */
export type Tile = Uint8Array;

/** What to draw. */
export interface H264Options {
  /** Width in pixels, even. */
  width: number;
  /** Height in pixels, even. */
  height: number;
  /** Number of frames. */
  frames: number;
  /** Frames per second. */
  fps: number;
  /** Frames from one key frame to the next. */
  gop: number;
  /** Background, from left to right. */
  bars: readonly Yuv[];
  /** Tiles of a frame by macroblock index; a tile may change, but must not vanish, within a group of pictures. */
  tiles: (frame: number) => ReadonlyMap<number, Tile>;
}

/** One access unit in AVCC form (4-byte length prefix). */
export interface H264Sample {
  data: Uint8Array;
  key: boolean;
}

/** An encoded stream with what a muxer needs. */
export interface H264Stream {
  samples: H264Sample[];
  /** RFC 6381 codec string. */
  codec: string;
  /** AVCDecoderConfigurationRecord. */
  description: Uint8Array;
}

const I_PCM = 25;
const plane = (size: number, value: number): Uint8Array => new Uint8Array(size).fill(value);
const GREY = plane(64, 128);

/** Encodes a clip; the result is exact in size (cropping) and in frame count. */
export function encodeH264(options: H264Options): H264Stream {
  const { width, height, frames, fps, gop, bars, tiles } = options;
  const columns = Math.ceil(width / 16);
  const rows = Math.ceil(height / 16);
  const total = columns * rows;
  const barAt = (column: number): number => Math.floor((column * bars.length) / columns);
  const sps = new Bits();
  const level = total > 8192 ? 51 : total > 3600 ? 40 : 31;
  sps.fields(66, 8, 0xc0, 8, level, 8, 0, 0, 4, 0, 2, 0, 1, 0, 0, 1, columns - 1, 0, rows - 1, 0, 1, 1, 1, 1);
  sps.fields(1, 1, 0, 0, (columns * 16 - width) / 2, 0, 0, 0, (rows * 16 - height) / 2, 0); // cropping
  sps.fields(1, 1, 0, 4, 1, 1, 1, 32, fps * 2, 32, 1, 1, 0, 4); // VUI: fixed frame rate
  const pps = new Bits();
  pps.fields(0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 1, 1, 0, 2);
  const spsNal = sps.nal(0x67);
  const ppsNal = pps.nal(0x68);

  const keyFrame = (frame: number, drawn: ReadonlyMap<number, Tile>): Uint8Array => {
    const bits = new Bits();
    const coded = new Uint8Array(total); // 0 predicted, 1 I_PCM bar, 2 I_PCM tile
    bits.fields(0, 0, 7, 0, 0, 0, 0, 8, (frame / gop) & 1, 0, 0, 2, 0, 0, 1, 0);
    for (let k = 0; k < total; k++) {
      const x = k % columns;
      const top = k < columns;
      const above = top ? 0 : (coded[k - columns] ?? 0);
      const left = x === 0 ? 0 : (coded[k - 1] ?? 0);
      const tile = drawn.get(k);
      if (tile !== undefined) {
        bits.ue(I_PCM);
        bits.pcm(tile, GREY, GREY);
        coded[k] = 2;
      } else if (top ? x === 0 || barAt(x) !== barAt(x - 1) : above === 2) {
        const colour = bars[barAt(x)] ?? [128, 128, 128];
        bits.ue(I_PCM);
        bits.pcm(plane(256, colour[0]), plane(64, colour[1]), plane(64, colour[2]));
        coded[k] = 1;
      } else {
        bits.fields(top ? 2 : 1, 0, top ? 1 : 2, 0, 0, 0); // predicted from the left (top row) or from above
        if (left > 0 || above > 0) bits.u(3, 6);
        else bits.u(1, 1); // coeff_token 0; nC >= 8 beside I_PCM
      }
    }
    return bits.nal(0x65);
  };

  const deltaFrame = (
    number: number,
    drawn: ReadonlyMap<number, Tile>,
    before: ReadonlyMap<number, Tile>,
  ): Uint8Array => {
    const bits = new Bits();
    bits.fields(0, 0, 5, 0, 0, 0, number & 255, 8, 0, 3, 0, 0, 1, 0);
    let last = -1;
    const changed = [...drawn].filter(([k, tile]) => before.get(k) !== tile).sort(([a], [b]) => a - b);
    for (const [k, tile] of changed) {
      bits.fields(k - last - 1, 0, 5 + I_PCM, 0);
      bits.pcm(tile, GREY, GREY);
      last = k;
    }
    if (last < total - 1) bits.ue(total - 1 - last);
    return bits.nal(0x61);
  };

  const samples: H264Sample[] = [];
  let number = 0;
  let before: ReadonlyMap<number, Tile> = new Map();
  for (let frame = 0; frame < frames; frame++) {
    const key = frame % gop === 0;
    const drawn = tiles(frame);
    if (key) number = 0;
    const unit = key ? keyFrame(frame, drawn) : deltaFrame(number, drawn, before);
    number++;
    before = drawn;
    const data = new Uint8Array(4 + unit.length);
    new DataView(data.buffer).setUint32(0, unit.length);
    data.set(unit, 4);
    samples.push({ data, key });
  }
  const profile = spsNal.subarray(1, 4);
  return {
    samples,
    codec: `avc1.${Buffer.from(profile).toString('hex')}`,
    description: Uint8Array.of(1, ...profile, 0xff, 0xe1, 0, spsNal.length, ...spsNal, 1, 0, ppsNal.length, ...ppsNal),
  };
}
