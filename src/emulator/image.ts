import sharp from 'sharp';
import { isReadable } from './clip/still.js';

/** Width and height in pixels. */
export interface ImageSize {
  width: number;
  height: number;
}

/** Returns the size of a JPEG, PNG, BMP or WEBP image as it is shown, upright; null for other bytes. */
export async function imageSizeOf(bytes: Buffer): Promise<ImageSize | null> {
  if (bytes.subarray(0, 2).toString('latin1') === 'BM') return bmpSizeOf(bytes);
  if (!isReadable(bytes)) return null;
  try {
    const { autoOrient: size } = await sharp(bytes, { limitInputPixels: false }).metadata();
    return size.width > 0 && size.height > 0 ? size : null;
  } catch {
    return null;
  }
}

/** The library reads no BMP; the rows of one may be stored from the top, as a negative height says. */
function bmpSizeOf(bytes: Buffer): ImageSize | null {
  if (bytes.length < 26) return null;
  const isOld = bytes.readUInt32LE(14) === 12;
  const width = isOld ? bytes.readUInt16LE(18) : bytes.readInt32LE(18);
  const height = Math.abs(isOld ? bytes.readUInt16LE(20) : bytes.readInt32LE(22));
  return width > 0 && height > 0 ? { width, height } : null;
}
