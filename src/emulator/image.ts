import { imageSize } from 'image-size';

/** Width and height in pixels. */
export interface ImageSize {
  width: number;
  height: number;
}

/** Returns the size of a JPEG, PNG, BMP or WEBP image; null for other bytes. */
export function imageSizeOf(bytes: Buffer): ImageSize | null {
  const start = bytes.subarray(0, 12).toString('latin1');
  if (!/^(\xff\xd8\xff|\x89PNG\r\n|BM|RIFF[\s\S]{4}WEBP)/.test(start)) return null;
  try {
    const { width, height } = imageSize(bytes);
    return width > 0 && height > 0 ? { width, height } : null;
  } catch {
    return null;
  }
}
