import { encodeBars, type Tile, tileOf } from './bars.js';
import { macroblocksOf } from './h264.js';
import { CLIP_FPS, type ClipFormat, frameCountOf, muxMp4 } from './mux.js';

/** Options of {@link makeClip}. */
export interface ClipOptions extends ClipFormat {
  /** Determines the colours. */
  readonly seed: number;
  /** Text in the picture; letters, digits and dashes are drawn. */
  readonly label: string;
}

const WHITE = 235;
const BLACK = 16;

/** Glyphs of 5x7 pixels as five columns each; the lowest bit is the top. */
const GLYPHS = new Map(
  (
    '0:3E5149453E 1:00427F4000 2:4261514946 3:2141454B31 4:1814127F10 5:2745454539 6:3C4A494930 7:0171090503 ' +
    '8:3649494936 9:064949291E A:7E1111117E B:7F49494936 C:3E41414122 D:7F4141221C E:7F49494941 F:7F09090901 ' +
    'G:3E4149497A H:7F0808087F I:00417F4100 J:2040413F01 K:7F08142241 L:7F40404040 M:7F020C027F N:7F0408107F ' +
    'O:3E4141413E P:7F09090906 Q:3E4151215E R:7F09192946 S:4649494931 T:01017F0101 U:3F4040403F V:1F2040201F ' +
    'W:3F4038403F X:6314081463 Y:0708700807 Z:6151494543 -:0808080808'
  )
    .split(' ')
    .map((entry): [string, Buffer] => [entry.slice(0, 1), Buffer.from(entry.slice(2), 'hex')]),
);

const glyphTiles = new Map<string, Tile>();

function glyphTile(character: string): Tile {
  const name = character.toUpperCase();
  const known = glyphTiles.get(name);
  if (known !== undefined) return known;
  const luma = new Uint8Array(256).fill(BLACK);
  const columns = GLYPHS.get(name);
  if (columns !== undefined) {
    for (let y = 0; y < 14; y++) {
      for (let x = 0; x < 10; x++) {
        if (((columns[x >> 1] ?? 0) >> (y >> 1)) & 1) luma[(y + 1) * 16 + x + 3] = WHITE;
      }
    }
  }
  const tile = tileOf(luma);
  glyphTiles.set(name, tile);
  return tile;
}

const PROGRESS_DONE = tileOf(210);
const PROGRESS_TODO = tileOf(48);

/**
 * Builds an animated MP4 (H.264, 30 fps, optional silent AAC): coloured bars, the label, a frame counter and a progress
 * bar. The same options always give the same bytes.
 */
export async function makeClip(options: ClipOptions): Promise<Uint8Array> {
  const video = { width: options.width, height: options.height, fps: CLIP_FPS };
  const frames = frameCountOf(options);
  const { columns, rows } = macroblocksOf(video);
  const lineLength = Math.max(0, columns - 2);
  const tilesOf = (frame: number): Map<number, Tile> => {
    const tiles = new Map<number, Tile>();
    const putLine = (row: number, line: readonly Tile[]): void => {
      // The bars are predicted from the top row, which therefore has no tiles.
      if (row < 1 || row >= rows) return;
      for (const [i, tile] of line.slice(0, lineLength).entries()) tiles.set(row * columns + 1 + i, tile);
    };
    putLine(1, [...options.label].map(glyphTile));
    putLine(3, [...String(frame).padStart(5, '0')].map(glyphTile));
    const done = Math.ceil(((frame + 1) / frames) * lineLength);
    const progress = Array.from({ length: lineLength }, (_, i) => (i < done ? PROGRESS_DONE : PROGRESS_TODO));
    if (rows - 2 > 3) putLine(rows - 2, progress);
    return tiles;
  };
  const stream = encodeBars({ ...video, frames, keyInterval: CLIP_FPS, bars: barsOf(options.seed), tiles: tilesOf });
  return muxMp4(stream, options);
}

/** Returns six colours that depend on the seed (linear congruential generator). */
function barsOf(seed: number): Tile[] {
  let state = (seed ^ 0x9e3779b9) >>> 0;
  const next = (min: number, max: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return min + ((state >>> 8) % (max - min + 1));
  };
  return Array.from({ length: 6 }, () => tileOf(next(50, 200), next(60, 200), next(60, 200)));
}
