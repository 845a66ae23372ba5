import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { MockActivityEnvironment } from '@temporalio/testing';
import { expect, onTestFinished, test, vi } from 'vitest';
import { ArchiveAttempts } from '../../activities/archive-attempts.js';
import { archiveFinished, createRestoreVideo } from '../../activities/archive-video.js';
import type { ResultDeps } from '../../activities/deps.js';
import { resultExpired, withResult } from '../../activities/download-result.js';
import type { FinishedTask } from '../../activities/finished-task.js';
import { DEFAULT_TIMES } from '../../src/config/times.js';
import { VideoError } from '../../src/contract/video-error.js';
import { makeClip } from '../../src/emulator/clip/plain-clip.js';
import { buyOnce } from '../../src/ledger/buy.js';
import { Ledger } from '../../src/ledger/ledger.js';
import { Mp4Inspector } from '../../src/media/mp4-inspector.js';
import { ResultLinks } from '../../src/polling/result-links.js';
import { deferred } from '../support/deferred.js';
import { patchBox, u32, writeMp4 } from '../support/mp4-writer.js';
import { KEY, order, ROOT, setUp } from './ledger-setup.js';

const BASE_URL = 'http://127.0.0.1:1/api/v1';
const FOLDER = `${ROOT}/purchases/${KEY}/1`;

/** A bought task that has SUCCEEDED, and what is needed to archive it: by default a clip of two seconds. */
async function finished(result?: Buffer) {
  const world = setUp();
  const request = { prompt: 'p', duration: 2, fps: 30, size: '1280*720', resolution: '720P', cache: 'use' };
  const memo = { request, reference: { kind: 'oss' }, warnings: [], labels: {} };
  const bought = await buyOnce(world.deps, order({ memo }));
  if (bought.kind !== 'bought') throw new Error(`not bought but ${bought.kind}`);
  const task: FinishedTask = {
    ...bought.task,
    claim: 'claimed' as const,
    queuedSeconds: 1,
    renderingSeconds: 2,
    detectedSeconds: 0.5,
    endTimeMs: world.clock.now(),
    billedSeconds: 2,
    resolution: '720P',
    audio: false,
    seenAtMs: world.clock.now(),
  };
  const shape = { width: 64, height: 36, durationSeconds: 2, audio: false, seed: 1, label: 't1' };
  const clip = result ?? (await makeClip(shape));
  const spoolDir = await mkdtemp(join(tmpdir(), 'wan-video-archive-'));
  onTestFinished(() => rm(spoolDir, { recursive: true }));
  const asked = deferred<void>();
  const dashscope = {
    queryTask: async () => ({
      taskId: 't1',
      status: 'SUCCEEDED',
      requestId: 'q',
      videoUrl: 'http://127.0.0.1:1/v.mp4',
    }),
    download: async () => {
      asked.resolve();
      return { statusCode: 200, headers: { 'content-length': String(clip.length) }, body: Readable.from([clip]) };
    },
  };
  const deps: ResultDeps = {
    dashscope: dashscope as never,
    providerBaseUrl: BASE_URL,
    store: world.store,
    // Of another worker than the one that bought it, so that it remembers nothing.
    ledger: new Ledger({ store: world.store, scope: world.ledger.scope, now: world.clock.now }),
    spoolDir,
    allowPrivateUrls: [],
    publicBaseUrl: undefined,
    times: DEFAULT_TIMES,
    clock: world.clock,
  };
  return { ...world, task, deps, asked };
}

/** Archives until the attempts say that it is final, as Temporal's retries do. */
async function archiveAtLast({ deps, task, clock }: Awaited<ReturnType<typeof finished>>) {
  const rejected = new ArchiveAttempts();
  for (;;) {
    try {
      return await archiveFinished(deps, task, rejected, undefined);
    } catch (error) {
      if (!(error instanceof VideoError && error.retryable)) throw error;
      clock.advance(DEFAULT_TIMES.rejectEveryMs);
    }
  }
}

/** The link leads to these bytes in turn, then to the video. */
function leadTo({ dashscope }: ResultDeps, documents: readonly Buffer[]): void {
  const { download } = dashscope;
  const left = [...documents];
  dashscope.download = async (...args) => {
    const answer = await download.apply(dashscope, args);
    const document = left.shift();
    return document === undefined ? answer : { ...answer, headers: {}, body: Readable.from([document]) as never };
  };
}

test.each([
  ['a JSON document', '{"code":"InternalError","message":"try again"}'],
  ['an HTML page', '<!doctype html>\n<html lang="en"><body>Bad gateway</body></html>'],
  ['an XML document', '<?xml version="1.0"?><Error><Code>SlowDown</Code></Error>'],
  ['a text file', 'upstream connect error or disconnect/reset before headers'],
  ['a gzip archive', '\x1f\x8b\x08\0\0\0\0\0'],
  ['an empty file', ''],
])('a link that leads to %s for an hour closes nothing, and its video is archived after it', async (name, text) => {
  const { deps, task, clock, store, ledger } = await finished();
  const document = Buffer.from(text, 'latin1');
  leadTo(
    deps,
    Array.from({ length: 12 }, () => document),
  );
  const attempts = new ArchiveAttempts();
  for (let times = 0; times < 12; times += 1) {
    await expect(archiveFinished(deps, task, attempts, undefined)).rejects.toMatchObject({
      type: 'ResultUnreachable',
      retryable: true,
      message: `The link of the result leads to ${name}`,
    });
    clock.advance(DEFAULT_TIMES.rejectEveryMs);
  }
  expect(attempts.state.faults).toMatchObject([{ times: 12 }]);
  expect((await ledger.requirePurchase(task.purchase)).state.kind).toBe('claimed');
  const { warnings } = await archiveFinished(deps, task, attempts, undefined);
  expect(warnings.map(({ code }) => code)).not.toContain('unverified');
  expect([...store.objects.keys()].filter((key) => key.startsWith('rejected/'))).toEqual([]);
});

test('bytes that are no video prove it only over minutes, however often they come in one', async () => {
  const { deps, task, clock, ledger } = await finished();
  const placeholder = Buffer.from('\x89PNG\r\n\x1a\n the video is not ready yet', 'latin1');
  const attempts = new ArchiveAttempts();
  const archive = () => archiveFinished(deps, task, attempts, undefined);
  const everyMs = DEFAULT_TIMES.rejectEveryMs / 5;
  leadTo(
    deps,
    Array.from({ length: 11 }, () => placeholder),
  );
  // One that counts each five minutes, the first one at once: the third is the eleventh.
  for (let times = 0; times < 10; times += 1) {
    await expect(archive()).rejects.toMatchObject({ type: 'ResultRejected', retryable: true });
    clock.advance(everyMs);
  }
  expect(attempts.state.rejections).toMatchObject({ times: 2 });
  expect((await ledger.requirePurchase(task.purchase)).state.kind).toBe('claimed');
  await expect(archive()).rejects.toMatchObject({ type: 'ResultRejected', retryable: false });
  expect((await ledger.requirePurchase(task.purchase)).state.kind).toBe('closed');
});

test('a cut file that comes for minutes is not kept in the place of the whole one', async () => {
  const { deps, task, clock } = await finished();
  leadTo(deps, Array.from({ length: 9 }, cutVideo));
  const attempts = new ArchiveAttempts();
  for (let times = 0; times < 9; times += 1) {
    await expect(archiveFinished(deps, task, attempts, undefined)).rejects.toMatchObject({ retryable: true });
    clock.advance(DEFAULT_TIMES.rejectEveryMs / 5);
  }
  const { warnings } = await archiveFinished(deps, task, attempts, undefined);
  expect(warnings.map(({ code }) => code)).not.toContain('unverified');
});

test('an archived video is restored with the same bytes only, and other bytes at its link buy nothing', async () => {
  const { deps, task } = await finished();
  const result = await archiveFinished(deps, task, new ArchiveAttempts(), undefined);
  await deps.store.delete(`videos/t1.mp4`);
  const whole = writeMp4({ layout: 'open', frameBytes: 48 });
  leadTo(deps, [Buffer.from('{"code":"Busy"}'), Buffer.alloc(200), whole]);
  const environment = () => new MockActivityEnvironment().run(createRestoreVideo(deps as never), { task, result });
  for (let times = 0; times < 3; times += 1) {
    await expect(environment()).rejects.toMatchObject({ type: 'ResultUnreachable', retryable: true });
  }
  expect(await environment()).toEqual({ result });
  expect((await deps.store.head('videos/t1.mp4'))?.sha256).toBe(result.sha256);
});

test('a result of which frames are missing is archived as it came, and named as cut off', async () => {
  const whole = writeMp4({ layout: 'open', frameBytes: 48 });
  const cut = whole.subarray(0, whole.indexOf('mdat') + 4 + 5 * 48 + 10);
  const world = await finished(cut);
  const { warnings, bytes } = await archiveAtLast(world);
  expect(bytes).toBe(cut.length);
  expect(warnings).toContainEqual({
    code: 'unverified',
    message: 'The video was archived as it came, although it is cut off: frame 6 of 60 is not there.',
  });
});

test('a result that claims 100 million frames is set aside, and the failure names the fault and the file', async () => {
  const hostile = patchBox(writeMp4({ layout: 'fragments' }), 'trun', 8, u32(0, 100_000_000));
  const world = await finished(hostile);
  await expect(archiveAtLast(world)).rejects.toMatchObject({
    type: 'ResultRejected',
    message: expect.stringContaining('it claims 100000000 frames'),
    nextStep: 'Look at rejected/t1.bin in the asset store, and give the task id to the provider.',
    billed: true,
  });
  expect((await world.store.head('rejected/t1.bin'))?.bytes).toBe(hostile.length);
  expect(await world.store.head('videos/t1.mp4')).toBeUndefined();
});

/** A video whose index has more parts than are read. */
function beyondLimits(): Buffer {
  const parts = Array.from({ length: 1_100 }, () => Buffer.from('\0\0\0\x08free', 'latin1'));
  const moov = Buffer.concat([u32(8 + 8 * parts.length), Buffer.from('moov'), ...parts]);
  return Buffer.concat([Buffer.from('\0\0\0\x10ftypisom\0\0\0\0', 'latin1'), moov]);
}

test.each([
  ['that is beyond our limits', beyondLimits, 'has more than 1024 parts in its "moov"'],
  [
    'in a container that is not measured',
    () => Buffer.from(`\x1aE\xdf\xa3${'x'.repeat(100)}`, 'latin1'),
    'is a WebM or Matroska video, which is not measured',
  ],
])(
  'a result %s is archived as it came after three downloads, with the figures of the request',
  async (_, make, why) => {
    const bytes = make();
    const world = await finished(bytes);
    const attempts = new ArchiveAttempts();
    const archive = () => archiveFinished(world.deps, world.task, attempts, undefined);
    for (let times = 0; times < 2; times += 1) {
      await expect(archive()).rejects.toMatchObject({ retryable: true, message: expect.stringContaining(why) });
    }
    const result = await archive();
    expect(result).toMatchObject({ bytes: bytes.length, duration: 2, fps: 30, width: 1280, height: 720 });
    expect(result.warnings).toEqual([
      { code: 'unverified', message: expect.stringContaining(`although it ${why}. Its`) },
    ]);
    expect(attempts.state.rejections).toBeNull();
    expect(await world.store.head('rejected/t1.bin')).toBeUndefined();
  },
);

test('a worker on which no process measures closes nothing: the video is kept unverified in the end', async () => {
  const measuring = vi
    .spyOn(Mp4Inspector.prototype, 'inspect')
    .mockResolvedValue({ kind: 'unavailable', reason: 'cannot start (exit code 1)' });
  onTestFinished(() => measuring.mockRestore());
  const { warnings } = await archiveAtLast(await finished());
  expect(measuring).toHaveBeenCalledTimes(10);
  expect(warnings).toContainEqual({ code: 'unverified', message: expect.stringContaining('cannot start') });
});

/** The provider shows the video and its link is refused; a copy is in our store. */
async function withCopy(copy: Buffer, { status = 'SUCCEEDED' } = {}) {
  const world = await finished();
  world.store.set('candidates/t1.mp4', copy);
  const provider = {
    queryTask: async () => ({
      taskId: 't1',
      status,
      requestId: 'q',
      ...(status === 'SUCCEEDED' && { videoUrl: 'http://127.0.0.1:1/v.mp4' }),
    }),
    download: async () => Promise.reject(new VideoError('ResultUnreachable', 'HTTP 451', { retryable: true })),
    keyFingerprint: async () => world.task.keyFingerprint,
    listTasks: async () => ({ tasks: [], unreadable: 0, total: 0, pageNo: 1, totalPages: 1 }),
  };
  return { ...world, broken: { ...world.deps, dashscope: provider as never } };
}

const cutVideo = () => {
  const whole = writeMp4({ layout: 'open', frameBytes: 48 });
  return whole.subarray(0, whole.indexOf('mdat') + 4 + 5 * 48 + 10);
};

test.each([
  ['is cut', cutVideo],
  ['is no video', () => Buffer.from('<html></html>')],
  ['is beyond our limits', beyondLimits],
])(
  'a copy in our store that %s is not three downloads: nothing is closed or kept until the link works',
  async (_, copy) => {
    const { broken, deps, task, store, ledger } = await withCopy(copy());
    const attempts = new ArchiveAttempts();
    for (let times = 0; times < 5; times += 1) {
      await expect(archiveFinished(broken, task, attempts, undefined)).rejects.toMatchObject({
        type: 'ResultUnreachable',
        retryable: true,
      });
    }
    expect(attempts.state.rejections).toBeNull();
    expect(await store.head('videos/t1.mp4')).toBeUndefined();
    expect((await ledger.requirePurchase(task.purchase)).state.kind).toBe('claimed');
    const { warnings } = await archiveFinished(deps, task, attempts, undefined);
    expect(warnings.map(({ code }) => code)).not.toContain('unverified');
  },
);

test('a copy with a fault is kept as it came once the provider has denied the task for long', async () => {
  const { broken, task, clock } = await withCopy(cutVideo(), { status: 'UNKNOWN' });
  const attempts = new ArchiveAttempts();
  const archive = () => archiveFinished(broken, task, attempts, undefined);
  await expect(archive()).rejects.toMatchObject({ type: 'ResultExpired', retryable: true });
  clock.advance(DEFAULT_TIMES.unknownForMs);
  expect((await archive()).warnings).toContainEqual(expect.objectContaining({ code: 'unverified' }));
});

test('a damaged archived copy closes nothing, even after downloads that were no video', async () => {
  const { deps, task, store, ledger } = await finished();
  store.set('videos/t1.mp4', Buffer.from('<html></html>'));
  const attempts = new ArchiveAttempts();
  for (let times = 0; times < 3; times += 1) attempts.reject('a');
  await expect(archiveFinished(deps, task, attempts, undefined)).rejects.toMatchObject({ retryable: true });
  expect((await ledger.requirePurchase(task.purchase)).state.kind).toBe('claimed');
});

test('the ledger is read during the download, which does not wait for it', async () => {
  const { deps, task, store, asked } = await finished();
  const get = store.get.bind(store);
  store.get = async (key, options) => {
    if (key.startsWith(FOLDER)) await asked.promise;
    return get(key, options);
  };
  expect(await archiveFinished(deps, task, new ArchiveAttempts(), undefined)).toMatchObject({
    task_id: 't1',
    duration: 2,
    fps: 30,
  });
});

test('a video whose record is damaged is in the store before that is reported', async () => {
  const { deps, task, store } = await finished();
  store.set(`${FOLDER}/intent.json`, Buffer.from('{"v":1}'));
  await expect(archiveFinished(deps, task, new ArchiveAttempts(), undefined)).rejects.toMatchObject({
    type: 'RecordDamaged',
  });
  expect(await store.head('videos/t1.mp4')).toBeDefined();
  expect(await store.head(`${FOLDER}/closed.json`)).toBeUndefined();
});

test('in another store than the purchase is in nothing is left, and a forgotten video is not given up', async () => {
  const { deps, task } = await finished();
  const elsewhere = { ...deps, store: setUp().store };
  elsewhere.ledger = new Ledger({ store: elsewhere.store, scope: deps.ledger.scope, now: deps.clock.now });
  const refused = { type: 'ConfigurationInvalid', retryable: true };
  await expect(archiveFinished(elsewhere, task, new ArchiveAttempts(), undefined)).rejects.toMatchObject(refused);
  expect(await elsewhere.store.head('videos/t1.mp4')).toBeUndefined();
  const dashscope = { queryTask: async () => ({ taskId: 't1', status: 'UNKNOWN', requestId: 'q' }) } as never;
  await expect(
    archiveFinished({ ...elsewhere, dashscope }, task, new ArchiveAttempts(), undefined),
  ).rejects.toMatchObject(refused);
});

test('a cache that points at a later purchase stays; at an earlier one it is moved on', async () => {
  const { deps, task, ledger } = await finished();
  const result = await archiveFinished(deps, task, new ArchiveAttempts(), undefined);
  expect(await ledger.findCached(KEY)).toMatchObject({ n: 1, result: { task_id: 't1' } });
  await ledger.setCached(KEY, { key: KEY, n: 3 }, { ...result, task_id: 't3' });
  await ledger.setCached(KEY, { key: KEY, n: 2 }, { ...result, task_id: 't2' });
  expect(await ledger.findCached(KEY)).toMatchObject({ n: 3, result: { task_id: 't3' } });
});

test('a link that the watch has shown is downloaded without another query, and one that has run out is queried for', async () => {
  const { deps, task } = await finished();
  const links = new ResultLinks();
  const opened: string[] = [];
  const { dashscope } = deps;
  const provider = {
    queryTask: async (taskId: string) => {
      opened.push('query');
      return dashscope.queryTask(taskId);
    },
    download: async (url: string) => {
      opened.push(url);
      if (url.endsWith('/old.mp4')) throw resultExpired('t1', 'has no result');
      return dashscope.download(url);
    },
  } as never;
  const known = { ...deps, dashscope: provider, links };
  links.add('t1', 'http://127.0.0.1:1/v.mp4');
  await withResult(known, 't1', undefined, async () => undefined);
  expect(opened).toEqual(['http://127.0.0.1:1/v.mp4']);
  opened.length = 0;
  links.add('t1', 'http://127.0.0.1:1/old.mp4');
  await archiveFinished(known, task, new ArchiveAttempts(), undefined);
  expect(opened).toEqual(['http://127.0.0.1:1/old.mp4', 'query', 'http://127.0.0.1:1/v.mp4']);
});

test('a single UNKNOWN ends nothing; one that stays ends it once the task is proved to be gone', async () => {
  const { deps, task, clock } = await finished();
  const dashscope = {
    queryTask: async () => ({ taskId: 't1', status: 'UNKNOWN', requestId: 'q' }),
    keyFingerprint: async () => task.keyFingerprint,
    listTasks: async () => ({ tasks: [], unreadable: 0, total: 0, pageNo: 1, totalPages: 1 }),
  };
  const attempts = new ArchiveAttempts();
  const archive = () => archiveFinished({ ...deps, dashscope: dashscope as never }, task, attempts, undefined);
  await expect(archive()).rejects.toMatchObject({ type: 'ResultExpired', retryable: true });
  clock.advance(DEFAULT_TIMES.unknownForMs - 1);
  await expect(archive()).rejects.toMatchObject({ type: 'ResultExpired', retryable: true });
  clock.advance(1);
  await expect(archive()).rejects.toMatchObject({ type: 'ResultExpired', retryable: false });
});

test('attempts are counted per cause, over steps, and only the same bytes three times in a row prove anything', () => {
  const rejected = new VideoError('ResultRejected', 'it has 123456 frames');
  const attempts = new ArchiveAttempts();
  for (const sha256 of ['a', 'b', 'b']) {
    attempts.reject(sha256);
    attempts.note(rejected, 1);
    attempts.note(new VideoError('ResultUnreachable', 'HTTP 500'), 2);
  }
  expect(attempts.isProved).toBe(false);
  const next = ArchiveAttempts.after('no heartbeat of ours', JSON.parse(JSON.stringify(attempts.state)));
  next.reject('b');
  expect(next.isProved).toBe(true);
  next.note(new VideoError('ResultRejected', 'it has 654321 frames'), 3);
  expect(next.state.faults).toEqual([
    { cause: 'ResultRejected: it has N frames', times: 4, lastMs: 3 },
    { cause: 'ResultUnreachable: HTTP 500', times: 3, lastMs: 2 },
  ]);
  for (let n = 0; n < 100; n += 1) next.note(new Error(`fault ${'x'.repeat(n)}`), n);
  expect(next.state.faults).toHaveLength(8);
});
