import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import sharp, { type SharpOptions } from 'sharp';
import { expect, onTestFinished, test } from 'vitest';
import { FailureType } from '../../src/contract/failure-type.js';
import { IMAGE_BYTES_MAX } from '../../src/media/image.js';
import { checkImage, type StageableImage, stageImage } from '../../src/media/stage-image.js';
import { FileStore } from '../../src/storage/file-store.js';
import { gif, png } from './image-samples.js';

async function rooms() {
  const folder = await mkdtemp(join(tmpdir(), 'stage-image-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const spoolDir = join(folder, 'spool');
  await mkdir(spoolDir);
  return { folder, spoolDir, store: new FileStore(join(folder, 'store')) };
}

/** Every key of the store, and what was left on the way. */
async function left({ store, spoolDir }: Awaited<ReturnType<typeof rooms>>) {
  const keys: string[] = [];
  for await (const { key } of store.list('')) keys.push(key);
  return { keys, spooled: await readdir(spoolDir) };
}

const sha256Of = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const noise = { create: { width: 1400, height: 1000, channels: 3, noise: { type: 'gaussian', mean: 128, sigma: 60 } } };
/** Longer than what a stream gives at once. */
const long = await sharp(noise as SharpOptions)
  .jpeg({ quality: 100 })
  .toBuffer();

test.each<[string, (file: string, bytes: Buffer<ArrayBuffer>) => StageableImage]>([
  ['a path', (file) => file],
  ['bytes', (_, bytes) => bytes],
  ['a stream', (file) => createReadStream(file)],
  ['a generator', (file) => createReadStream(file, { highWaterMark: 29_999 })[Symbol.asyncIterator]()],
  ['a Blob', (_, bytes) => new Blob([bytes])],
  ['a web stream', (file) => Readable.toWeb(createReadStream(file)) as never],
])('an image given as %s is staged under the SHA-256 of its bytes, once', async (_, sourceOf) => {
  const room = await rooms();
  const file = join(room.folder, 'no-extension');
  await writeFile(file, long);
  for (let round = 0; round < 2; round++) {
    const staged = await stageImage(sourceOf(file, Buffer.from(long)), room.store, { spoolDir: room.spoolDir });
    const key = `references/${sha256Of(long)}.jpg`;
    expect(staged).toEqual({
      sha256: sha256Of(long),
      asset: { key, mime: 'image/jpeg', bytes: long.length, width: 1400, height: 1000 },
      changes: [],
    });
    expect(await left(room)).toEqual({ keys: [key], spooled: [] });
    expect(sha256Of(Buffer.concat(await (await room.store.get(key)).toArray()))).toBe(sha256Of(long));
  }
});

test.each<[string, Buffer, string]>([
  ['a GIF without a picture', gif(), 'GIF'],
  ['nothing', Buffer.alloc(0), 'empty'],
  ['a long JPEG that is cut off', long.subarray(0, -1), 'cut off'],
])('%s is refused in every form, and nothing is left', async (_, bytes, word) => {
  const room = await rooms();
  const file = join(room.folder, 'image.jpg');
  await writeFile(file, bytes);
  const fault = { type: FailureType.ReferenceRejected, issues: [{ message: expect.stringContaining(word) }] };
  await expect(stageImage(file, room.store)).rejects.toMatchObject(fault);
  await expect(stageImage(bytes, room.store, room)).rejects.toMatchObject(fault);
  await expect(stageImage(createReadStream(file), room.store, room)).rejects.toMatchObject(fault);
  expect(await checkImage(file)).toEqual([{ path: 'reference_image', message: expect.stringContaining(word) }]);
  expect(await left(room)).toEqual({ keys: [], spooled: [] });
});

test('a stream that never ends is cut at 20 MB and refused with its other faults', async () => {
  const room = await rooms();
  let given = 0;
  async function* endless() {
    yield png({ width: 100, colourType: 6 });
    for (;;) {
      given += 1_000_000;
      yield Buffer.alloc(1_000_000);
    }
  }
  await expect(stageImage(endless(), room.store, room)).rejects.toMatchObject({
    type: FailureType.ReferenceRejected,
    issues: ['larger than 20 MB', 'width of 100 px'].map((word) => ({
      path: 'reference_image',
      message: expect.stringContaining(word),
    })),
  });
  expect(given).toBeLessThan(IMAGE_BYTES_MAX + 2_000_000);
  expect(await left(room)).toEqual({ keys: [], spooled: [] });
});

test.each([
  ['missing.png', 'does not exist'],
  ['file/below.png', 'does not exist'],
  ['folder', 'is a folder'],
  ['/dev/null', 'is not a regular file'],
])('%s is refused because it %s, also when only checked', async (name, word) => {
  const room = await rooms();
  await mkdir(join(room.folder, 'folder'));
  await writeFile(join(room.folder, 'file'), 'x');
  const path = name.startsWith('/') ? name : join(room.folder, name);
  expect(await checkImage(path)).toEqual([
    { path: 'reference_image', message: expect.stringMatching(new RegExp(`${name}.*${word}`)) },
  ]);
  await expect(stageImage(path, room.store)).rejects.toMatchObject({ type: FailureType.ReferenceRejected });
});

test('a source that fails, or a caller who gives up, ends the staging with that very reason', async () => {
  const room = await rooms();
  const reason = new Error('the caller left');
  async function* failing() {
    yield long.subarray(0, 1000);
    throw reason;
  }
  await expect(stageImage(failing(), room.store, room)).rejects.toBe(reason);

  const controller = new AbortController();
  const silent = new Readable({ read: () => {} });
  silent.push(long.subarray(0, 1000));
  const staging = stageImage(silent, room.store, { ...room, signal: controller.signal });
  controller.abort(reason);
  await expect(staging).rejects.toBe(reason);
  expect(silent.destroyed).toBe(true);
  expect(await left(room)).toEqual({ keys: [], spooled: [] });
});

test('a file that changes between the check and the upload does not get into the store', async () => {
  const room = await rooms();
  const file = join(room.folder, 'image.jpg');
  await writeFile(file, long);
  const changing = Object.assign(Object.create(room.store) as FileStore, {
    put: async (...args: Parameters<FileStore['put']>) => {
      const other = Buffer.from(await readFile(file));
      other[other.length - 100] = 0x56;
      await writeFile(file, other);
      return room.store.put(...args);
    },
  });
  await expect(stageImage(file, changing)).rejects.toThrow();
  expect((await left(room)).keys).toEqual([]);
});
