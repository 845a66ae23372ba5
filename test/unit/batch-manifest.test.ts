import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { encodeInvalidLines, measureManifest, readItems, readItemsPage } from '../../src/batch/batch-files.js';
import { failedLines } from '../../src/batch/failed-lines.js';
import { readLines } from '../../src/batch/line-reader.js';
import { LINE_BYTES_MAX, lineIssues, type ManifestEntry, readManifest } from '../../src/batch/manifest.js';
import { dateIn, manifestKeyAt } from '../../src/batch/manifest-key.js';
import { prepareManifest } from '../../src/batch/prepare-manifest.js';
import { imagesInFolder, openManifest } from '../../src/client/manifest-source.js';
import { FileStore } from '../../src/storage/file-store.js';
import { batchInvalidKey, batchManifestKey } from '../../src/storage/keys.js';
import { ROOT } from '../support/root.js';

let folder: string;
let store: FileStore;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wan-video-manifest-test-'));
  store = new FileStore(join(folder, 'store'));
  await copyFile(join(ROOT, 'assets', 'sample.jpg'), join(folder, 'boat.jpg'));
  await writeFile(join(folder, 'text.jpg'), 'no image');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const GOOD = { prompt: 'a boat', duration: 4, fps: 24, size: '1280*720', reference_image: 'https://example.com/a.png' };
const line = (fields: object = {}): string => JSON.stringify({ ...GOOD, ...fields });
const entriesOf = async (text: string | Uint8Array, localImages = false): Promise<ManifestEntry[]> => {
  const entries: ManifestEntry[] = [];
  const body = Readable.from([typeof text === 'string' ? Buffer.from(text) : text]);
  for await (const entry of readManifest(body, { localImages })) entries.push(entry);
  return entries;
};
const faultsOf = async (text: string | Uint8Array): Promise<string[]> =>
  (await entriesOf(text)).flatMap((entry) =>
    entry.kind === 'fault' ? lineIssues([entry.fault]).map(({ path, message }) => `${path}: ${message}`) : [],
  );

test('lines end with LF or CR LF, a BOM and empty lines are passed over, and each item is named by its line', async () => {
  const entries = await entriesOf(`\uFEFF${line()}\r\n\n  \r\n${line({ item_id: 'named', comment: 'mine' })}`);
  expect(
    entries.map((entry) => (entry.kind === 'item' ? [entry.item.line, entry.item.itemId, entry.item.comment] : entry)),
  ).toEqual([
    [1, 'line-00001', undefined],
    [4, 'named', 'mine'],
  ]);
});

test('a line with takes is an item for each seed', async () => {
  const items = async (fields: object) =>
    (await entriesOf(line(fields))).map((entry) =>
      entry.kind === 'item' ? [entry.item.itemId, entry.item.fields['seed'], entry.item.fields['takes']] : entry,
    );
  expect(await items({ item_id: 'boat', takes: 2 })).toEqual([
    ['boat-1', 1, undefined],
    ['boat-2', 2, undefined],
  ]);
  expect((await items({ takes: 10, seed: 2_147_483_646 })).slice(0, 3)).toEqual([
    ['line-00001-01', 2_147_483_646, undefined],
    ['line-00001-02', 2_147_483_647, undefined],
    ['line-00001-03', 0, undefined],
  ]);
  expect(await items({ item_id: 'boat', takes: 1 })).toEqual([['boat-1', 1, undefined]]);
  expect(await items({ item_id: 'boat', takes: null })).toEqual([['boat', undefined, undefined]]);
});

test('a line with takes that cannot be used has its faults once, and can be corrected and run again', async () => {
  const [fault, ...others] = await entriesOf(line({ item_id: 'boat', takes: 3, duration: 99 }));
  expect(others).toEqual([]);
  expect(fault).toMatchObject({ kind: 'fault', fault: { itemId: 'boat', fields: { item_id: 'boat', takes: 3 } } });
  for (const takes of [0, 51, 1.5, '3', true]) {
    expect(await faultsOf(line({ takes }))).toEqual(['line 1, takes: must be a whole number from 1 to 50']);
  }
  expect(await faultsOf(`${line({ item_id: 'boat-2' })}\n${line({ item_id: 'boat', takes: 2 })}`)).toEqual([
    'line 2, item_id: is the same as that of line 1; give each line its own',
  ]);
});

describe('a manifest is judged line by line:', () => {
  test.each([
    {
      what: 'broken JSON on line 7',
      text: `${`${line()}\n`.repeat(6)}{"prompt": \n${line()}`,
      fault: /^line 7: is not JSON/,
    },
    { what: 'an empty file', text: '', fault: /^line 1: is missing: the manifest holds no request/ },
    { what: 'nothing but a BOM and blanks', text: '\uFEFF\r\n  \n', fault: /holds no request/ },
    { what: 'an array', text: '[1]', fault: /^line 1: is not one JSON object/ },
    { what: 'a BOM in a later line', text: `${line()}\n\uFEFF${line()}`, fault: /^line 2: is not JSON/ },
    {
      what: 'an id twice',
      text: `${line({ item_id: 'a' })}\n${line({ item_id: 'A' })}`,
      fault: /^line 2, item_id: is the same as that of line 1/,
    },
    {
      what: 'an id that is none',
      text: line({ item_id: '../a' }),
      fault: /^line 1, item_id: must be 1 to 100 letters/,
    },
    { what: 'an unknown field', text: line({ promt: 'x' }), fault: /^line 1, promt: is not a field/ },
    {
      what: 'a path where nobody can open it',
      text: line({ reference_image: 'boat.jpg' }),
      fault: /^line 1, reference_image: must be/,
    },
    { what: 'a comment that is no text', text: line({ comment: 7 }), fault: /^line 1, comment: must be text/ },
  ])('$what', async ({ text, fault }) => {
    const faults = await faultsOf(text);
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatch(fault);
  });

  test('bytes that are no UTF-8', async () => {
    expect(await faultsOf(Buffer.from([0x7b, 0xff, 0x7d]))).toEqual([expect.stringMatching(/^line 1: is not UTF-8/)]);
  });

  test('several faults of several lines, all at once', async () => {
    expect(await faultsOf(`${line({ duration: 99, fps: 'x' })}\n${line()}\n{}`)).toHaveLength(7);
  });

  test('a line of 50 MB is named and passed over in little memory, and the next one is read', async () => {
    const chunk = Buffer.alloc(1024 * 1024, 0x61);
    let most = 0;
    const body = (async function* () {
      for (let n = 0; n < 50; n += 1) {
        yield chunk;
        most = Math.max(most, process.memoryUsage().arrayBuffers);
      }
      yield Buffer.from(`\n${line()}\n`);
    })();
    const before = process.memoryUsage().arrayBuffers;
    const entries: ManifestEntry[] = [];
    for await (const entry of readManifest(body, { localImages: false })) entries.push(entry);
    expect(entries.map(({ kind }) => kind)).toEqual(['fault', 'item']);
    expect(most - before).toBeLessThan(8 * LINE_BYTES_MAX);
  });
});

test('for any chunks, lines and their offsets are the same', async () => {
  const text = Buffer.from('one\r\n\ntwo three\nfour');
  const read = async (size: number) => {
    const chunks = Array.from({ length: Math.ceil(text.length / size) }, (_, n) =>
      text.subarray(n * size, (n + 1) * size),
    );
    const lines: unknown[] = [];
    for await (const { bytes, ...place } of readLines(Readable.from(chunks), 8)) {
      lines.push({ ...place, text: bytes === null ? null : Buffer.from(bytes).toString() });
    }
    return lines;
  };
  const whole = await read(text.length);
  expect(whole).toEqual([
    { number: 1, at: 0, next: 5, text: 'one' },
    { number: 2, at: 5, next: 6, text: '' },
    { number: 3, at: 6, next: 16, text: null },
    { number: 4, at: 16, next: 20, text: 'four' },
  ]);
  for (const size of [1, 2, 3, 7]) expect(await read(size)).toEqual(whole);
});

/** Prepares lines in the folder of the test's images. */
const prepare = (lines: readonly object[], allowInvalid = false) =>
  prepareManifest(() => openManifest({ lines: lines as Record<string, unknown>[] }), {
    name: 'of a test',
    allowInvalid,
    images: imagesInFolder(folder, store, undefined),
  });

describe('preparing a manifest', () => {
  const local = { ...GOOD, reference_image: 'boat.jpg' };

  test('names missing and unusable images by line before anything is staged', async () => {
    const lines = [local, { ...local, reference_image: 'missing.jpg' }, { ...local, reference_image: './text.jpg' }];
    const error = await prepare(lines).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ type: 'InvalidRequest', billed: false });
    expect((error as { issues: { path: string; message: string }[] }).issues).toEqual([
      { path: 'line 2, reference_image', message: expect.stringMatching(/missing\.jpg does not exist/) },
      { path: 'line 3, reference_image', message: expect.stringMatching(/use a JPEG/) },
    ]);
    const stored: string[] = [];
    for await (const { key } of store.list('')) stored.push(key);
    expect(stored).toEqual([]);
  });

  test('stages images, marks lines that ask for the same video, and writes a manifest that can be read by pages', async () => {
    const image = Buffer.from(await (await import('node:fs/promises')).readFile(join(folder, 'boat.jpg')));
    const lines = [
      local,
      { ...local, item_id: 'equal', labels: { team: 'film' }, seed: null },
      { ...local, item_id: 'off-1', cache: 'off' },
      { ...local, item_id: 'off-2', cache: 'off' },
      {
        ...local,
        item_id: 'inline',
        reference_image: `data:image/jpeg;base64,${image.subarray(0, 10).toString('base64')}`,
      },
    ];
    const prepared = await prepare(lines, true);
    onTestFinished(() => prepared.dispose());
    expect(prepared).toMatchObject({ items: 4, duplicates: 1 });
    expect(prepared.faults.map(({ line: at }) => at)).toEqual([5]); // an inline image is checked too
    await prepared.put(store, batchManifestKey('b'));
    expect(await measureManifest(store, 'b')).toEqual({ items: 4, duplicates: 1, bytes: prepared.bytes });
    const items: unknown[] = [];
    for await (const { item } of readItems(store, 'b')) items.push([item.item_id, item.line, item.same_as]);
    expect(items).toEqual([
      ['line-00001', 1, undefined],
      ['equal', 2, 'line-00001'],
      ['off-1', 3, undefined],
      ['off-2', 4, undefined],
    ]);
    const pages: string[] = [];
    for (let at = 0; ; ) {
      const page = await readItemsPage(store, 'b', at, { items: 3, bytes: 700 });
      if (page.length === 0) break;
      pages.push(...page.map(({ item }) => item.item_id));
      expect(page[0]?.item.request.reference_image).toMatch(/^asset:references\/[0-9a-f]{64}\.jpg$/);
      at = page.at(-1)?.next ?? 0;
    }
    expect(pages).toEqual(['line-00001', 'equal', 'off-1', 'off-2']);
    // What was written is a manifest itself.
    const again = await prepareManifest(() => store.get(batchManifestKey('b')), {
      name: 'again',
      allowInvalid: false,
      images: { stage: () => Promise.reject(new Error('nothing is to be staged')) },
    });
    onTestFinished(() => again.dispose());
    expect(again).toMatchObject({ items: 4, duplicates: 1 });
  });

  test('refuses a manifest without a valid line also when invalid ones may be left out', async () => {
    await expect(prepare([{ ...GOOD, duration: 99 }], true)).rejects.toMatchObject({ type: 'InvalidRequest' });
  });

  test('the lines that were left out come back for an edit under the ids that the report names them by', async () => {
    const lines = [
      { ...local, item_id: 'good' },
      { ...local, item_id: 'no-image', reference_image: 'missing.jpg' }, // found at fault once its fields were
      { ...local, item_id: 'no-fps', fps: 0 },
      { ...local, fps: 0 },
      { ...local, item_id: null, duration: 99 },
      { ...local, item_id: 'Ärger' },
    ];
    const prepared = await prepare(lines, true);
    onTestFinished(() => prepared.dispose());
    await prepared.put(store, batchManifestKey('faulty'));
    await store.put(batchInvalidKey('faulty'), encodeInvalidLines(prepared.faults));
    const failed: unknown[] = [];
    for await (const { item_id, comment } of failedLines(store, 'faulty', { causes: 'all' }))
      failed.push([item_id, String(comment).split(' ').slice(0, 2).join(' ')]);
    expect(failed).toEqual([
      ['good', 'not run'],
      ['no-image', 'InvalidRequest: reference_image'],
      ['no-fps', 'InvalidRequest: fps'],
      ['line-00004', 'InvalidRequest: fps'],
      ['line-00005', 'InvalidRequest: duration'],
      ['Ärger', 'InvalidRequest: item_id'], // an id that is at fault itself is the editor's to fix
    ]);
  });

  test('10 000 lines are checked and written within flat memory', async () => {
    const lines = Array.from({ length: 10_000 }, (_, n) => ({
      ...local,
      prompt: `boat number ${n}`,
      item_id: `n${n}`,
    }));
    const started = Date.now();
    const before = process.memoryUsage().arrayBuffers;
    const prepared = await prepare(lines);
    onTestFinished(() => prepared.dispose());
    expect(prepared).toMatchObject({ items: 10_000, duplicates: 0, faults: [] });
    expect(Date.now() - started).toBeLessThan(30_000);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(32 * 1024 * 1024);
  });
});

describe('the key of a manifest', () => {
  test.each([
    ['lists/{date}.jsonl', '2026-03-31T22:30:00Z', 'Europe/Berlin', 'lists/2026-04-01.jsonl'],
    ['lists/{date}.jsonl', '2026-03-31T22:30:00Z', 'UTC', 'lists/2026-03-31.jsonl'],
    ['lists/{date}.jsonl', '2026-03-31T22:30:00Z', 'America/New_York', 'lists/2026-03-31.jsonl'],
    ['fixed.jsonl', '2026-03-31T22:30:00Z', 'UTC', 'fixed.jsonl'],
  ])('%s at %s in %s is %s', (template, time, zone, key) => {
    expect(manifestKeyAt(template, time, zone)).toBe(key);
  });

  test.each(['lists/{day}.jsonl', '/etc/passwd', '../a', ''])('%j is refused', (template) => {
    expect(() => manifestKeyAt(template, '2026-03-31T22:30:00Z', 'UTC')).toThrow(
      expect.objectContaining({ type: 'InvalidRequest' }),
    );
  });

  test('a zone that does not exist is refused', () => {
    expect(() => dateIn('Europe/Bärlin', new Date())).toThrow(/is not a time zone/);
  });
});

test('all faults of a line are listed at once, those of its image too', async () => {
  const lines = [
    line({ duration: 99, reference_image: 'text.jpg' }),
    line({ fps: 0, reference_image: 'missing.jpg' }),
    line({ size: '1*1', reference_image: `data:image/png;base64,${Buffer.from('no image').toString('base64')}` }),
    line({ reference_image: `data:image/png;base64,${Buffer.from('nor this').toString('base64')}` }),
    line({ duration: 1, reference_image: 'boat.jpg' }),
  ];
  const file = join(folder, 'faults.jsonl');
  await writeFile(file, lines.join('\n'));
  const images = imagesInFolder(folder, store, undefined);
  const options = { name: 'faults.jsonl', images, allowInvalid: false };
  const refused = await prepareManifest(() => openManifest({ file }), options).catch((error: unknown) => error);
  expect((refused as { issues: { path: string }[] }).issues.map(({ path }) => path)).toEqual([
    'line 1, duration',
    'line 1, reference_image',
    'line 2, fps',
    'line 2, reference_image',
    'line 3, size',
    'line 3, reference_image',
    'line 4, reference_image',
    'line 5, duration',
  ]);
});
