import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { FailureType } from '../../src/contract/failure-type.js';
import type { AssetStore } from '../../src/storage/asset-store.js';
import { copyAsset } from '../../src/storage/copy-asset.js';
import type { StoreLocation } from '../../src/storage/open-store.js';

/** A store that only this test uses, and how another process opens the same one. */
export interface StoreUnderTest {
  readonly store: AssetStore;
  readonly location: StoreLocation;
  readonly env?: Readonly<Record<string, string>> | undefined;
}

export interface StoreTraits {
  /** More objects than one page of the store's listing holds. */
  readonly manyKeys: number;
  /** Whether `head` gives back the SHA-256 that the writer gave. */
  readonly keepsChecksum: boolean;
}

const MIB = 1024 * 1024;
const sha256Of = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
/** A copy of an object that holds the letter `a`. */
const COPY_OF_A = {
  from: 'videos/one.mp4',
  to: 'out/one.mp4',
  sha256: sha256Of(Buffer.from('a')),
  contentType: 'video/mp4',
};

async function read(store: AssetStore, key: string, range: { from?: number; to?: number } = {}): Promise<Buffer> {
  return Buffer.concat(await (await store.get(key, range)).toArray());
}

async function keysOf(store: AssetStore, prefix: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list(prefix)) keys.push(key);
  return keys;
}

async function* inChunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** Yields `bytes`, then says so and keeps silent for ever. */
async function* stalling(bytes: Uint8Array, onStall: () => void): AsyncGenerator<Uint8Array> {
  yield* inChunks(bytes, 64 * 1024);
  onStall();
  await new Promise(() => undefined);
}

/** What every {@link AssetStore} promises. `open` makes a new, empty store for each test. */
export function describeAssetStore(name: string, open: () => Promise<StoreUnderTest>, traits: StoreTraits): void {
  describe(`${name} as an asset store`, () => {
    let under: StoreUnderTest;
    let store: AssetStore;
    let scriptDir: string;
    beforeAll(async () => {
      scriptDir = await mkdtemp(join(tmpdir(), 'wan-video-contract-'));
      await build({
        entryPoints: [fileURLToPath(new URL('store-process.ts', import.meta.url))],
        outfile: join(scriptDir, 'store-process.cjs'),
        bundle: true,
        platform: 'node',
        format: 'cjs',
      });
    });
    afterAll(() => rm(scriptDir, { recursive: true, force: true }));
    beforeEach(async () => {
      under = await open();
      store = under.store;
    });

    /** Another process with the same store, given its task; see `store-process.ts`. */
    function startProcess(task: 'stall' | 'stream') {
      const script = join(scriptDir, 'store-process.cjs');
      const args = ['--expose-gc', script, task, JSON.stringify(under.location)];
      return spawn(process.execPath, args, {
        env: { ...process.env, ...under.env },
        stdio: ['ignore', 'pipe', 'inherit'],
      });
    }

    test('what was put is read back, with its size and type', async () => {
      const body = randomBytes(100_000);
      const before = Date.now();
      const options = { sha256: sha256Of(body), bytes: body.length, contentType: 'video/mp4' };
      expect(await store.put('videos/one.mp4', body, options)).toEqual({ stored: true });
      expect((await read(store, 'videos/one.mp4')).equals(body)).toBe(true);
      const info = await store.head('videos/one.mp4');
      expect(info).toMatchObject({ key: 'videos/one.mp4', bytes: body.length, contentType: 'video/mp4' });
      if (traits.keepsChecksum) expect(info?.sha256).toBe(options.sha256);
      // S3 reports whole seconds.
      expect(info?.modifiedAtMs).toBeGreaterThanOrEqual(before - 1_000);
      expect(info?.modifiedAtMs).toBeLessThanOrEqual(Date.now() + 1_000);
    });

    test.each([
      { what: 'an empty body', body: Buffer.alloc(0) },
      { what: 'one byte', body: Buffer.from([7]) },
      { what: 'a body above one part', body: randomBytes(9 * MIB) },
    ])('$what is stored whole as bytes and as a stream of unknown length', async ({ body }) => {
      await store.put('a/bytes.bin', body);
      await store.put('a/stream.bin', inChunks(body, 100_000), { sha256: sha256Of(body) });
      for (const key of ['a/bytes.bin', 'a/stream.bin']) {
        expect((await read(store, key)).equals(body)).toBe(true);
        expect(await store.head(key)).toMatchObject({ bytes: body.length });
      }
      if (traits.keepsChecksum) expect((await store.head('a/stream.bin'))?.sha256).toBe(sha256Of(body));
    });

    test('a put replaces what is there', async () => {
      await store.put('cache/one.json', Buffer.from('first, and longer'));
      expect(await store.put('cache/one.json', Buffer.from('second'))).toEqual({ stored: true });
      expect((await read(store, 'cache/one.json')).toString()).toBe('second');
    });

    test.each([
      { size: 'small', bytes: 100 },
      { size: 'large', bytes: 9 * MIB },
    ])('a $size put if absent keeps what is there', async ({ bytes }) => {
      const first = randomBytes(bytes);
      expect(await store.put('videos/one.mp4', inChunks(first, MIB), { ifAbsent: true })).toEqual({ stored: true });
      const second = store.put('videos/one.mp4', inChunks(randomBytes(bytes), MIB), { ifAbsent: true });
      expect(await second).toEqual({ stored: false });
      expect((await read(store, 'videos/one.mp4')).equals(first)).toBe(true);
    });

    test('of 20 puts if absent at once exactly one wins, and its body is kept', async () => {
      for (const round of ['one', 'two', 'three']) {
        const key = `ledger/${round}/intent.json`;
        const bodies = Array.from({ length: 20 }, (_, i) => Buffer.from(`writer ${i} `.repeat(1 + i * 200)));
        const outcomes = await Promise.all(bodies.map((body) => store.put(key, body, { ifAbsent: true })));
        const winners = outcomes.flatMap(({ stored }, i) => (stored ? [i] : []));
        expect(winners).toHaveLength(1);
        expect((await read(store, key)).equals(bodies[winners[0]!]!)).toBe(true);
      }
    });

    test.each([
      { what: 'another SHA-256', expected: { sha256: sha256Of(Buffer.from('other')) } },
      { what: 'fewer bytes', expected: { bytes: 9 * MIB + 1 } },
      { what: 'more bytes', expected: { bytes: 9 * MIB - 1 } },
    ])('a body with $what than announced is refused and stays invisible', async ({ expected }) => {
      const body = randomBytes(9 * MIB);
      for (const ifAbsent of [false, true]) {
        for (const given of [body, inChunks(body, 100_000)]) {
          await expect(store.put('videos/one.mp4', given, { ...expected, ifAbsent })).rejects.toMatchObject({
            type: FailureType.StoreUnavailable,
            code: 'BodyMismatch',
          });
        }
      }
      expect(await store.head('videos/one.mp4')).toBeUndefined();
      expect(await keysOf(store, '')).toEqual([]);
    });

    test.each([
      { size: 'small', bytes: 100_000 },
      { size: 'large', bytes: 12 * MIB },
    ])('a $size object is copied inside the store, verified, and again without a change', async ({ bytes }) => {
      const body = randomBytes(bytes);
      await store.put('videos/a~20b.mp4', inChunks(body, MIB), { sha256: sha256Of(body) });
      const copy = {
        from: 'videos/a~20b.mp4',
        to: 'out/x/a=b@c,+d.mp4',
        sha256: sha256Of(body),
        contentType: 'video/mp4',
      };
      expect(await copyAsset(store, copy)).toBe('copied');
      expect(await copyAsset(store, copy)).toBe('present');
      expect((await read(store, copy.to)).equals(body)).toBe(true);
      expect(await store.head(copy.to)).toMatchObject({ bytes, contentType: 'video/mp4' });
      if (traits.keepsChecksum) expect((await store.head(copy.to))?.sha256).toBe(copy.sha256);
    });

    test('a copy never replaces: of copies of 12 objects to one name at once one wins', async () => {
      const bodies = Array.from({ length: 12 }, (_, i) => Buffer.from(`body ${i}`));
      await Promise.all(bodies.map((body, i) => store.put(`videos/${i}.mp4`, body)));
      const outcomes = await Promise.all(
        bodies.map((body, i) =>
          copyAsset(store, {
            from: `videos/${i}.mp4`,
            to: 'out/one.mp4',
            sha256: sha256Of(body),
            contentType: 'video/mp4',
          }),
        ),
      );
      const winners = outcomes.flatMap((outcome, i) => (outcome === 'copied' ? [i] : []));
      expect(winners).toHaveLength(1);
      expect(outcomes.filter((outcome) => outcome === 'taken')).toHaveLength(11);
      expect((await read(store, 'out/one.mp4')).equals(bodies[winners[0]!]!)).toBe(true);
    });

    test('a copy of nothing, and one of an object with another content, say so', async () => {
      expect(await copyAsset(store, COPY_OF_A)).toBe('missing');
      await store.put('out/one.mp4', Buffer.from('b'));
      expect(await copyAsset(store, COPY_OF_A)).toBe('taken');
      await store.put('videos/one.mp4', Buffer.from('a'));
      expect(await copyAsset(store, COPY_OF_A)).toBe('taken');
      expect((await read(store, 'out/one.mp4')).toString()).toBe('b');
    });

    test.each([
      { what: 'its own checksum', isNamed: true },
      { what: 'no checksum', isNamed: false },
    ])('an object with another content and $what is not delivered, and leaves nothing', async ({ isNamed }) => {
      const body = randomBytes(1_000);
      await store.put('videos/one.mp4', body, isNamed ? { sha256: sha256Of(body) } : {});
      expect(await copyAsset(store, COPY_OF_A)).toBe('damaged');
      expect(await copyAsset(store, COPY_OF_A)).toBe('damaged');
      expect(await keysOf(store, '')).toEqual(['videos/one.mp4']);
    });

    test('a refused put leaves what was there', async () => {
      await store.put('cache/one.json', Buffer.from('first'));
      await expect(store.put('cache/one.json', Buffer.from('second'), { bytes: 7 })).rejects.toThrow();
      expect((await read(store, 'cache/one.json')).toString()).toBe('first');
    });

    test.each([
      { size: 'small', bytes: 1_000 },
      { size: 'large', bytes: 20 * MIB },
    ])('a $size put whose source fails rejects with the error of the source and leaves nothing', async ({ bytes }) => {
      const fault = new Error('the provider hung up');
      const body = async function* () {
        yield* inChunks(randomBytes(bytes), 64 * 1024);
        throw fault;
      };
      await expect(store.put('videos/one.mp4', body())).rejects.toBe(fault);
      expect(await keysOf(store, '')).toEqual([]);
    });

    test.each([
      { size: 'small', bytes: 1_000 },
      { size: 'large', bytes: 20 * MIB },
    ])(
      'a $size put that is aborted while its source is silent rejects with the reason and leaves nothing',
      async ({ bytes }) => {
        const controller = new AbortController();
        const reason = new Error('the worker shuts down');
        const body = stalling(randomBytes(bytes), () => controller.abort(reason));
        const put = store.put('videos/one.mp4', body, { signal: controller.signal });
        await expect(put).rejects.toBe(reason);
        expect(await store.head('videos/one.mp4')).toBeUndefined();
        expect(await keysOf(store, '')).toEqual([]);
      },
    );

    test('every call with an aborted signal rejects with its reason', async () => {
      await store.put('a/one.json', Buffer.from('{}'));
      const reason = new Error('cancelled');
      const options = { signal: AbortSignal.abort(reason) };
      await expect(store.head('a/one.json', options)).rejects.toBe(reason);
      await expect(store.get('a/one.json', options)).rejects.toBe(reason);
      await expect(store.put('a/two.json', Buffer.from('{}'), options)).rejects.toBe(reason);
      const body = Readable.from([Buffer.from('{}')]);
      await expect(store.put('a/two.json', body, options)).rejects.toBe(reason);
      expect(body.destroyed).toBe(true); // a file that nobody reads would stay open
      await expect(store.delete('a/one.json', options)).rejects.toBe(reason);
      await expect(store.list('a/', options)[Symbol.asyncIterator]().next()).rejects.toBe(reason);
      expect(await keysOf(store, '')).toEqual(['a/one.json']);
    });

    test('a read that is aborted in the middle ends with the reason', async () => {
      await store.put('videos/one.mp4', randomBytes(9 * MIB));
      const controller = new AbortController();
      const reason = new Error('cancelled');
      const reading = (async () => {
        for await (const _ of await store.get('videos/one.mp4', { signal: controller.signal }))
          controller.abort(reason);
      })();
      await expect(reading).rejects.toBe(reason);
    });

    test('a read that is aborted before anybody reads ends with the reason once somebody does', async () => {
      await store.put('videos/one.mp4', randomBytes(1_000));
      const controller = new AbortController();
      const reason = new Error('cancelled');
      const stream = await store.get('videos/one.mp4', { signal: controller.signal });
      controller.abort(reason);
      // An event without a listener would end the process, which a test run reports as an uncaught error.
      await new Promise((passed) => setImmediate(passed));
      const reading = (async () => {
        for await (const _ of stream);
      })();
      await expect(reading).rejects.toBe(reason);
    });

    test('a reader may stop early', async () => {
      await store.put('videos/one.mp4', randomBytes(9 * MIB));
      const stream = await store.get('videos/one.mp4');
      for await (const _ of stream) break;
      expect(stream.destroyed).toBe(true);
    });

    test('ranges are read from the first byte wanted to the last, and empty beyond the end', async () => {
      const body = randomBytes(1_000);
      await store.put('a/one.bin', body);
      for (const { from, to } of [
        { from: 0, to: 0 },
        { from: 10, to: 19 },
        { from: 990, to: 5_000 },
      ]) {
        expect((await read(store, 'a/one.bin', { from, to })).equals(body.subarray(from, to + 1))).toBe(true);
      }
      expect((await read(store, 'a/one.bin', { from: 400 })).equals(body.subarray(400))).toBe(true);
      expect((await read(store, 'a/one.bin', { to: 9 })).equals(body.subarray(0, 10))).toBe(true);
      expect(await read(store, 'a/one.bin', { from: 1_000 })).toHaveLength(0);
      expect(await read(store, 'a/one.bin', { from: 2_000, to: 3_000 })).toHaveLength(0);
    });

    test('what is not there has no info, cannot be read, and can be deleted', async () => {
      expect(await store.head('a/b/none.json')).toBeUndefined();
      await expect(store.get('a/b/none.json')).rejects.toMatchObject({ type: FailureType.AssetNotFound });
      await expect(store.get('a/b/none.json', { from: 5 })).rejects.toMatchObject({ type: FailureType.AssetNotFound });
      await store.delete('a/b/none.json');
    });

    test('what is deleted is gone, its name is free again, and its neighbours stay', async () => {
      await store.put('a/one.json', Buffer.from('1'));
      await store.put('a/two.json', Buffer.from('2'));
      await store.delete('a/one.json');
      await store.delete('a/one.json');
      expect(await keysOf(store, 'a/')).toEqual(['a/two.json']);
      expect(await store.put('a/one.json', Buffer.from('3'), { ifAbsent: true })).toEqual({ stored: true });
    });

    test('keys are listed in ascending order, by any prefix', async () => {
      const keys = [
        'a-b/c.json',
        'a/b.json',
        'a/b/c.json',
        'a/b-c.json',
        'ab.json',
        'a0/x.json',
        'b/~4d~2f.json',
        'B/x.json',
      ];
      for (const key of keys) await store.put(key, Buffer.from(key));
      const sorted = [...keys].sort();
      expect(await keysOf(store, '')).toEqual(sorted);
      for (const prefix of ['a', 'a/', 'a/b', 'a/b/', 'b/~4', 'c', 'a/b/c.json', 'a/b/c.json/']) {
        expect(await keysOf(store, prefix)).toEqual(sorted.filter((key) => key.startsWith(prefix)));
      }
      for await (const { key, bytes } of store.list('')) expect(bytes).toBe(key.length);
      for (const prefix of ['', 'a', 'a/b', 'b/']) {
        for (const after of [...keys, '', 'a', 'a/', 'a/b', 'a/b/~', 'a-', 'z']) {
          const behind: string[] = [];
          for await (const { key } of store.list(prefix, { after })) behind.push(key);
          expect(behind).toEqual(sorted.filter((key) => key.startsWith(prefix) && key > after));
        }
      }
    });

    test(`a listing of ${traits.manyKeys} keys is complete`, async () => {
      const keys = Array.from({ length: traits.manyKeys }, (_, i) => `many/${String(i).padStart(5, '0')}.json`);
      const left = [...keys];
      const work = async () => {
        for (let key = left.pop(); key !== undefined; key = left.pop()) await store.put(key, Buffer.from('{}'));
      };
      await Promise.all(Array.from({ length: 16 }, work));
      expect(await keysOf(store, 'many/')).toEqual(keys);
    });

    test.each([
      '',
      '/',
      '/etc/passwd',
      '../up',
      'a/../b',
      'a//b',
      'a/',
      '.',
      'a/.hidden',
      'a\\b',
      'a\0b',
      'ä',
      'a b',
      'a/b.',
      'x'.repeat(300),
    ])('the key %j is refused by every call', async (key) => {
      const refused = { type: FailureType.InvalidRequest };
      await expect(store.head(key)).rejects.toMatchObject(refused);
      await expect(store.get(key)).rejects.toMatchObject(refused);
      await expect(store.put(key, Buffer.from('x'))).rejects.toMatchObject(refused);
      await expect(store.delete(key)).rejects.toMatchObject(refused);
      expect(() => store.url(key)).toThrow(expect.objectContaining(refused));
    });

    test('a process killed in the middle of a put leaves nothing visible, and its key can be put', async () => {
      const child = startProcess('stall');
      await new Promise<void>((resolve, reject) => {
        child.stdout.once('data', () => resolve());
        child.once('exit', (code) => reject(new Error(`exited with ${code}`)));
      });
      child.removeAllListeners('exit');
      const gone = new Promise((resolve) => child.once('exit', (_, signal) => resolve(signal)));
      child.kill('SIGKILL');
      expect(await gone).toBe('SIGKILL');
      expect(await store.head('videos/killed.mp4')).toBeUndefined();
      expect(await keysOf(store, '')).toEqual([]);
      expect(await store.put('videos/killed.mp4', Buffer.from('x'), { ifAbsent: true })).toEqual({ stored: true });
    });

    test('128 MiB pass through a put and a get in bounded memory', async () => {
      const child = startProcess('stream');
      const output = Buffer.concat(await child.stdout.toArray()).toString();
      const { bytes, same, grownMib } = JSON.parse(output) as { bytes: number; same: boolean; grownMib: number };
      expect({ bytes, same }).toEqual({ bytes: 128 * MIB, same: true });
      // Parts on the way and garbage not yet collected: 30 to 60, for any size. The whole body would be 128 and
      // its copies.
      expect(grownMib).toBeLessThan(100);
    });
  });
}
