import sharp from 'sharp';

/** Writes a grey PNG of the given size in pixels. */
export async function writeTestImage(
  file: string,
  { width, height }: { width: number; height: number },
): Promise<void> {
  const image = sharp({ create: { width, height, channels: 3, background: '#808080' } });
  await image.png().toFile(file);
}
