import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { isReferenceSource, LocalImage } from '../../src/client/reference.js';
import { FileStore } from '../../src/storage/file-store.js';

const SAMPLE = fileURLToPath(new URL('../../assets/sample.jpg', import.meta.url));
let folder: string;
let bytes: Buffer;
let store: FileStore;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wan-video-reference-'));
  bytes = await readFile(SAMPLE);
  store = new FileStore(join(folder, 'store'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const stored = async (reference: string): Promise<Buffer> =>
  readFile(fileURLToPath(store.url(reference.slice('asset:'.length))));

test('a path, a file: URL, bytes, a Blob and streams of both kinds are the same image under the same reference', async () => {
  const sources = [
    SAMPLE,
    pathToFileURL(SAMPLE),
    new Uint8Array(bytes),
    new Blob([new Uint8Array(bytes)]),
    Readable.from([bytes.subarray(0, 100), bytes.subarray(100)]),
    new Blob([new Uint8Array(bytes)]).stream(),
  ];
  const references = new Set<string>();
  for (const source of sources) {
    const image = await LocalImage.read(source as string);
    expect(image.issues).toEqual([]);
    references.add(await image.stage(store));
    await image.dispose();
  }
  expect(references.size).toBe(1);
  expect((await stored([...references][0] as string)).equals(bytes)).toBe(true);
});

test('a file that is replaced after its check is staged as it was checked', async () => {
  const path = join(folder, 'changing.jpg');
  await writeFile(path, bytes);
  const image = await LocalImage.read(path);
  await writeFile(path, 'something else');
  const reference = await image.stage(store);
  expect(reference).toBe(image.reference);
  expect((await stored(reference)).equals(bytes)).toBe(true);
  await image.dispose();
});

test('an image with faults names them and cannot be staged', async () => {
  const image = await LocalImage.read(Buffer.from('text'));
  expect(image.issues).toEqual([{ path: 'reference_image', message: expect.stringMatching(/use a JPEG/) }]);
  await expect(image.stage(store)).rejects.toMatchObject({ type: 'ReferenceRejected' });
  expect(() => image.info).toThrow(/use a JPEG/);
  await image.dispose();
});

test('an abort ends the reading of a silent stream with its reason', async () => {
  const stop = new AbortController();
  const reading = LocalImage.read(new Readable({ read() {} }), { signal: stop.signal });
  stop.abort(new Error('enough'));
  await expect(reading).rejects.toThrow('enough');
});

test.each([
  { source: 'https://example.com/a.png', expected: true },
  { source: new URL('http://example.com/a.png'), expected: true },
  { source: 'asset:references/x.png', expected: true },
  { source: 'oss://bucket/x', expected: true },
  { source: 'data:image/png;base64,AA', expected: true },
  { source: 'file:///tmp/a.png', expected: false },
  { source: 'assets/sample.jpg', expected: false },
  { source: 'C:\\pictures\\a.png', expected: false },
  { source: '-', expected: false },
])('$source goes into the request as it is: $expected', ({ source, expected }) => {
  expect(isReferenceSource(source)).toBe(expected);
});
