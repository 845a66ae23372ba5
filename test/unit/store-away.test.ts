import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { FileStore } from '../../src/storage/file-store.js';
import { storeId } from '../../src/storage/store-id.js';

test.each<[what: string, left: readonly string[]]>([
  ['is away', []],
  ['was emptied by a command that leaves out hidden files', ['.partial']],
])('a store whose directory %s is unavailable: nothing counts as never bought, nothing is written', async (_, left) => {
  const home = await mkdtemp(join(tmpdir(), 'wan-video-away-'));
  onTestFinished(() => rm(home, { recursive: true, force: true }));
  const directory = join(home, 'store');
  const store = new FileStore(directory);
  await storeId(store, { newId: () => 'one' });
  await store.put('a/one.json', Buffer.from('1'));
  await rename(directory, join(home, 'elsewhere'));
  await mkdir(directory); // a mount point without its file system
  for (const name of left) await mkdir(join(directory, name));
  const away = { type: 'StoreUnavailable', retryable: true };
  await expect(store.head('a/one.json')).rejects.toMatchObject(away);
  await expect(store.get('a/one.json')).rejects.toMatchObject(away);
  await expect(store.list('a/').next()).rejects.toMatchObject(away);
  await expect(store.put('a/two.json', Buffer.from('2'), { ifAbsent: true })).rejects.toMatchObject(away);
  expect((await readdir(directory, { recursive: true })).sort()).toEqual(left);

  await rm(directory, { recursive: true });
  await rename(join(home, 'elsewhere'), directory);
  expect(await store.head('a/one.json')).toMatchObject({ bytes: 1 });
  expect(await store.head('a/two.json')).toBeUndefined();
});
