import { encodeMovingPicture, type View } from './moving-picture.js';
import { CLIP_FPS, muxed } from './mux.js';
import { drawStill, readStill } from './still.js';

/** How a picture is shown. */
export interface PictureClipOptions {
  /** Width in pixels, even. */
  readonly width: number;
  /** Height in pixels, even. */
  readonly height: number;
  /** Length of the video track in seconds. */
  readonly durationSeconds: number;
  /** Whether a (silent) AAC track is added. */
  readonly audio: boolean;
  /** Which way the camera goes, 0 (to the right) to 7, clockwise. */
  readonly direction: number;
}

/** Ways the camera can go. */
export const DIRECTIONS = 8;
/**
 * Frames from one key frame to the next: two seconds. Until then the picture grows by 6 %, so that the edge of an 8x8
 * block is a quarter pixel off; after longer intervals the return to the exact picture would show.
 */
const KEY_INTERVAL = CLIP_FPS * 2;
/** How much closer the camera is after a second: plain to see in a clip of 2 s, and not yet soft after 15 s. */
const ZOOM_PER_SECOND = 0.03;
/** How far from the middle the camera ends, as a share of the way to the picture's edge. */
const ASIDE = 0.8;

/**
 * Builds an MP4 (H.264, 30 fps, optional silent AAC) that begins with a JPEG or PNG picture, cropped around its middle to
 * the asked shape, and then comes slowly closer to one side of it. The same options always give the same bytes.
 * @throws Error for a picture that cannot be shown; see `readStill`.
 */
export async function makePictureClip(picture: Uint8Array, options: PictureClipOptions): Promise<Uint8Array> {
  const { width, height, durationSeconds, direction } = options;
  const still = readStill(picture, width, height);
  const angle = (2 * Math.PI * direction) / DIRECTIONS;
  const view = (frame: number): View => {
    const zoom = 1 + (ZOOM_PER_SECOND * frame) / CLIP_FPS;
    const aside = (ASIDE * (1 - 1 / zoom)) / 2;
    return {
      x: width * (0.5 + aside * Math.cos(angle)),
      y: height * (0.5 + aside * Math.sin(angle)),
      zoom,
    };
  };
  const stream = encodeMovingPicture({
    width,
    height,
    frames: Math.max(1, Math.round(durationSeconds * CLIP_FPS)),
    fps: CLIP_FPS,
    keyInterval: KEY_INTERVAL,
    view,
    draw: (at) => drawStill(still, at, width, height),
  });
  return muxed(stream, options);
}
