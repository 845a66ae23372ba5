import { imageSize } from 'image-size';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import { type ImageFormat, kindOfImage } from './image-kind.js';

/** Largest image the provider takes, in bytes: 20 MB (image-to-video API reference, `img_url`). */
export const IMAGE_BYTES_MAX = 20 * 1024 * 1024;
/** Shortest side the provider takes, in pixels (same source). */
const IMAGE_SIDE_MIN = 240;
/** Longest side the provider takes, in pixels (same source). */
const IMAGE_SIDE_MAX = 8000;
/** How much of a file {@link inspectImage} reads: a JPEG's size may come after hundreds of kilobytes of metadata. */
export const IMAGE_HEAD_BYTES = 1024 * 1024;

/** An image as its own bytes describe it. */
export interface ImageInfo {
  readonly mime: string;
  /** File name extension without the dot. */
  readonly ext: ImageFormat;
  /** Pixels as the image is shown: EXIF orientations 5 to 8 turn it on its side, so their two sides are exchanged. */
  readonly width: number;
  readonly height: number;
}

const MIME = { jpg: 'image/jpeg', png: 'image/png', bmp: 'image/bmp', webp: 'image/webp' } as const;

/**
 * Checks an image by its content, never by its name, with the provider's rules (image-to-video API reference,
 * `img_url`).
 * @param head - The first {@link IMAGE_HEAD_BYTES} bytes, or the whole file when it is shorter.
 * @param totalBytes - Length of the whole file.
 * @param ended - Whether the end mark of the picture was seen, from who read more than `head`; see {@link endMarkOf}.
 * @throws {@link VideoError} `ReferenceRejected` with all faults at once, each with the path `reference_image`.
 */
export function inspectImage(head: Uint8Array, totalBytes: number, ended = true): ImageInfo {
  if (totalBytes === 0) throw imageRejected(['is empty; give an image']);
  const faults: string[] = [];
  if (totalBytes > IMAGE_BYTES_MAX) faults.push(`is larger than 20 MB (${IMAGE_BYTES_MAX} bytes); make it smaller`);
  const { format, name } = kindOfImage(head);
  if (format === undefined) throw imageRejected([...faults, `is ${name}; use a JPEG, PNG, BMP or WEBP image`]);
  const size = sizeOf(head, format);
  if (size === undefined) {
    // Without a size nothing else can be checked. Only the head is read: no picture has that much metadata.
    const where = head.length < totalBytes ? `has no size in its first ${head.length} bytes` : 'is damaged or cut off';
    throw imageRejected([...faults, `is a ${format} image that ${where}; save it again without metadata`]);
  }
  for (const side of ['width', 'height'] as const) {
    if (size[side] < IMAGE_SIDE_MIN || size[side] > IMAGE_SIDE_MAX) {
      faults.push(`has a ${side} of ${size[side]} px; give ${IMAGE_SIDE_MIN} to ${IMAGE_SIDE_MAX} px on each side`);
    }
  }
  if (format === 'png') {
    const alpha = pngHasAlpha(head);
    if (alpha === true) {
      faults.push('is a PNG with transparency, which the provider refuses; save it without an alpha channel');
    } else if (alpha === undefined && head.length < totalBytes) {
      faults.push(
        `is a PNG with more than ${head.length} bytes of metadata before its picture; save it without metadata`,
      );
    }
  }
  // The end of an oversized file was not read.
  if (totalBytes <= IMAGE_BYTES_MAX && (!ended || isCut(head, totalBytes, format))) {
    faults.push(`is a ${format} image that is cut off; copy it again`);
  }
  if (faults.length > 0) throw imageRejected(faults);
  return { mime: MIME[format], ext: format, ...size };
}

/** The error for an image with these faults, each a phrase that follows the name of the field. */
export function imageRejected(faults: readonly string[]): VideoError {
  return new VideoError(FailureType.ReferenceRejected, `reference_image ${faults.join('; it ')}`, {
    issues: faults.map((message) => ({ path: 'reference_image', message })),
    billed: false,
    nextStep: 'Give another image; nothing was bought.',
  });
}

/** Bytes that hold the size of a PNG, BMP and WEBP; a shorter file would be read as one of size 0 or 1. */
const LONGEST_HEADER = 32;

interface Size {
  readonly width: number;
  readonly height: number;
}

function sizeOf(head: Uint8Array, format: ImageFormat): Size | undefined {
  if (head.length < LONGEST_HEADER) return undefined;
  try {
    // A copy, because the library reads on behind the end of a view into a larger buffer.
    const { type, width, height, orientation = 1 } = imageSize(new Uint8Array(head));
    // The library knows more formats than we take, and takes some for granted: a TGA may be any bytes.
    if (type !== format || !Number.isInteger(width) || !Number.isInteger(height)) return undefined;
    return orientation >= 5 ? { width: height, height: width } : { width, height };
  } catch {
    return undefined; // a TypeError or RangeError on anything it cannot read
  }
}

/** The last bytes of a complete picture, and the offset from which to search for them. */
export interface EndMark {
  readonly bytes: Uint8Array;
  /** Offset in the file; metadata before it may hold a preview with an end of its own. */
  readonly from: number;
}

/** The end mark of a JPEG or PNG; the other formats have their length at the beginning. */
export function endMarkOf(head: Uint8Array): EndMark | undefined {
  const { format } = kindOfImage(head);
  if (format === 'png') return { bytes: PNG_END, from: 8 };
  return format === 'jpg' ? { bytes: JPEG_END, from: jpegScanStart(head) } : undefined;
}

/** Name and checksum of the last chunk. */
const PNG_END = Uint8Array.of(0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82);
/** In the compressed picture an FF byte is never followed by D9. */
const JPEG_END = Uint8Array.of(0xff, 0xd9);

/** Where the compressed picture begins; the end of `head` when it is not in there. */
function jpegScanStart(head: Uint8Array): number {
  const view = viewOf(head);
  for (let at = 2; at + 4 <= head.length; ) {
    // Padding, or stray bytes between two segments, which every decoder passes over.
    if (head[at] !== 0xff || head[at + 1] === 0xff) at += 1;
    else if (head[at + 1] === 0xda) return at + 4;
    else at += 2 + view.getUint16(at + 2);
  }
  return head.length;
}

function isCut(head: Uint8Array, totalBytes: number, format: ImageFormat): boolean {
  const view = viewOf(head);
  if (format === 'webp') return view.getUint32(4, true) + 8 > totalBytes;
  if (format === 'bmp') return bmpBytes(view) > totalBytes;
  const mark = endMarkOf(head);
  if (mark === undefined || head.length < totalBytes) return false;
  return Buffer.from(head.buffer, head.byteOffset, head.byteLength).indexOf(mark.bytes, mark.from) < 0;
}

/** File header and the shortest information header. */
const BMP_HEADER_BYTES = 54;

/** Length that the header of a BMP promises. */
function bmpBytes(view: DataView): number {
  if (view.byteLength < BMP_HEADER_BYTES) return BMP_HEADER_BYTES;
  if (view.getUint32(30, true) !== 0) return 0; // compressed: the length is not known
  const row = Math.ceil((view.getUint16(28, true) * Math.abs(view.getInt32(18, true))) / 32) * 4;
  return view.getUint32(10, true) + row * Math.abs(view.getInt32(22, true));
}

/**
 * Alpha is in the colour type, or in a `tRNS` chunk, which must come before the first `IDAT` (PNG specification, 5.6).
 * `undefined` when `head` ends before that.
 */
function pngHasAlpha(head: Uint8Array): boolean | undefined {
  const colourType = head[25];
  if (colourType === 4 || colourType === 6) return true;
  for (const name of pngChunks(head)) {
    if (name === 'tRNS') return true;
    if (name === 'IDAT') return false;
  }
  return undefined;
}

/** Names of the chunks that begin in `head`, in order. */
function* pngChunks(head: Uint8Array): Generator<string> {
  const view = viewOf(head);
  for (let at = 8; at + 8 <= head.length; ) {
    yield String.fromCharCode(...head.subarray(at + 4, at + 8));
    at += 12 + view.getUint32(at);
  }
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
