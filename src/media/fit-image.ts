import { createHash } from 'node:crypto';
import { open, writeFile } from 'node:fs/promises';
import sharp, { type Metadata, type Sharp } from 'sharp';
import { DEFAULT_BACKGROUND } from '../contract/image-reference.js';
import { cleanText } from '../contract/safe-text.js';
import { readBmp, UnreadableKind } from './bmp.js';
import {
  type ExaminedImage,
  IMAGE_BYTES_MAX,
  IMAGE_SIDE_MAX,
  IMAGE_SIDE_MIN,
  type ImageChange,
  pixelChangeOf,
  type SendableImage,
} from './image.js';
import { type ImageFormat, kindOfImage } from './image-kind.js';
import { type ImageLayout, layoutOf, stripImage } from './image-layout.js';

/** An image to decode, and what is wanted of it. */
export interface FitJob {
  readonly file: string;
  /** Whether the file is the beginning of a longer one. */
  readonly isCut?: boolean | undefined;
  /** Where the image goes that is sent instead; absent: it is only examined. */
  readonly output?: string | undefined;
  /** Colour behind transparent parts, `#rrggbb`; default: white. */
  readonly background?: string | undefined;
}

/** Faults of an image, each a phrase that follows the name of the field. */
export class ImageFaults extends Error {
  readonly faults: readonly string[];

  constructor(faults: readonly string[]) {
    super(faults.join('; '));
    this.faults = faults;
  }
}

const FORMATS = 'use a JPEG, PNG, WEBP, TIFF, GIF, AVIF or BMP image';
/** HEVC is not in the decoder, because of its patents. */
const HEIC_WAYS =
  'save it as a JPEG: on an iPhone by Settings > Camera > Formats > Most Compatible, or by sending it by mail; on a ' +
  'Mac with "sips -s format jpeg in.heic --out out.jpg"; on Windows with Photos > Save as; on Linux with ' +
  '"heif-convert in.heic out.jpg"';

const MIME: Readonly<Record<ImageFormat, string>> = {
  jpg: 'image/jpeg',
  png: 'image/png',
  webp: 'image/webp',
  bmp: 'image/bmp',
  gif: 'image/gif',
  tif: 'image/tiff',
  avif: 'image/avif',
};
/** What the decoder calls our formats. */
const DECODERS: Partial<Readonly<Record<string, ImageFormat>>> = {
  jpeg: 'jpg',
  png: 'png',
  webp: 'webp',
  gif: 'gif',
  tiff: 'tif',
  heif: 'avif',
};
/** Formats that the provider takes and that may be sent as they are. */
const SENT: readonly ImageFormat[] = ['jpg', 'png', 'webp'];

/** A larger picture without losses becomes a JPEG: as a PNG it takes seconds to write, and megabytes to send. */
const PNG_PIXELS_MAX = 16_000_000;
const JPEG_QUALITIES = [95, 85] as const;
/** An sRGB profile has some 3 kB; what is far longer is replaced, because decoders refuse it. */
const PROFILE_BYTES_MAX = 128 * 1024;

sharp.cache(false);
// A picture is decoded in one thread anyway, and each further one has buffers of its own.
sharp.concurrency(1);
// No other decoder of the library may see the bytes of a stranger: SVG fetches, and others are rarely used.
sharp.block({ operation: ['VipsForeignLoad'] });
sharp.unblock({
  operation: ['Jpeg', 'Png', 'Webp', 'Nsgif', 'Tiff', 'Heif'].map((loader) => `VipsForeignLoad${loader}`),
});

/**
 * Decodes an image whole, so that one that is damaged inside is found, and makes it fit for the provider: upright,
 * opaque, 8-bit sRGB, JPEG, PNG or WEBP, without metadata. An image that is fit stays as it is.
 * @throws {@link ImageFaults} with all faults at once.
 */
export async function fitImage({
  file,
  isCut,
  output,
  background = DEFAULT_BACKGROUND,
}: FitJob): Promise<ExaminedImage> {
  const { bytes, isLonger } = await readImage(file);
  if (bytes.length === 0) throw new ImageFaults(['is empty; give an image']);
  const faults: string[] = [];
  const isTooLarge = isCut === true || isLonger;
  if (isTooLarge) faults.push(`is larger than 20 MB (${IMAGE_BYTES_MAX} bytes); make it smaller`);
  const { format, name } = kindOfImage(bytes);
  if (format === undefined) {
    throw new ImageFaults([...faults, `is ${name}; ${name === 'a HEIC image' ? HEIC_WAYS : FORMATS}`]);
  }
  const damaged = (why: unknown) => new ImageFaults([...faults, `is ${name} that ${describeDamage(why)}`]);
  const layout = layoutOf(bytes, format);
  const source = await openSource(bytes, format, layout).catch((error: unknown) => {
    throw damaged(error);
  });
  const { meta } = source;
  const { width, height } = meta.autoOrient;
  for (const [side, pixels] of [['width', width] as const, ['height', height] as const]) {
    if (pixels < IMAGE_SIDE_MIN || pixels > IMAGE_SIDE_MAX) {
      faults.push(`has a ${side} of ${pixels} px; give ${IMAGE_SIDE_MIN} to ${IMAGE_SIDE_MAX} px on each side`);
    }
  }
  if (!isTooLarge && layout?.isWhole === false) faults.push(`is ${name} that is cut off; copy it again`);
  if (faults.length > 0) throw new ImageFaults(faults);

  const changes = changesOf(format, name, meta, layout, background);
  const isSamePicture = pixelChangeOf(changes) === 'none';
  let sent: { readonly data: Buffer; readonly ext: ImageFormat } | undefined;
  try {
    if (isSamePicture || output === undefined) await source.decode();
    if (output === undefined || changes.length === 0) sent = undefined;
    else if (!isSamePicture) sent = await encode(source, format, background, width * height);
    else if (layout !== undefined) sent = { data: stripImage(layout, format), ext: format };
  } catch (error) {
    throw damaged(error);
  }
  if (sent !== undefined && output !== undefined) await writeFile(output, sent.data);
  const described = (data: Buffer, ext: ImageFormat): SendableImage => {
    const sha256 = createHash('sha256').update(data).digest('hex');
    return { sha256, mime: MIME[ext], ext, bytes: data.length, width, height };
  };
  return {
    ...described(bytes, format),
    changes,
    ...(sent !== undefined && { fitted: described(sent.data, sent.ext) }),
  };
}

/** Reads a file once, so that what is decoded is what is hashed, even if it grows meanwhile. */
async function readImage(file: string): Promise<{ readonly bytes: Buffer; readonly isLonger: boolean }> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    const bytes = Buffer.allocUnsafe(Math.min(size, IMAGE_BYTES_MAX) + 1);
    let filled = 0;
    while (filled < bytes.length) {
      const { bytesRead } = await handle.read(bytes, filled, bytes.length - filled, filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return { bytes: bytes.subarray(0, Math.min(filled, IMAGE_BYTES_MAX)), isLonger: filled > IMAGE_BYTES_MAX };
  } finally {
    await handle.close();
  }
}

/** A picture that can be decoded. */
interface Source {
  readonly meta: Metadata;
  /** A pipeline at its beginning. */
  readonly open: () => Sharp;
  /** Decodes every pixel and keeps none. */
  readonly decode: () => Promise<void>;
}

/** What the library reports of a JPEG whose picture it reads nevertheless. */
const DAMAGE = /corrupt/i;

async function openSource(bytes: Buffer, format: ImageFormat, layout: ImageLayout | undefined): Promise<Source> {
  // Stray bytes between the segments of a JPEG are no damage, and the decoder reports them as such.
  const length = layout?.parts.reduce((sum, part) => sum + part.bytes.length, 0);
  const tidy = format === 'jpg' && layout?.isWhole === true && length !== bytes.length;
  const input = tidy ? Buffer.concat(layout.parts.map((part) => part.bytes)) : bytes;
  const bmp = format === 'bmp' ? readBmp(bytes, IMAGE_SIDE_MAX) : undefined;
  // Of a TIFF the decoder warns about any odd tag, and reports damage to its picture as an error.
  const failOn = format === 'tif' ? 'error' : 'warning';
  const options = { failOn, limitInputPixels: IMAGE_SIDE_MAX ** 2 } as const;
  const { channels, ...size } = bmp ?? { channels: 3 as const, width: 0, height: 0 };
  const openAt = (): Sharp =>
    bmp === undefined
      ? sharp(input, options)
      : sharp(bmp.pixels, { raw: { width: size.width, height: size.height, channels } });
  // The size is judged by our own limits, which name it.
  const meta = await (bmp === undefined
    ? sharp(input, { failOn: 'none', limitInputPixels: false })
    : openAt()
  ).metadata();
  if (bmp === undefined && DECODERS[meta.format ?? ''] !== format) throw new Error(`it holds ${meta.format}`);
  // Samples below zero are measurements: which of them is black, only their maker knows.
  if (['char', 'short', 'int'].includes(meta.depth ?? '')) throw new UnreadableKind('its samples may be negative');
  if (meta.compression === 'hevc') throw new Error(`it holds HEVC; ${HEIC_WAYS}`);
  return {
    meta,
    open: openAt,
    decode: async () => {
      let damage: string | undefined;
      const pipeline = openAt();
      pipeline.on('warning', (warning: string) => {
        if (DAMAGE.test(warning)) damage ??= warning;
      });
      // Every line is read; with the decoder's own shrinking some damage goes unnoticed.
      await pipeline.resize(16, 16, { fit: 'fill', kernel: 'linear', fastShrinkOnLoad: false }).raw().toBuffer();
      if (damage !== undefined) throw new Error(damage);
    },
  };
}

function changesOf(
  format: ImageFormat,
  name: string,
  meta: Metadata,
  layout: ImageLayout | undefined,
  background: string,
): ImageChange[] {
  const changes: ImageChange[] = [];
  const { orientation = 1, icc } = meta;
  if (orientation > 1) {
    changes.push({ code: 'reference_rotated', done: `turned upright, as its EXIF orientation ${orientation} says` });
  }
  if (meta.hasAlpha === true) {
    changes.push({ code: 'reference_flattened', done: `made opaque: ${background} is behind its transparent parts` });
  }
  const from: string[] = [];
  if (!SENT.includes(format)) from.push(name);
  if (layout?.variant !== undefined) from.push(layout.variant);
  else if ((meta.pages ?? 1) > 1) from.push(format === 'tif' ? 'several pages' : 'an animation');
  if (meta.depth !== undefined && meta.depth !== 'uchar') from.push('more than 8 bits per colour');
  if (meta.space !== undefined && !['srgb', 'rgb', 'b-w', 'rgb16', 'grey16'].includes(meta.space)) {
    from.push(`the colours ${meta.space.toUpperCase()}`);
  }
  if (icc !== undefined && !isSrgb(icc)) from.push('another colour profile');
  if (from.length > 0) {
    const first =
      (meta.pages ?? 1) > 1 || layout?.variant === 'an animation' ? ', of which the first picture is used' : '';
    changes.push({ code: 'reference_converted', done: `converted to 8-bit sRGB from ${from.join(', ')}${first}` });
  }
  if (layout?.isPersonal === true || (layout === undefined && [meta.exif, meta.xmp, meta.iptc].some(Boolean))) {
    changes.push({ code: 'reference_stripped', done: 'stripped of its metadata, which may name a place or a person' });
  }
  return changes;
}

/** Whether a colour profile calls itself sRGB; the name is ASCII, or UTF-16 in newer profiles. */
function isSrgb(icc: Buffer): boolean {
  if (icc.length > PROFILE_BYTES_MAX) return false;
  return icc.includes('sRGB', 128, 'latin1') || icc.includes(Buffer.from('\0s\0R\0G\0B', 'latin1'), 128);
}

async function encode(source: Source, format: ImageFormat, background: string, pixels: number) {
  const pipeline = (): Sharp => source.open().autoOrient().flatten({ background }).toColourspace('srgb');
  if (format !== 'jpg' && format !== 'avif' && pixels <= PNG_PIXELS_MAX) {
    const data = await pipeline().png({ compressionLevel: 6 }).toBuffer();
    if (data.length <= IMAGE_BYTES_MAX) return { data, ext: 'png' } as const;
  }
  for (const quality of JPEG_QUALITIES) {
    // Optimal tables need the whole picture's coefficients in memory: 144 MB for 24 megapixels.
    const options = { quality, chromaSubsampling: '4:4:4', optimiseCoding: false };
    const data = await pipeline().jpeg(options).toBuffer();
    if (data.length <= IMAGE_BYTES_MAX) return { data, ext: 'jpg' } as const;
  }
  throw new Error(`it has more than ${IMAGE_BYTES_MAX} bytes once it is converted; make it smaller`);
}

/** What the library says of a picture that it reads in no case, whole or damaged. */
const UNSUPPORTED =
  /not (?:configured|supported|implemented)|unsupported (?!image format)|bad labq|not a whole number|required field/i;

function describeDamage(error: unknown): string {
  // The library's own words, which may quote the file.
  const [line = ''] = error instanceof Error ? error.message.split('\n') : [];
  if (error instanceof UnreadableKind || UNSUPPORTED.test(line))
    return `is of a kind that is not read (${cleanText(line, 120)}); save it as a JPEG or PNG`;
  return `is damaged or cut off (${cleanText(line, 120)}); copy it again`;
}
