import type { BitWriter } from './bit-writer.js';
import { H264Builder, type H264Stream, macroblocksOf, type VideoFormat, writePcm, type YuvPicture } from './h264.js';

/** What a camera over a still picture shows. */
export interface View {
  /** Middle of the view, in pixels of the still picture. */
  readonly x: number;
  readonly y: number;
  /** Magnification; 1 shows the whole picture. */
  readonly zoom: number;
}

/** A camera that moves over a still picture. */
interface MovingPicture extends VideoFormat {
  /** Number of frames. */
  readonly frames: number;
  /** Frames from one key frame to the next. */
  readonly keyInterval: number;
  /** View at a frame; its zoom never decreases between two key frames. */
  readonly view: (frame: number) => View;
  /** Picture of a view, in whole macroblocks. */
  readonly draw: (view: View) => YuvPicture;
}

/** A motion vector in quarter pixels. */
type Vector = readonly [x: number, y: number];

/**
 * Encodes the camera's movement. A key frame holds the samples of its view as they are (I_PCM). The frames up to the
 * next one move each 8x8 block of the key frame to where the camera sees it, without a residual.
 */
export function encodeMovingPicture(video: MovingPicture): H264Stream {
  const builder = new H264Builder(video);
  const { columns, rows } = macroblocksOf(video);
  let keyView = video.view(0);
  for (let frame = 0; frame < video.frames; frame++) {
    const view = video.view(frame);
    if (frame % video.keyInterval === 0) {
      keyView = view;
      const picture = video.draw(view);
      builder.addKeyFrame((bits) => {
        for (let row = 0; row < rows; row++)
          for (let column = 0; column < columns; column++) writePcm(bits, 'I', picture, column, row);
      });
    } else builder.addDeltaFrame('disposable', (bits) => writeMotion(bits, video, keyView, view));
  }
  return builder.build();
}

/** Writes the macroblocks of a P slice that shows the key frame as seen from `view`. */
function writeMotion(bits: BitWriter, video: MovingPicture, keyView: View, view: View): void {
  const macroblocks = macroblocksOf(video);
  const [columns, rows] = [macroblocks.columns * 2, macroblocks.rows * 2]; // of 8x8 blocks
  const motions = (blocks: number, size: number, axis: 'x' | 'y'): number[] =>
    Array.from({ length: blocks }, (_, block) => {
      const fromMiddle = block * 8 + 4 - size / 2;
      const inPicture = view[axis] + fromMiddle / view.zoom;
      return Math.round(((inPicture - keyView[axis]) * keyView.zoom - fromMiddle) * 4);
    });
  const xMotions = motions(columns, video.width, 'x');
  const yMotions = motions(rows, video.height, 'y');
  // A vector depends on nothing but its block's position, so that the neighbours' vectors need not be kept.
  const vectorAt = (column: number, row: number): Vector | undefined => {
    const [x, y] = [xMotions[column], yMotions[row]];
    return x === undefined || y === undefined ? undefined : [x, y];
  };
  for (let top = 0; top < rows; top += 2) {
    for (let left = 0; left < columns; left += 2) {
      bits.ue(0); // mb_skip_run
      bits.ue(3); // mb_type: P_8x8
      for (let block = 0; block < 4; block++) bits.ue(0); // sub_mb_type: one vector for the 8x8 block
      for (let block = 0; block < 4; block++) {
        const [column, row] = [left + (block & 1), top + (block >> 1)];
        const [x, y] = vectorAt(column, row) ?? [0, 0];
        // The block above to the right, or to the left where that one is outside or is decoded later (8.4.1.3.2).
        const corner = block === 3 || column + 1 === columns ? column - 1 : column + 1;
        const predicted = predictVector(
          vectorAt(column - 1, row),
          vectorAt(column, row - 1),
          vectorAt(corner, row - 1),
        );
        bits.se(x - predicted[0]);
        bits.se(y - predicted[1]);
      }
      bits.ue(0); // coded_block_pattern: no residual
    }
  }
}

/** Returns the vector that the decoder predicts from the neighbouring blocks (8.4.1.3). */
function predictVector(left: Vector | undefined, above: Vector | undefined, corner: Vector | undefined): Vector {
  if (above === undefined && corner === undefined) return left ?? [0, 0];
  const median = (axis: 0 | 1): number => {
    const [a, b, c] = [left?.[axis] ?? 0, above?.[axis] ?? 0, corner?.[axis] ?? 0];
    return Math.max(Math.min(a, b), Math.min(Math.max(a, b), c));
  };
  return [median(0), median(1)];
}
