import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { type BatchRow, keepDeliveryPlan, reportRows, writeEnds } from '../../src/batch/batch-files.js';
import { DeliveryNames, writeName } from '../../src/batch/delivery-names.js';
import { checkManifest } from '../../src/batch/manifest.js';
import type { BatchItemEnd, BatchSummary } from '../../src/contract/batch.js';
import { NO_VIDEO } from '../../src/contract/batch-item.js';
import { noTotals } from '../../src/contract/batch-totals.js';
import {
  type DeliveryReport,
  deliveryFolder,
  deliveryPatternFaults,
  RESERVED_FOLDERS,
} from '../../src/contract/delivery.js';
import { FailureType } from '../../src/contract/failure-type.js';
import { VideoError } from '../../src/contract/video-error.js';
import { type DeliveryProgress, deliverBatch } from '../../src/delivery/deliver-batch.js';
import { ALL_LEDGERS, LedgerPaths } from '../../src/ledger/paths.js';
import { PURGE_AREAS } from '../../src/ledger/purge.js';
import type { AssetStore } from '../../src/storage/asset-store.js';
import { copyAsset } from '../../src/storage/copy-asset.js';
import { FileStore } from '../../src/storage/file-store.js';
import * as keys from '../../src/storage/keys.js';
import { isKeySegment } from '../../src/storage/store-key.js';
import { Random } from '../property/random.js';

test.each([
  'delivery/{item_id}.mp4',
  'delivery/{date}/{item_id}.mp4',
  '{date}/{tenant}/{label:season}/{item_id}.mp4',
  'a/{label:sku}.MP4',
  'films=2026/@x/{item_id}-{date}.mp4',
])('%s can name deliveries', (pattern) => {
  expect(deliveryPatternFaults(pattern)).toEqual([]);
});

test.each<[pattern: unknown, faults: RegExp[]]>([
  [undefined, [/is empty/]],
  ['  ', [/is empty/]],
  [7, [/is empty/]],
  ['../{item_id}.mp4', [/must not leave its folder/]],
  ['a/../../{item_id}.mp4', [/must not leave its folder/]],
  ['a/./{item_id}.mp4', [/must not leave its folder/]],
  ['/a/{item_id}.mp4', [/must not begin with \//]],
  ['C:/a/{item_id}.mp4', [/must not begin with \/ or with an address/, /may hold ASCII/]],
  ['s3://b/{item_id}.mp4', [/must not begin with \/ or with an address/, /empty name/, /may hold ASCII/]],
  ['a\\{item_id}.mp4', [/may hold ASCII/, /must name a folder/, /must begin with a folder of a fixed name/]],
  ['a/\u0000{item_id}.mp4', [/may hold ASCII/]],
  ['a/\u202e{item_id}.mp4', [/may hold ASCII/]],
  ['a/ü{item_id}.mp4', [/may hold ASCII/]],
  ['.a/{item_id}.mp4', [/may hold ASCII/]],
  ['a//{item_id}.mp4', [/empty name/]],
  ['a/{item_id}/', [/empty name/, /must end with .mp4/]],
  ['a/{item}.mp4', [/unknown placeholder \{item\}/, /gives several lines one name/]],
  ['a/{label:}{item_id}.mp4', [/unknown placeholder \{label:\}/]],
  ['a/{item_id.mp4', [/a brace/, /may hold ASCII/, /gives several lines one name/]],
  ['a/{tenant}/{date}.mp4', [/gives several lines one name/]],
  ['{item_id}.mp4', [/must name a folder/, /must begin with a folder of a fixed name/]],
  ['{tenant}/{item_id}.mp4', [/must begin with a folder of a fixed name/]],
  ['Videos/{item_id}.mp4', [/must not begin with Videos\//]],
  ['a/{item_id}.mov', [/must end with .mp4/]],
  ['aux/{item_id}.mp4', [/a name that Windows keeps/]],
  ['a/Com1.{item_id}.mp4', [/a name that Windows keeps/]],
  [`a/${'b'.repeat(500)}{item_id}.mp4`, [/the limit is 500/]],
])('%j is refused with every fault', (pattern, faults) => {
  const found = deliveryPatternFaults(pattern);
  for (const fault of faults) expect(found).toContainEqual(expect.stringMatching(fault));
  expect(found).toHaveLength(faults.length);
});

test('a delivery cannot go where the store keeps its own objects', () => {
  const scope = { provider: 'p', account: 'a' };
  const ledger = LedgerPaths.of(scope);
  // What makes no key of its own.
  type NoKey = 'safeName' | 'taskNameOf' | 'deliveredKey';
  const samples: Readonly<Record<Exclude<keyof typeof keys, NoKey>, string | readonly string[]>> = {
    referenceKey: keys.referenceKey('a', 'jpg'),
    taskObjectKeys: Object.values(keys.taskObjectKeys('t')),
    videoKey: keys.videoKey('t'),
    candidateKey: keys.candidateKey('t'),
    rejectedKey: keys.rejectedKey('t'),
    conformedRoot: keys.conformedRoot('t'),
    conformedKey: keys.conformedKey('t', 'r'),
    posterKey: keys.posterKey('t', keys.videoKey('t')),
    statsRoot: keys.statsRoot(scope),
    scheduledManifestKey: keys.scheduledManifestKey('a'),
    auditKey: keys.auditKey(scope, '2026-11-30'),
    batchManifestKey: keys.batchManifestKey('b'),
    batchInvalidKey: keys.batchInvalidKey('b'),
    batchResultsRoot: keys.batchResultsRoot('b'),
    batchResultsKey: keys.batchResultsKey('b', 1),
    batchReportKey: keys.batchReportKey('b'),
    batchDeliveryKey: keys.batchDeliveryKey('b'),
    batchUndeliveredKey: keys.batchUndeliveredKey('b'),
    batchDocumentKey: keys.batchDocumentKey('b', 'csv'),
    missedRunsRoot: keys.missedRunsRoot('s', 'n'),
    missedRunsKey: keys.missedRunsKey('s', 'n', 1),
    STORE_ID_KEY: keys.STORE_ID_KEY,
  };
  // A key that is added needs a sample.
  expect([...Object.keys(samples), 'safeName', 'taskNameOf', 'deliveredKey'].sort()).toEqual(Object.keys(keys).sort());
  const own = [...Object.values(samples).flat(), ...PURGE_AREAS, ALL_LEDGERS, ledger.cachedResult('k'), 'probes/a'];
  expect([...new Set(own.map((key) => key.split('/')[0]))].sort()).toEqual([...RESERVED_FOLDERS].sort());
});

test('the folder of a pattern ends before what differs between lines', () => {
  expect(deliveryFolder('delivery/2026-11-30/{item_id}.mp4')).toBe('delivery/2026-11-30');
  expect(deliveryFolder('a/b-{tenant}/c/{item_id}.mp4')).toBe('a');
});

test('names are made of the values, and a value never leaves its place', () => {
  const names = new DeliveryNames('d/{tenant}/{label:Saison}-{item_id}.mp4');
  const labels = { Saison: 'Früh ling/..' };
  expect(names.keyOf({ item_id: 'Boot.1', tenant: '../x', labels })).toEqual({
    key: 'd/~2e.~2fx/Fr~c3~bch~20ling~2f.~2e-Boot.1.mp4',
  });
  expect(names.keyOf({ item_id: 'a', labels: {} })).toEqual({
    fault: 'needs a value for the name of its file: it has no tenant and no label Saison',
  });
  // A label's name may be that of a property of every object.
  expect(new DeliveryNames('d/{label:constructor}.mp4').keyOf({ item_id: 'a', labels: {} })).toHaveProperty('fault');
});

test.each([
  ['CON', 'd/~43ON.mp4'],
  ['nul', 'd/~6eul.mp4'],
  ['Com1', 'd/~43om1.mp4'],
  ['LPT9.draft', 'd/~4cPT9.draft.mp4'],
  ['aux ', 'd/aux~20.mp4'],
  ['CONSOLE', 'd/CONSOLE.mp4'],
  ['COM10', 'd/COM10.mp4'],
  ['COM¹', 'd/COM~c2~b9.mp4'],
])('the item %j gets no name that Windows keeps for a device', (item_id, key) => {
  expect(new DeliveryNames('d/{item_id}.mp4').keyOf({ item_id })).toEqual({ key });
});

test('a folder, and a name of several values, is no device of Windows either', () => {
  const names = new DeliveryNames('d/{tenant}/{label:a}{item_id}.mp4');
  const named = names.keyOf({ item_id: 'N', tenant: 'prn', labels: { a: 'CO' } });
  expect(named).toEqual({ key: 'd/~70rn/~43ON.mp4' });
});

test('values that differ in their Unicode form only, or in the case of a letter like Ü, have files of their own', () => {
  const names = new DeliveryNames('d/{item_id}.mp4');
  const values = ['Früh'.normalize('NFC'), 'Früh'.normalize('NFD'), 'FRÜH', '\ufb01lm', 'film', '\u212b', '\u00c5'];
  expect(values.flatMap((item_id, line) => names.claim({ line, item_id }))).toEqual([]);
});

test('any value becomes a part of one name, and different values different ones', () => {
  const random = new Random(20);
  const characters = [...'aA.~/\\-_ ü\u0000\u202e..'];
  const seen = new Map<string, string>();
  for (let n = 0; n < 2_000; n += 1) {
    const value = Array.from({ length: random.between(1, 6) }, () => random.pick(characters)).join('');
    const name = writeName(value);
    expect(isKeySegment(`x${name}x`), JSON.stringify(value)).toBe(true);
    expect(seen.get(name) ?? value).toBe(value);
    seen.set(name, value);
  }
});

test('a manifest names each line that cannot be delivered under a name of its own, with its other faults', async () => {
  const request = { prompt: 'a', duration: 4, fps: 24, size: '1280*720', reference_image: 'asset:references/a.jpg' };
  const lines = [
    { item_id: 'a', ...request, labels: { team: 'Film' } },
    { item_id: 'b', ...request, labels: { team: 'film' } },
    { item_id: 'c', ...request },
    { item_id: 'd', ...request, labels: { team: 'x'.repeat(300) } },
    { item_id: 'e', ...request, duration: -1, labels: { team: 'film' } },
    { item_id: 'f', ...request, labels: { team: 'other' } },
  ];
  const body = (async function* () {
    for (const line of lines) yield Buffer.from(`${JSON.stringify(line)}\n`);
  })();
  const { items, faults } = await checkManifest(body, 'd/{label:team}.mp4');
  expect(items).toBe(2);
  expect(faults.map(({ itemId, issues }) => [itemId, issues[0]?.path])).toEqual([
    ['b', 'deliver'],
    ['c', 'deliver'],
    ['d', expect.stringMatching(/deliver|labels/)],
    ['e', 'duration'],
  ]);
  expect(faults[0]?.issues[0]?.message).toBe('gives its file the name of line 1: d/film.mp4');
});

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const REQUEST = { prompt: 'p', duration: 4, fps: 24, size: '1280*720', reference_image: 'asset:references/a.jpg' };

/** A batch whose items `a` to `e` have ended: four with a video, one without. */
async function endedBatch(reports: readonly DeliveryReport[] = ['csv', 'html', 'json']) {
  const folder = await mkdtemp(join(tmpdir(), 'wan-video-delivery-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const store = new FileStore(folder);
  const ids = ['a', 'b', 'c', 'd', 'e'];
  const lines = ids.map((item_id, n) => `${JSON.stringify({ item_id, line: n + 1, ...REQUEST })}\n`);
  await store.put(keys.batchManifestKey('s:1'), Buffer.from(lines.join('')));
  const ends = ids.map((item_id): BatchItemEnd => {
    const head = { item_id, run: `batch/s:1/${item_id}`, started_at_ms: 1, ended_at_ms: 2, cause: null };
    if (item_id === 'e') return { ...NO_VIDEO, ...head, outcome: 'failed', cause: 'TaskFailed' };
    const video = { task_id: `t-${item_id}`, video_url: `x:${item_id}`, sha256: sha256(item_id) };
    return { ...NO_VIDEO, ...head, ...video, outcome: 'generated' };
  });
  await writeEnds(store, 's:1', 0, ends);
  for (const id of ids.slice(0, 4)) await store.put(keys.videoKey(`t-${id}`), Buffer.from(id));
  const plan = await keepDeliveryPlan(store, 's:1', { pattern: 'out/2026-11-30/{item_id}.mp4', reports });
  const counts = noTotals({ total: 5, duplicate: 0, invalid: 0 });
  const summary: BatchSummary = {
    ...counts,
    batch_id: 's:1',
    outcome: 'completed',
    started_at_ms: 1,
    ended_at_ms: 2,
    retry_of: null,
  };
  return { store, delivery: { summary, plan, prices: undefined, nowMs: 3 } };
}

async function outIn(store: FileStore): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of store.list('out/')) found.push(key);
  return found;
}
const textOf = async (store: FileStore, key: string) =>
  Buffer.concat(await (await store.get(key)).toArray()).toString();

test('each video is under its name, the documents name it, and doing it again changes nothing', async () => {
  const { store, delivery } = await endedBatch();
  const done = await deliverBatch(store, delivery);
  expect(done).toMatchObject({ files: 4, missing: 1, undelivered: 0, problems: [], failure: null });
  const files = ['a', 'b', 'c', 'd'].map((id) => `out/2026-11-30/${id}.mp4`);
  const documents = ['csv', 'html', 'json'].map((ext) => `out/2026-11-30/report-s-1.${ext}`);
  expect(await outIn(store)).toEqual([...files, ...documents]);
  expect(await textOf(store, 'out/2026-11-30/report-s-1.csv')).toContain(',out/2026-11-30/b.mp4,');
  expect(await textOf(store, 'out/2026-11-30/report-s-1.html')).toMatch(/data-src="a\.mp4".*TaskFailed/s);
  const json = JSON.parse(await textOf(store, 'out/2026-11-30/report-s-1.json')) as { items: BatchRow[] };
  expect(json.items.map(({ file }) => file)).toEqual([...files, undefined]);
  const contents = async () => Promise.all((await outIn(store)).map(async (key) => textOf(store, key)));
  const before = await contents();
  expect(await deliverBatch(store, { ...delivery, nowMs: 99 })).toEqual(done);
  expect(await contents()).toEqual(before);
});

test('what has a name already is kept, and a video that is damaged or gone is named', async () => {
  const { store, delivery } = await endedBatch(['csv']);
  await store.put('out/2026-11-30/a.mp4', Buffer.from('of another batch'));
  await store.put(keys.videoKey('t-b'), Buffer.from('x'));
  await store.delete(keys.videoKey('t-c'));
  await store.put('out/2026-11-30/report-s-1.csv', Buffer.from('of a person'));
  const done = await deliverBatch(store, delivery);
  expect(done).toMatchObject({ files: 1, missing: 1, undelivered: 3, reports: [] });
  expect(done.problems.map(({ item_id, message }) => [item_id, message])).toEqual([
    ['a', expect.stringMatching(/^another file has this name/)],
    ['b', expect.stringMatching(/is not the one that was archived/)],
    ['c', expect.stringMatching(/is not in the store any more/)],
    [null, expect.stringMatching(/^another file has this name/)],
  ]);
  expect(await textOf(store, 'out/2026-11-30/a.mp4')).toBe('of another batch');
  expect(await textOf(store, 'out/2026-11-30/report-s-1.csv')).toBe('of a person');
  expect(await store.head('out/2026-11-30/b.mp4')).toBeUndefined();
  const rows: BatchRow[] = [];
  for await (const { row } of reportRows(store, 's:1')) rows.push(row);
  expect(rows[0]).toMatchObject({ file_problem: expect.stringMatching(/^another file/) });
  expect(rows[3]).toMatchObject({ file: 'out/2026-11-30/d.mp4' });
});

/** A store that keeps checksums, and copies as a server does, to what `copied` makes of the bytes. */
async function copyingStore(copied: (bytes: Buffer) => Buffer, verified: boolean) {
  const folder = await mkdtemp(join(tmpdir(), 'wan-video-copy-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const store = new FileStore(folder);
  const copies: string[] = [];
  const checksums = new Map<string, string>();
  const { head } = store;
  store.head = async (key, options) => {
    const info = await head.call(store, key, options);
    return info && { ...info, sha256: checksums.get(key) };
  };
  const copy: AssetStore['copy'] = async (from, to, { sha256: expected } = {}) => {
    copies.push(to);
    await store.put(to, copied(Buffer.from(await textOf(store, from))));
    if (expected !== undefined) checksums.set(to, expected);
    return { stored: true, verified };
  };
  return { store: Object.assign(store, { copy }), checksums, copies };
}

const COPY = { from: 'videos/t.mp4', to: 'out/t.mp4', sha256: sha256('a'), contentType: 'video/mp4' };

test.each([
  ['other bytes under its own checksum', sha256('b')],
  ['other bytes and no checksum', undefined],
])('equal tags prove nothing about a source that has %s: nothing is left under the name', async (_, checksum) => {
  const { store, checksums, copies } = await copyingStore((bytes) => bytes, true);
  await store.put(COPY.from, Buffer.from('b'));
  if (checksum !== undefined) checksums.set(COPY.from, checksum);
  expect(await copyAsset(store, COPY)).toBe('damaged');
  expect(await copyAsset(store, COPY)).toBe('damaged');
  expect(copies).toEqual([]);
  expect(await store.head(COPY.to)).toBeUndefined();
});

test('a copy that is not its source is removed, so that the next look does not take it for the video', async () => {
  const { store, checksums, copies } = await copyingStore(() => Buffer.from('b'), false);
  await store.put(COPY.from, Buffer.from('a'));
  checksums.set(COPY.from, COPY.sha256);
  expect(await copyAsset(store, COPY)).toBe('damaged');
  expect(await store.head(COPY.to)).toBeUndefined();
  expect(await copyAsset(store, COPY)).toBe('damaged');
  expect(copies).toEqual([COPY.to, COPY.to]);
});

test('a store that fails for one video lets the others be delivered; the next attempt goes on behind those before', async () => {
  const { store, delivery } = await endedBatch([]);
  const { head } = store;
  let fails = true;
  store.head = async (key, options) => {
    if (fails && key.endsWith('/c.mp4')) throw new VideoError(FailureType.StoreUnavailable, key, { retryable: true });
    return head.call(store, key, options);
  };
  let progress: DeliveryProgress | undefined;
  const onProgress = (done: DeliveryProgress) => {
    progress = done;
  };
  await expect(deliverBatch(store, { ...delivery, onProgress })).rejects.toMatchObject({ type: 'StoreUnavailable' });
  expect(await outIn(store)).toEqual(['a', 'b', 'd'].map((id) => `out/2026-11-30/${id}.mp4`));
  expect(progress).toEqual({ rows: 2, files: 2, missing: 0, problems: [] });
  fails = false;
  const heads: string[] = [];
  store.head = async (key, options) => {
    heads.push(key);
    return head.call(store, key, options);
  };
  expect(await deliverBatch(store, { ...delivery, from: progress })).toMatchObject({ files: 4, missing: 1 });
  expect(heads).not.toContain('out/2026-11-30/a.mp4');
});
