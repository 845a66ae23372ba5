import type { ImageFormat } from './image-kind.js';

/** A stretch of a file, in order. */
interface ImagePart {
  readonly bytes: Uint8Array;
  /** Says something about the picture, such as its place or its owner, and is not needed to show it. */
  readonly isMetadata: boolean;
}

/** A file's outer structure; its picture is not decoded. */
export interface ImageLayout {
  /** Without the bytes that belong to none; a stripped file consists of those that are no metadata. */
  readonly parts: readonly ImagePart[];
  /** Whether metadata may name a place, a person or a device: EXIF, XMP, IPTC, free text. */
  readonly isPersonal: boolean;
  /** Whether the end of the picture is there. */
  readonly isWhole: boolean;
  /** A variant that not every decoder reads, such as arithmetic coding, or that moves. */
  readonly variant: string | undefined;
}

const buffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Reads the structure of a format whose metadata can be removed without decoding; `undefined` for another one. */
export function layoutOf(bytes: Uint8Array, format: ImageFormat): ImageLayout | undefined {
  if (format === 'jpg') return jpegLayout(buffer(bytes));
  if (format === 'png') return pngLayout(buffer(bytes));
  return format === 'webp' ? webpLayout(buffer(bytes)) : undefined;
}

/** Joins the parts of a file again, without its metadata. */
export function stripImage({ parts }: ImageLayout, format: ImageFormat): Buffer {
  const stripped = Buffer.concat(parts.filter(({ isMetadata }) => !isMetadata).map(({ bytes }) => bytes));
  if (format !== 'webp') return stripped;
  stripped.writeUInt32LE(stripped.length - 8, 4);
  // Its extended header says which other chunks there are: neither EXIF nor XMP.
  if (stripped.toString('latin1', 12, 16) === 'VP8X') stripped[20] = (stripped[20] ?? 0) & ~0x0c;
  return stripped;
}

/** SOF markers other than these are lossless, hierarchical or arithmetic. */
const USUAL_FRAMES: readonly number[] = [0xc0, 0xc1, 0xc2];
/** JFIF and Adobe's colour transform, without which colours are guessed. */
const JPEG_NEEDED: readonly number[] = [0xe0, 0xee];
const ICC = 'ICC_PROFILE\0';

function jpegLayout(file: Buffer): ImageLayout {
  const parts: ImagePart[] = [{ bytes: file.subarray(0, 2), isMetadata: false }];
  let variant: string | undefined;
  let isPersonal = false;
  const end = (isWhole: boolean): ImageLayout => ({ parts, isPersonal, isWhole, variant });
  for (let at = 2; at + 2 <= file.length; ) {
    const marker = file[at + 1] ?? 0;
    // Padding, or stray bytes between two segments, which every decoder passes over.
    if (file[at] !== 0xff || marker === 0xff || marker === 0) {
      at += 1;
      continue;
    }
    const hasLength = marker !== 0xd9 && marker !== 0x01 && (marker < 0xd0 || marker > 0xd7);
    if (hasLength && at + 4 > file.length) return end(false);
    let next = at + 2 + (hasLength ? file.readUInt16BE(at + 2) : 0);
    if (marker === 0xda) next = endOfScan(file, next);
    const isSegment = (marker >= 0xe0 && marker <= 0xef) || marker === 0xfe;
    const isNeeded =
      !isSegment ||
      JPEG_NEEDED.includes(marker) ||
      (marker === 0xe2 && file.toString('latin1', at + 4, at + 4 + ICC.length) === ICC);
    parts.push({ bytes: file.subarray(at, next), isMetadata: !isNeeded });
    if (marker === 0xe1 || marker === 0xed) isPersonal = true;
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker) && !USUAL_FRAMES.includes(marker))
      variant = 'a rare kind of JPEG';
    if (marker === 0xd9) return end(true);
    at = next;
  }
  return end(false);
}

/** In the compressed picture an FF byte is followed by a zero or by a restart marker. */
function endOfScan(file: Buffer, start: number): number {
  for (let at = file.indexOf(0xff, start); at >= 0; at = file.indexOf(0xff, at + 1)) {
    const next = file[at + 1] ?? 0;
    if (next !== 0 && next !== 0xff && (next < 0xd0 || next > 0xd7)) return at;
  }
  return file.length;
}

/** Text, EXIF and the time of the last change. */
const PNG_METADATA: readonly string[] = ['tEXt', 'zTXt', 'iTXt', 'eXIf', 'tIME'];
/** Texts that programs write of themselves. */
const PROGRAM_TEXT = /^(Software|date:\w+)\0/;

function pngLayout(file: Buffer): ImageLayout {
  const parts: ImagePart[] = [{ bytes: file.subarray(0, 8), isMetadata: false }];
  let variant: string | undefined;
  let isPersonal = false;
  for (let at = 8; at + 12 <= file.length; ) {
    const next = at + 12 + file.readUInt32BE(at);
    const name = file.toString('latin1', at + 4, at + 8);
    if (name === 'acTL') variant = 'an animation';
    const isMetadata = PNG_METADATA.includes(name);
    parts.push({ bytes: file.subarray(at, next), isMetadata });
    if (isMetadata && name !== 'tIME' && !PROGRAM_TEXT.test(file.toString('latin1', at + 8, at + 32)))
      isPersonal = true;
    if (name === 'IEND') return { parts, isPersonal, isWhole: next <= file.length, variant };
    at = next;
  }
  return { parts, isPersonal, isWhole: false, variant };
}

function webpLayout(file: Buffer): ImageLayout {
  const parts: ImagePart[] = [{ bytes: file.subarray(0, 12), isMetadata: false }];
  const end = file.length >= 12 ? 8 + file.readUInt32LE(4) : 12;
  for (let at = 12; at + 8 <= Math.min(end, file.length); ) {
    const length = file.readUInt32LE(at + 4);
    const name = file.toString('latin1', at, at + 4);
    const next = at + 8 + length + (length % 2);
    parts.push({ bytes: file.subarray(at, next), isMetadata: name === 'EXIF' || name === 'XMP ' });
    at = next;
  }
  const isPersonal = parts.some(({ isMetadata }) => isMetadata);
  return { parts, isPersonal, isWhole: end <= file.length, variant: undefined };
}
