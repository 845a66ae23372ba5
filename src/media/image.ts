import { imageSize } from 'image-size';
import { FailureType } from '../contract/failure-type.js';
import { type Issue, VideoError } from '../contract/video-error.js';

/** Largest image the provider takes, in bytes: 20 MB (image-to-video API reference, `img_url`). */
export const IMAGE_BYTES_MAX = 20 * 1024 * 1024;
/** Shortest side the provider takes, in pixels (same source). */
export const IMAGE_SIDE_MIN = 240;
/** Longest side the provider takes, in pixels (same source). */
export const IMAGE_SIDE_MAX = 8000;
/** How much of a file {@link inspectImage} wants to see: a JPEG's size may stand behind some 400 kB of APP segments. */
export const IMAGE_HEAD_BYTES = 1024 * 1024;

/** What an image's own bytes say. */
export interface ImageInfo {
  readonly mime: 'image/jpeg' | 'image/png' | 'image/bmp' | 'image/webp';
  /** File name extension without the dot. */
  readonly ext: 'jpg' | 'png' | 'bmp' | 'webp';
  /** Pixels as the image is shown: EXIF orientations 5 to 8 lie on their side, so theirs are swapped. */
  readonly width: number;
  readonly height: number;
}

const FORMATS = {
  jpg: 'image/jpeg',
  png: 'image/png',
  bmp: 'image/bmp',
  webp: 'image/webp',
} as const;

const ACCEPTED = 'use a JPEG, PNG, BMP or WEBP image';

/**
 * Judges an image by its content, never by its name, with the provider's rules (image-to-video API reference, `img_url`).
 * @param head - The first {@link IMAGE_HEAD_BYTES} bytes, or the whole file when it is shorter.
 * @param totalBytes - Length of the whole file.
 * @throws {@link VideoError} `ReferenceRejected` with all faults at once, each with the path `reference_image`.
 */
export function inspectImage(head: Uint8Array, totalBytes: number): ImageInfo {
  const faults: string[] = [];
  if (totalBytes === 0) throw rejected(['is empty; give an image']);
  if (totalBytes > IMAGE_BYTES_MAX) {
    faults.push(`has ${totalBytes} bytes; at most ${IMAGE_BYTES_MAX} (20 MB) are allowed, make it smaller`);
  }
  const kind = sniff(head);
  if (!(kind in FORMATS)) throw rejected([...faults, `is ${kind}; ${ACCEPTED}`]);
  const ext = kind as keyof typeof FORMATS;
  const size = sizeOf(head);
  if (size === undefined) throw rejected([...faults, `is a damaged or truncated ${ext} image; save it anew`]);
  for (const [side, pixels] of Object.entries(size)) {
    if (pixels < IMAGE_SIDE_MIN || pixels > IMAGE_SIDE_MAX) {
      faults.push(`has a ${side} of ${pixels} px; each side must be ${IMAGE_SIDE_MIN} to ${IMAGE_SIDE_MAX} px`);
    }
  }
  if (ext === 'png' && pngHasAlpha(head)) {
    faults.push('is a PNG with transparency, which the provider refuses; save it without an alpha channel');
  }
  if (faults.length > 0) throw rejected(faults);
  return { mime: FORMATS[ext], ext, ...size };
}

function rejected(faults: readonly string[]): VideoError {
  const issues: Issue[] = faults.map((message) => ({ path: 'reference_image', message }));
  return new VideoError(FailureType.ReferenceRejected, `reference_image ${faults.join('; it ')}`, {
    issues,
    billed: false,
    nextStep: 'Give another image; nothing was bought.',
  });
}

function sizeOf(head: Uint8Array): { width: number; height: number } | undefined {
  try {
    const { width, height, orientation = 1 } = imageSize(head);
    return orientation >= 5 ? { width: height, height: width } : { width, height };
  } catch {
    return undefined;
  }
}

function sniff(head: Uint8Array): string {
  const text = Buffer.from(head.subarray(0, 512)).toString('latin1');
  if (text.startsWith('\xff\xd8\xff')) return 'jpg';
  if (text.startsWith('\x89PNG\r\n\x1a\n')) return 'png';
  if (text.startsWith('RIFF') && text.startsWith('WEBP', 8)) return 'webp';
  if (text.startsWith('BM')) return 'bmp';
  return 'not an image of a known kind';
}

function pngHasAlpha(head: Uint8Array): boolean {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  if (head[25] === 4 || head[25] === 6) return true;
  for (let at = 8; at + 8 <= head.length; at += 12 + view.getUint32(at)) {
    const name = view.getUint32(at + 4);
    if (name === 0x49444154) return false; // IDAT
    if (name === 0x74524e53) return true; // tRNS
  }
  return false;
}
