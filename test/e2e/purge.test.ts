import { utimes } from 'node:fs/promises';
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Purchase } from '../../src/contract/purchase.js';
import { Ledger } from '../../src/ledger/ledger.js';
import { LedgerPaths } from '../../src/ledger/paths.js';
import { candidateKey, referenceKey, rejectedKey, videoKey } from '../../src/storage/keys.js';
import { command, onlyJson } from '../support/command.js';
import { type Stack, startStack } from '../support/stack.js';

const DAY_MS = 86_400_000;
const IMAGE = referenceKey('1'.repeat(64), 'jpg');
const OTHER_IMAGE = referenceKey('2'.repeat(64), 'jpg');

let stack: Stack;
let ledger: Ledger;
let purchases = 0;
beforeAll(async () => {
  stack = await startStack();
  const { providerId: provider, account } = stack.config.provider;
  ledger = new Ledger({ store: stack.store, scope: { provider, account }, now: Date.now });
});
afterAll(() => stack?.close());
beforeEach(async () => {
  // Each test begins with a store that holds nothing of another one, but for the staged sample.
  for await (const { key } of stack.store.list('')) {
    if (/^(ledger|cache|videos|candidates|rejected)\//.test(key) || key === IMAGE || key === OTHER_IMAGE) {
      await stack.store.delete(key);
    }
  }
});

const purge = async (...args: string[]) => {
  const end = await command(['purge', ...args, '--json'], { env: stack.env });
  return { ...onlyJson(end), code: end.code };
};
const isThere = async (key: string) => (await stack.store.head(key)) !== undefined;

async function put(key: string, ageDays: number): Promise<string> {
  await stack.store.put(key, Buffer.from('0123456789'));
  return aged(key, ageDays);
}

async function aged(key: string, ageDays: number): Promise<string> {
  const then = new Date(Date.now() - ageDays * DAY_MS);
  await utimes(fileURLToPath(stack.store.url(key)), then, then);
  return key;
}

/**
 * A purchase that was announced `ageDays` ago from an image, up to the claim of its task unless `task` is undefined.
 */
async function bought(image: string, task: string | undefined, ageDays: number) {
  purchases += 1;
  const purchase = { key: purchases.toString(16).padStart(64, '0'), n: 1 };
  const cacheKey = `c${purchase.key}`;
  await ledger.openIntent(purchase, {
    cache_key: cacheKey,
    workflow_id: `video/${purchases}`,
    first_run_id: 'r',
    key_fingerprint: null,
    attempt: 1,
    seed: 1,
    tenant: null,
    expects: { prompt: 'waves', duration: 4, resolution: '720P', audio: false, image: null },
    memo: { reference: { kind: 'asset', key: image } },
  });
  const { scope } = ledger;
  await aged(LedgerPaths.of(scope).intent(purchase), ageDays);
  if (task !== undefined) {
    await ledger.claim(purchase, { task_id: task, request_id: null, key_fingerprint: null, found_by: 'submit' });
  }
  return { purchase, pointer: LedgerPaths.of(scope).cachedResult(cacheKey), cacheKey };
}

const taskOf = (purchase: Purchase, taskId: string) => ({ purchase, taskId, requestId: null, keyFingerprint: null });

/** A purchase with its archived video. */
async function archived(image: string, task: string, ageDays: number) {
  const made = await bought(image, task, ageDays);
  const video = await put(videoKey(task), ageDays);
  const result = { video_url: stack.store.url(video), task_id: task, bytes: 10, sha256: 'x' } as never;
  await ledger.finish(taskOf(made.purchase, task), { how: 'archived', result, cacheKey: made.cacheKey });
  return { ...made, video };
}

test('an old video goes with its cache record, a young one and every ledger record stay', async () => {
  const old = await archived(IMAGE, 'old', 100);
  const young = await archived(IMAGE, 'young', 80);
  const rejected = await put(rejectedKey('broken'), 100);
  expect(await purge('--older-than', '90d', '--yes')).toMatchObject({
    code: 0,
    deleted: true,
    objects: 2,
    bytes: 20,
    cache_records: 1,
    kept_open: 0,
    prefixes: { videos: { objects: 1, bytes: 10 }, rejected: { objects: 1 } },
  });
  expect(await Promise.all([old.video, old.pointer, rejected].map(isThere))).toEqual([false, false, false]);
  expect(await Promise.all([young.video, young.pointer].map(isThere))).toEqual([true, true]);
  expect((await ledger.findPurchase(old.purchase))?.state).toMatchObject({
    kind: 'closed',
    ending: { how: 'archived' },
  });
});

test('a cache record that points to another video stays when an older one of its request goes', async () => {
  const old = await archived(IMAGE, 'first', 100);
  const later = { task_id: 'later', video_url: 'file:///later', bytes: 1, sha256: 'x' } as never;
  await ledger.setCached(old.cacheKey, { ...old.purchase, n: 2 }, later);
  expect(await purge('--older-than', '90d', '--yes')).toMatchObject({ objects: 1, cache_records: 0 });
  expect(await isThere(old.pointer)).toBe(true);
});

test('video, candidate and image of an open purchase stay, however old it is', async () => {
  await bought(IMAGE, 'claimed', 100);
  const unclaimed = await bought(OTHER_IMAGE, undefined, 60);
  const kept = [
    await put(videoKey('claimed'), 100),
    await put(candidateKey('claimed'), 100),
    await put(candidateKey('whose'), 59), // of a task that only the purchase without a claim can be
    await put(IMAGE, 200),
    await put(OTHER_IMAGE, 200),
  ];
  const before = await put(candidateKey('before'), 61); // from before that purchase was announced
  expect(await purge('--older-than', '50d', '--yes')).toMatchObject({ code: 0, objects: 1, kept_open: 5 });
  expect(await Promise.all(kept.map(isThere))).toEqual(kept.map(() => true));
  expect(await isThere(before)).toBe(false);

  await ledger.decideNotCreated(unclaimed.purchase, { reason: 'person', failure: null });
  expect(await purge('--older-than', '50d', '--yes')).toMatchObject({ code: 0, objects: 2, kept_open: 3 });
});

test('an open purchase of another account in the same store is not touched either', async () => {
  const mine = ledger;
  ledger = new Ledger({ store: stack.store, scope: { provider: 'elsewhere', account: 'b' }, now: Date.now });
  try {
    await bought(IMAGE, 'theirs', 100);
  } finally {
    ledger = mine;
  }
  const kept = [await put(videoKey('theirs'), 100), await put(IMAGE, 100)];
  expect(await purge('--older-than', '50d', '--yes')).toMatchObject({ objects: 0, kept_open: 2 });
  expect(await Promise.all(kept.map(isThere))).toEqual([true, true]);
});

test('a reference purges its own videos of any age and itself, and nothing made from another image', async () => {
  const [one, two, other] = [
    await archived(IMAGE, 'one', 3),
    await archived(IMAGE, 'two', 0),
    await archived(OTHER_IMAGE, 'three', 100),
  ];
  const open = await bought(IMAGE, 'open', 2);
  await put(videoKey('open'), 2);
  await put(IMAGE, 3);
  await put(OTHER_IMAGE, 100);
  const args = ['--reference', `asset:${IMAGE}`, '--yes'];
  expect(await purge(...args)).toMatchObject({ code: 0, objects: 2, cache_records: 2, kept_open: 2 });
  expect(await Promise.all([one, two, other].map(({ video }) => isThere(video)))).toEqual([false, false, true]);
  expect(await Promise.all([IMAGE, OTHER_IMAGE, videoKey('open')].map(isThere))).toEqual([true, true, true]);

  await ledger.finish(taskOf(open.purchase, 'open'), { how: 'cancelled' });
  await aged(IMAGE, 1);
  expect(await purge(...args)).toMatchObject({ objects: 1, kept_open: 0, kept_recent: 1 });
  await aged(IMAGE, 2);
  expect(await purge(...args)).toMatchObject({ objects: 1, kept_open: 0, kept_recent: 0 });
  expect(await Promise.all([IMAGE, OTHER_IMAGE].map(isThere))).toEqual([false, true]);
});

test('--prefix purges there alone', async () => {
  const { video } = await archived(IMAGE, 'old', 100);
  await put(IMAGE, 100);
  expect(await purge('--older-than', '90d', '--prefix', 'references', '--yes')).toMatchObject({ objects: 1 });
  expect(await Promise.all([video, IMAGE].map(isThere))).toEqual([true, false]);
});

test('nothing is deleted by --dry-run, nor without --yes where there is no terminal, which is exit code 2', async () => {
  const { video, pointer } = await archived(IMAGE, 'old', 100);
  const counts = { deleted: false, objects: 1, bytes: 10, cache_records: 1 };
  expect(await purge('--older-than', '90d', '--dry-run')).toMatchObject({ code: 0, ...counts });
  expect(await purge('--older-than', '90d')).toMatchObject({ code: 2, ...counts });
  expect(await Promise.all([video, pointer].map(isThere))).toEqual([true, true]);
});

test.each([
  { answer: 'y', code: 0, stays: false },
  { answer: '', code: 130, stays: true },
])('on a terminal it asks, and the answer "$answer" ends with $code', async ({ answer, code, stays }) => {
  const { video } = await archived(IMAGE, 'old', 100);
  const stdin = Object.assign(new PassThrough(), { isTTY: true });
  stdin.end(`${answer}\n`);
  const end = await command(['purge', '--older-than', '90d'], { env: stack.env, stdin, columns: 80 });
  expect(end).toMatchObject({ code, stderr: expect.stringMatching(/videos +1 +10\n(?:.|\n)*Delete it\?/) });
  expect(await isThere(video)).toBe(stays);
});

test('a damaged record of a purchase that may be open is named, and what it may need stays', async () => {
  const { video } = await archived(IMAGE, 'old', 100);
  const { purchase } = await bought(OTHER_IMAGE, undefined, 100);
  const { provider, account } = ledger.scope;
  await stack.store.put(`ledger/${provider}/${account}/purchases/${purchase.key}/1/intent.json`, Buffer.from('{'));
  const key = `purchases/${purchase.key}/1/intent.json`;
  await put(IMAGE, 100);
  const answer = await purge('--older-than', '90d', '--yes');
  expect(answer).toMatchObject({ code: 1, damaged: [expect.stringContaining(key)] });
  expect(await isThere(video)).toBe(false);
  expect(await isThere(IMAGE)).toBe(true);
});

test.each([
  { args: ['--older-than', '24h'], why: 'at least 25h' },
  { args: ['--older-than', '90'], why: 'a time such as' },
  { args: ['--older-than', '1w'], why: 'a time such as' },
  { args: ['--reference', 'boat.jpg'], why: 'a staged image' },
  { args: ['--older-than', '90d', '--reference', `asset:${IMAGE}`], why: 'cannot be used with' },
  { args: ['--older-than', '90d', '--prefix', 'ledger'], why: 'Allowed choices' },
  { args: [], why: 'either --older-than or --reference' },
])('$args is refused with exit code 2', async ({ args, why }) => {
  expect(await purge(...args, '--yes')).toMatchObject({
    code: 2,
    error: { type: 'InvalidRequest', message: expect.stringContaining(why) },
  });
});

test('within 24 hours an equal request restores a purged video from the provider and buys nothing', async () => {
  const request = stack.request('purged and asked for again');
  const first = await stack.videos.result((await stack.videos.start(request)).id);
  const video = await aged(videoKey(first.task_id), 100);
  expect(await purge('--older-than', '90d', '--prefix', 'videos', '--yes')).toMatchObject({
    objects: 1,
    cache_records: 1,
  });
  expect(await isThere(video)).toBe(false);
  const second = await stack.videos.result((await stack.videos.start(request)).id);
  expect(second.task_id).toBe(first.task_id);
  expect(await isThere(video)).toBe(true);
  expect(stack.emulator.state().tasks).toHaveLength(1);
});
