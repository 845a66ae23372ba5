import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { FailureType } from '../../src/contract/failure-type.js';
import { FileStore } from '../../src/storage/file-store.js';
import { RECORD_BYTES_MAX, readRecord, writeRecord } from '../../src/storage/json-record.js';

const KEY = 'cache/emulator/default/one.json';

async function openTemporary(): Promise<FileStore> {
  const directory = await mkdtemp(join(tmpdir(), 'wan-video-store-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return new FileStore(directory);
}

test('a record is read back as it was written', async () => {
  const store = await openTemporary();
  const record = { version: 1, prompt: 'Möwen 🐦 über dem Meer', nested: { list: [1, null, true] } };
  expect(await writeRecord(store, KEY, record)).toEqual({ stored: true });
  expect(await readRecord(store, KEY)).toEqual(record);
  expect(await store.head(KEY)).toMatchObject({ contentType: 'application/json' });
});

test('a record that is not there reads as undefined', async () => {
  expect(await readRecord(await openTemporary(), KEY)).toBeUndefined();
});

test('a record written if absent keeps the first writer', async () => {
  const store = await openTemporary();
  expect(await writeRecord(store, KEY, { writer: 1 }, { ifAbsent: true })).toEqual({ stored: true });
  expect(await writeRecord(store, KEY, { writer: 2 }, { ifAbsent: true })).toEqual({ stored: false });
  expect(await readRecord(store, KEY)).toEqual({ writer: 1 });
});

test.each([
  { what: 'nothing', body: Buffer.alloc(0) },
  { what: 'half a document', body: Buffer.from('{"prompt":"secret thi') },
  { what: 'a list', body: Buffer.from('[]') },
  { what: 'null', body: Buffer.from('null') },
  { what: 'bytes that are no UTF-8', body: Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]) },
  { what: 'too much', body: Buffer.from(JSON.stringify({ a: 'x'.repeat(RECORD_BYTES_MAX) })) },
])('a record that holds $what is reported as damaged by its key, without its content', async ({ body }) => {
  const store = await openTemporary();
  await store.put(KEY, body);
  const error = await readRecord(store, KEY).catch((e: unknown) => e);
  expect(error).toMatchObject({ type: FailureType.RecordDamaged, retryable: false });
  expect(String(error)).toContain(KEY);
  expect(String(error)).not.toContain('secret');
  expect((error as Error).cause).toBeUndefined();
});

test('a record too large to be read again is refused before it is written', async () => {
  const store = await openTemporary();
  await expect(writeRecord(store, KEY, { a: 'x'.repeat(RECORD_BYTES_MAX) })).rejects.toMatchObject({
    type: FailureType.InvalidRequest,
  });
  expect(await store.head(KEY)).toBeUndefined();
});
