import { writeFile } from 'node:fs/promises';

/** Writes a grey 24-bit BMP of the given size in pixels. */
export async function writeTestImage(
  file: string,
  { width, height }: { width: number; height: number },
): Promise<void> {
  const row = Math.ceil((width * 3) / 4) * 4;
  const image = Buffer.alloc(54 + row * height, 0x80);
  image.fill(0, 0, 54);
  image.write('BM', 0, 'latin1');
  image.writeUInt32LE(image.length, 2);
  image.writeUInt32LE(54, 10);
  image.writeUInt32LE(40, 14);
  image.writeInt32LE(width, 18);
  image.writeInt32LE(height, 22);
  image.writeUInt16LE(1, 26);
  image.writeUInt16LE(24, 28);
  await writeFile(file, image);
}
