import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp, { type SharpOptions } from 'sharp';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import type { ProcessLimits } from '../../src/media/child-processes.js';
import { ImageFitter } from '../../src/media/image-fitter.js';
import { pipelineOf, testPicture } from '../support/pictures.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'image-fitter-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function fileOf(content: Uint8Array | string): Promise<string> {
  const file = join(folder, crypto.randomUUID());
  await writeFile(file, content);
  return file;
}

function fitterWith(limits: Partial<ProcessLimits> = {}, child?: string): ImageFitter {
  const fitter = new ImageFitter(limits, child);
  onTestFinished(() => fitter.close());
  return fitter;
}

const noise = (width: number, height: number) =>
  sharp({ create: { width, height, channels: 3, noise: { type: 'gaussian', mean: 128, sigma: 40 } } } as SharpOptions);

test('a picture beyond the memory of the process is refused, and the next one is decoded', async () => {
  const fitter = fitterWith({ processes: 1, residentMegabytes: 150 });
  // An interlaced picture is decoded as a whole: 100 MB of pixels in a file of some 200 kB.
  const blank = sharp({ create: { width: 6000, height: 6000, channels: 3, background: '#456' } });
  const large = await fileOf(await blank.png({ progressive: true }).toBuffer());
  const good = await fileOf(await pipelineOf(testPicture()).jpeg().toBuffer());
  const [refused, accepted] = await Promise.allSettled([fitter.fit({ file: large }), fitter.fit({ file: good })]);
  expect(refused).toMatchObject({
    status: 'rejected',
    reason: {
      type: 'ReferenceRejected',
      retryable: false,
      message: expect.stringContaining('more than 150 MB of memory'),
    },
  });
  expect(accepted).toMatchObject({ status: 'fulfilled', value: { width: 320, height: 240 } });
});

test.each([
  ['that takes too long', 'for (;;);', { seconds: 1 }, 'ReferenceRejected', /cannot be decoded within 1 s; save it/],
  ['that ends the process', 'process.abort();', {}, 'ReferenceRejected', /ends the process that decodes it/],
  ['whose process is killed', "process.kill(process.pid, 'SIGKILL');", {}, 'StoreUnavailable', /ended by SIGKILL/],
])('a picture %s is refused, unless it is no fault of the picture', async (_, code, limits, type, message) => {
  const child = `${await fileOf('')}.mjs`;
  await writeFile(child, `process.on('message', () => { ${code} }); process.send({ kind: 'ready' });`);
  const error = await fitterWith(limits, child)
    .fit({ file: 'a' })
    .catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ type, message: expect.stringMatching(message) });
  expect((error as { retryable: boolean }).retryable).toBe(type === 'StoreUnavailable');
});

test('a file that is not there, or cannot be read, is no fault of the picture', async () => {
  await expect(fitterWith().fit({ file: join(folder, 'missing') })).rejects.toMatchObject({
    type: 'StoreUnavailable',
    message: expect.stringContaining('ENOENT'),
  });
});

test('sixteen pictures at once are decoded by two processes, in bounded memory', async () => {
  const bytes = await noise(1800, 1200).jpeg({ quality: 95 }).withMetadata({ orientation: 6 }).toBuffer();
  const file = await fileOf(bytes);
  const fitter = fitterWith();
  let most = 0;
  const watch = setInterval(() => void childrenMegabytes().then((total) => (most = Math.max(most, total))), 50);
  onTestFinished(() => clearInterval(watch));
  const images = await Promise.all(
    Array.from({ length: 16 }, (_, n) => fitter.fit({ file, output: join(folder, `sixteen-${n}`) })),
  );
  expect(new Set(images.map(({ fitted }) => fitted?.sha256)).size).toBe(1);
  expect(most).toBeLessThan(800);
});

/** Memory of this process's children, where the system says so. */
async function childrenMegabytes(): Promise<number> {
  const children = await readFile(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8').catch(() => '');
  let total = 0;
  for (const pid of children.split(' ').filter(Boolean)) {
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
    total += Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
  }
  return total;
}
