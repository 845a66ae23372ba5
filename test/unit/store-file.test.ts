import { chmod, mkdir, mkdtemp, readdir, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { FailureType } from '../../src/contract/failure-type.js';
import { FileStore } from '../../src/storage/file-store.js';

async function openTemporary() {
  const directory = await mkdtemp(join(tmpdir(), 'wan-video-store-'));
  onTestFinished(async () => {
    await chmod(directory, 0o700);
    await rm(directory, { recursive: true, force: true });
  });
  return { directory, store: new FileStore(directory) };
}

test('keys are addressed as file:// URLs of the files they become', async () => {
  const { directory, store } = await openTemporary();
  await store.put('videos/~41=b.mp4', Buffer.from('x'));
  expect(fileURLToPath(store.url('videos/~41=b.mp4'))).toBe(join(directory, 'videos', '~41=b.mp4'));
  expect(await readdir(join(directory, 'videos'))).toEqual(['~41=b.mp4']);
});

test('reading a store that does not exist makes nothing', async () => {
  const { directory } = await openTemporary();
  const store = new FileStore(join(directory, 'none'));
  expect(await store.head('a/one.json')).toBeUndefined();
  for await (const { key } of store.list('')) expect.fail(key);
  await store.delete('a/one.json');
  expect(await readdir(directory)).toEqual([]);
});

test('what a dead process left unfinished is removed by the first put, and what is young stays', async () => {
  const { directory, store } = await openTemporary();
  await mkdir(join(directory, '.partial'));
  for (const [name, hours] of [
    ['old', 49],
    ['young', 1],
  ] as const) {
    const path = join(directory, '.partial', name);
    await writeFile(path, 'half');
    const then = new Date(Date.now() - hours * 3_600_000);
    await utimes(path, then, then);
  }
  await store.put('a/one.json', Buffer.from('{}'));
  expect(await readdir(join(directory, '.partial'))).toEqual(['young']);
});

test('a store whose directory was deleted meanwhile is made again by the next put', async () => {
  const { directory, store } = await openTemporary();
  await store.put('a/one.json', Buffer.from('1'));
  await rm(directory, { recursive: true });
  expect(await store.head('a/one.json')).toBeUndefined();
  expect(await store.put('a/one.json', Buffer.from('2'), { ifAbsent: true })).toEqual({ stored: true });
});

test('a put leaves nothing next to its file, whichever way it ends', async () => {
  const { directory, store } = await openTemporary();
  await store.put('a/one.json', Buffer.from('1'), { ifAbsent: true });
  await store.put('a/one.json', Buffer.from('2'), { ifAbsent: true });
  await store.put('a/one.json', Buffer.from('3'));
  await store.put('a/one.json', Buffer.from('4'), { bytes: 9 }).catch(() => undefined);
  expect(await readdir(join(directory, '.partial'))).toEqual([]);
  expect(await readdir(join(directory, 'a'))).toEqual(['one.json']);
});

test('files that are no keys are not listed', async () => {
  const { directory, store } = await openTemporary();
  await store.put('a/one.json', Buffer.from('{}'));
  await writeFile(join(directory, 'a', '.DS_Store'), '');
  await writeFile(join(directory, 'a', 'my notes.txt'), '');
  await symlink('/', join(directory, 'a', 'root'));
  const keys: string[] = [];
  for await (const { key } of store.list('')) keys.push(key);
  expect(keys).toEqual(['a/one.json']);
});

test('a folder is not an asset', async () => {
  const { store } = await openTemporary();
  await store.put('a/b/one.json', Buffer.from('{}'));
  expect(await store.head('a/b')).toBeUndefined();
  await expect(store.get('a/b')).rejects.toMatchObject({ type: FailureType.AssetNotFound });
  expect(await store.head('a/b/one.json/deeper')).toBeUndefined();
});

// Root may write anywhere: there a file in the folder's place plays the part of what refuses.
test('a directory that cannot be written is an outage that names key, store and fix', async () => {
  const { directory } = await openTemporary();
  const root = process.getuid?.() === 0;
  if (root) await writeFile(join(directory, 'taken'), '');
  else await chmod(directory, 0o500);
  const store = new FileStore(join(directory, root ? 'taken/store' : 'store'));
  await expect(store.put('a/one.json', Buffer.from('{}'))).rejects.toMatchObject({
    type: FailureType.StoreUnavailable,
    retryable: true,
    message: expect.stringMatching(/cannot write a\/one\.json \((EACCES|ENOTDIR|EEXIST)\)$/),
    nextStep: expect.stringMatching(/\.$/),
  });
});
