import { link, mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, onTestFinished, test, vi } from 'vitest';
import { FailureType } from '../../src/contract/failure-type.js';
import { FileStore } from '../../src/storage/file-store.js';

// A full disk or a network file system cannot be had on every machine, so here the system's answer is put in its mouth.
vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof import('node:fs/promises')>();
  return { ...real, link: vi.fn(real.link), rename: vi.fn(real.rename) };
});
afterEach(() => void vi.resetAllMocks()); // back to the real ones

async function openTemporary(): Promise<FileStore> {
  const directory = await mkdtemp(join(tmpdir(), 'wan-video-store-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return new FileStore(directory);
}

const errno = (code: string) => Object.assign(new Error(`${code}: /secret/path`), { code });

test.each([
  { code: 'ENOSPC', says: /disk is full/ },
  { code: 'EDQUOT', says: /quota/ },
  { code: 'EROFS', says: /read-only/ },
  { code: 'EACCES', says: /permission/ },
  { code: 'EXDEV', says: /one file system/ },
  { code: 'EIO', says: /Check the disk/ },
])('$code is an outage with a next step, leaves nothing, and passes when it is fixed', async ({ code, says }) => {
  const store = await openTemporary();
  vi.mocked(rename).mockRejectedValueOnce(errno(code));
  const error = (await store.put('a/one.json', Buffer.from('1')).catch((e: unknown) => e)) as Error;
  expect(error).toMatchObject({
    type: FailureType.StoreUnavailable,
    retryable: true,
    nextStep: expect.stringMatching(says),
  });
  expect(error.message).toContain('a/one.json');
  expect(error.message).not.toContain('/secret/path');
  expect(await store.head('a/one.json')).toBeUndefined();
  expect(await store.put('a/one.json', Buffer.from('1'))).toEqual({ stored: true });
});

test.each(['EPERM', 'ENOTSUP', 'ENOSYS'])(
  'a file system without hard links (%s) is refused, not worked around',
  async (code) => {
    const store = await openTemporary();
    vi.mocked(link).mockRejectedValueOnce(errno(code));
    await expect(store.put('a/one.json', Buffer.from('1'), { ifAbsent: true })).rejects.toMatchObject({
      type: FailureType.ConfigurationInvalid,
      retryable: false,
      message: expect.stringContaining('no hard links'),
      nextStep: expect.stringContaining('ASSET_STORE'),
    });
    expect(await store.head('a/one.json')).toBeUndefined();
  },
);

test('a network file system that lost its answer and then finds our own link has stored it', async () => {
  const store = await openTemporary();
  const { link: realLink } = await vi.importActual<typeof import('node:fs/promises')>('node:fs/promises');
  vi.mocked(link).mockImplementationOnce(async (from, to) => {
    await realLink(from, to);
    throw errno('EEXIST');
  });
  expect(await store.put('a/one.json', Buffer.from('1'), { ifAbsent: true })).toEqual({ stored: true });
  expect(await store.put('a/one.json', Buffer.from('2'), { ifAbsent: true })).toEqual({ stored: false });
});
