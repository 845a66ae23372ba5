import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { FailureType } from '../../src/contract/failure-type.js';
import type { AssetStore, PutOutcome } from '../../src/storage/asset-store.js';
import { FileStore } from '../../src/storage/file-store.js';
import { readRecord, writeRecord } from '../../src/storage/json-record.js';
import { STORE_ID_KEY } from '../../src/storage/keys.js';
import { checkSharedFileStore } from '../../src/storage/shared-file-store.js';
import { storeId } from '../../src/storage/store-id.js';
import { verifyConditionalPut } from '../../src/storage/verify-conditional-put.js';

async function openTemporary(): Promise<FileStore> {
  const directory = await mkdtemp(join(tmpdir(), 'wan-video-store-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return new FileStore(directory);
}

async function keysOf(store: AssetStore): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list('')) keys.push(key);
  return keys;
}

/** The store with another put. */
const withPut = (store: FileStore, put: AssetStore['put']): AssetStore =>
  Object.create(store, {
    put: { value: put },
    get: { value: store.get.bind(store) },
    list: { value: store.list.bind(store) },
    delete: { value: store.delete.bind(store) },
    name: { value: store.name },
  }) as AssetStore;

describe('the proof of put if absent', () => {
  test('accepts a store that keeps its promise, and leaves nothing', async () => {
    const store = await openTemporary();
    await verifyConditionalPut(store, { newId: randomUUID });
    expect(await keysOf(store)).toEqual([]);
  });

  const answers: Record<string, (store: FileStore, ...args: Parameters<AssetStore['put']>) => Promise<PutOutcome>> = {
    'ignores the condition': (store, key, body, options) => store.put(key, body, { ...options, ifAbsent: false }),
    'stores once and answers everybody that they won': async (store, ...args) => {
      await store.put(...args);
      return { stored: true };
    },
    'answers nobody that they won': async (store, ...args) => {
      await store.put(...args);
      return { stored: false };
    },
    'answers the first that it won and keeps the last': async (store, key, body, options) => {
      const outcome = await store.put(key, body, options);
      if (!outcome.stored) await store.put(key, body, { ...options, ifAbsent: false });
      return outcome;
    },
  };
  test.each(Object.entries(answers))('refuses a store that %s, and leaves nothing', async (_, answer) => {
    const store = await openTemporary();
    const broken = withPut(store, (...args) => answer(store, ...args));
    await expect(verifyConditionalPut(broken, { newId: randomUUID })).rejects.toMatchObject({
      type: FailureType.ConfigurationInvalid,
      retryable: false,
      message: expect.stringContaining(store.name),
      nextStep: expect.stringContaining('ASSET_STORE'),
    });
    expect(await keysOf(store)).toEqual([]);
  });

  test('passes an outage on as it is, after every writer has ended', async () => {
    const store = await openTemporary();
    let [begun, ended] = [0, 0];
    const outage = new Error('outage');
    const broken = withPut(store, async (...args) => {
      begun += 1;
      const first = begun === 1;
      const outcome = first ? undefined : await store.put(...args);
      ended += 1;
      if (outcome === undefined) throw outage;
      return outcome;
    });
    await expect(verifyConditionalPut(broken, { newId: randomUUID })).rejects.toBe(outage);
    expect(ended).toBe(begun);
    expect(await keysOf(store)).toEqual([]);
  });
});

describe('the id of a store', () => {
  test('is the same for everybody who asks at once, and later', async () => {
    const store = await openTemporary();
    const ids = await Promise.all(Array.from({ length: 10 }, () => storeId(store, { newId: randomUUID })));
    expect(new Set(ids).size).toBe(1);
    expect(await storeId(store, { newId: () => 'never' })).toBe(ids[0]);
    expect(await readRecord(store, STORE_ID_KEY)).toEqual({ version: 1, id: ids[0] });
  });

  test('is damaged when the record has none', async () => {
    const store = await openTemporary();
    await writeRecord(store, STORE_ID_KEY, { version: 1 });
    await expect(storeId(store, { newId: randomUUID })).rejects.toMatchObject({ type: FailureType.RecordDamaged });
  });
});

describe('a local directory as the store', () => {
  const check = (temporalAddress: string, store: 'file' | 's3' = 'file', sharedFileStore = false) =>
    checkSharedFileStore({ store, temporalAddress, sharedFileStore });

  test.each([
    'localhost:7233',
    'LOCALHOST:7233',
    'temporal.localhost:7233',
    '127.0.0.1:7233',
    '127.8.0.1',
    '[::1]:7233',
    '::1',
    '[::ffff:127.0.0.1]:7233',
    'http://localhost:7233',
  ])('is accepted with Temporal at %s', (address) => {
    expect(() => check(address)).not.toThrow();
  });

  test.each([
    'temporal:7233',
    'ns.acct.tmprl.cloud:7233',
    '10.0.0.4:7233',
    '0.0.0.0:7233',
    '[fe80::1]:7233',
    'localhost.example.com:7233',
    '127.0.0.1.example.com:7233',
    'localhost@example.com:7233',
    '',
  ])('is refused with Temporal at %j, with both ways out', (address) => {
    expect(() => check(address)).toThrow(
      expect.objectContaining({
        type: FailureType.ConfigurationInvalid,
        nextStep: expect.stringMatching(/s3:\/\/.*WAN_VIDEO_SHARED_FILE_STORE=1/),
      }),
    );
    expect(() => check(address, 'file', true)).not.toThrow();
    expect(() => check(address, 's3')).not.toThrow();
  });
});
