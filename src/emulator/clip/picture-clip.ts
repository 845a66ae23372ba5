import { encodeMovingPicture, type View } from './moving-picture.js';
import { CLIP_FPS, type ClipFormat, frameCountOf, muxMp4 } from './mux.js';
import { drawView, readStill } from './still.js';

/** Options of a clip that shows a picture. */
export interface PictureClipOptions extends ClipFormat {
  /** Direction of the camera: 0 (to the right) to 7, clockwise. */
  readonly direction: number;
}

/** Number of directions of the camera. */
export const DIRECTIONS = 8;
/**
 * Frames from one key frame to the next: two seconds. Until then the picture grows by 6 %, so that the edge of an 8x8
 * block is a quarter pixel off; after longer intervals the return to the exact picture would show.
 */
const KEY_INTERVAL = CLIP_FPS * 2;
/** Magnification per second: easy to see in a clip of 2 s, and not blurred after 15 s. */
const ZOOM_PER_SECOND = 0.03;
/** Movement of the camera away from the middle, as a fraction of what the zoom allows. */
const PAN = 0.8;

/**
 * Builds an MP4 (H.264, 30 fps, optional silent AAC) from a JPEG, PNG or WEBP: the picture, cropped around its middle
 * to the video's shape, and then a slow zoom to one side of it. The same input always gives the same bytes.
 * @throws Error for a picture that cannot be shown; see `readStill`.
 */
export async function makePictureClip(picture: Uint8Array, options: PictureClipOptions): Promise<Uint8Array> {
  const { width, height, direction } = options;
  const still = await readStill(picture, width, height);
  const angle = (2 * Math.PI * direction) / DIRECTIONS;
  const view = (frame: number): View => {
    const zoom = 1 + (ZOOM_PER_SECOND * frame) / CLIP_FPS;
    const pan = (PAN * (1 - 1 / zoom)) / 2;
    return { x: width * (0.5 + pan * Math.cos(angle)), y: height * (0.5 + pan * Math.sin(angle)), zoom };
  };
  const stream = encodeMovingPicture({
    width,
    height,
    fps: CLIP_FPS,
    frames: frameCountOf(options),
    keyInterval: KEY_INTERVAL,
    view,
    draw: (at) => drawView(still, at, width, height),
  });
  return muxMp4(stream, options);
}
