import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import type { ProcessLimits } from '../../src/media/child-processes.js';
import { inspectMp4 } from '../../src/media/mp4.js';
import { type Inspection, Mp4Inspector } from '../../src/media/mp4-inspector.js';
import { patchBox, u32, writeMp4 } from '../support/mp4-writer.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mp4-inspector-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function fileOf(name: string, content: Buffer | string): Promise<string> {
  const file = join(folder, name);
  await writeFile(file, content);
  return file;
}

/** An inspector whose process runs this code for each message; `ready` was sent before. */
async function inspectorWith(code: string, limits: Partial<ProcessLimits> = {}, isReady = true) {
  const ready = isReady ? "process.send({ kind: 'ready' });" : '';
  const child = await fileOf(`${crypto.randomUUID()}.mjs`, `process.on('message', (file) => { ${code} });\n${ready}`);
  const inspector = new Mp4Inspector(limits, child);
  onTestFinished(() => inspector.close());
  return inspector;
}

const faultOf = (found: Inspection) => ('fault' in found ? found.fault : JSON.stringify(found));
const fault = (reason: string) => `process.send({ kind: 'fault', fault: ${reason} });`;

test('a process measures one file after the other, and a hostile one does not end it', async () => {
  const inspector = new Mp4Inspector();
  onTestFinished(() => inspector.close());
  const good = await fileOf('good.mp4', writeMp4());
  const hostile = await fileOf(
    'hostile.mp4',
    patchBox(writeMp4({ layout: 'fragments' }), 'trun', 8, u32(0, 100_000_000)),
  );
  expect(await inspector.inspect(good)).toMatchObject({ kind: 'inspected', inspected: { measured: { frames: 60 } } });
  expect(await inspector.inspect(hostile)).toMatchObject({
    kind: 'fault',
    fault: expect.stringContaining('100000000'),
  });
  expect(await inspector.inspect(good)).toMatchObject({ kind: 'inspected' });
  expect(await inspector.inspect(join(folder, 'missing'))).toEqual({ kind: 'unreadable', reason: 'ENOENT' });
});

test('the process is kept for the next file', async () => {
  const inspector = await inspectorWith(fault('String(process.pid)'));
  expect(await inspector.inspect('a')).toEqual(await inspector.inspect('b'));
});

test('both processes are kept while files come', async () => {
  const inspector = await inspectorWith(`setTimeout(() => { ${fault('String(process.pid)')} }, 50);`);
  const both = async () => new Set((await Promise.all(['a', 'b'].map((file) => inspector.inspect(file)))).map(faultOf));
  const first = await both();
  expect(first.size).toBe(2);
  expect(await both()).toEqual(first);
});

test('the process has nothing of the worker’s environment', async () => {
  process.env['WAN_VIDEO_SECRET_OF_A_TEST'] = 'x';
  onTestFinished(() => void delete process.env['WAN_VIDEO_SECRET_OF_A_TEST']);
  const inspector = await inspectorWith(fault('Object.keys(process.env).join()'));
  expect(await inspector.inspect('a')).toEqual({ kind: 'fault', fault: '' });
});

test('a file that needs more memory than the process has is not measured to its end', async () => {
  // The image's flag, which overrides the limits of threads and of an inherited environment.
  const before = process.env['NODE_OPTIONS'];
  process.env['NODE_OPTIONS'] = '--max-old-space-size-percentage=50';
  onTestFinished(() => {
    if (before === undefined) delete process.env['NODE_OPTIONS'];
    else process.env['NODE_OPTIONS'] = before;
  });
  const inspector = await inspectorWith('const kept = []; for (;;) kept.push(new Array(1000).fill(file));', {
    heapMegabytes: 16,
  });
  expect(await inspector.inspect('a')).toMatchObject({
    kind: 'unfinished',
    reason: expect.stringMatching(/^ends the process that measures it with 16 MB of memory \(SIG(ABRT|TRAP)\)$/),
  });
});

test('a file that takes too long is not measured to its end, and the next one has a process of its own', async () => {
  // The worker's event loop goes on, heartbeats included.
  let ticks = 0;
  const ticker = setInterval(() => (ticks += 1), 100);
  onTestFinished(() => clearInterval(ticker));
  const inspector = await inspectorWith(`if (file === 'slow') for (;;); ${fault('file')}`, {
    seconds: 1,
    processes: 1,
  });
  const slow = inspector.inspect('slow');
  const next = inspector.inspect('next');
  expect(await slow).toEqual({ kind: 'unfinished', reason: 'cannot be measured within 1 s' });
  expect(ticks).toBeGreaterThan(3);
  expect(await next).toEqual({ kind: 'fault', fault: 'next' });
});

test('a process that ends by itself leaves the file unmeasured', async () => {
  const inspector = await inspectorWith('process.exit(7);');
  expect(await inspector.inspect('a')).toMatchObject({
    kind: 'unfinished',
    reason: expect.stringContaining('exit code 7'),
  });
});

test.each([
  ['cannot start', 'process.exit(3)', 'cannot start (exit code 3)'],
  ['is not ready in time', '', 'is not ready within 1 s'],
])('a process that %s is no fault of the file', async (_, code, reason) => {
  const inspector = await inspectorWith(code, { startSeconds: 1 }, false);
  expect(await inspector.inspect('a')).toEqual({ kind: 'unavailable', reason });
});

test('a process whose code is missing is no fault of the file', async () => {
  const inspector = new Mp4Inspector({}, join(folder, 'no-such-code.mjs'));
  expect(await inspector.inspect('a')).toEqual({ kind: 'unavailable', reason: 'cannot start (exit code 1)' });
});

test('a process that somebody kills is no fault of the file', async () => {
  const inspector = await inspectorWith("process.kill(process.pid, 'SIGKILL');");
  expect(await inspector.inspect('a')).toEqual({ kind: 'unavailable', reason: 'was ended by SIGKILL' });
});

test('a cancelled measurement ends at once with the reason, also one that waits for a process', async () => {
  const inspector = await inspectorWith(`if (file === 'slow') for (;;); ${fault('file')}`, { processes: 1 });
  const [first, second] = [new AbortController(), new AbortController()];
  const slow = inspector.inspect('slow', first.signal);
  const waiting = inspector.inspect('slow', second.signal);
  const last = inspector.inspect('last');
  second.abort(new Error('second'));
  await expect(waiting).rejects.toThrow('second');
  first.abort(new Error('first'));
  await expect(slow).rejects.toThrow('first');
  expect(await last).toEqual({ kind: 'fault', fault: 'last' });
  await expect(inspector.inspect('slow', first.signal)).rejects.toThrow('first');
});

test.each<[string, Inspection & { readonly reason: string }]>([
  ['takes too long', { kind: 'unfinished', reason: 'cannot be measured within 30 s' }],
  ['finds no process', { kind: 'unavailable', reason: 'cannot start (exit code 1)' }],
])('a file whose measurement %s is no proof, unless it does not even begin like a video', async (_, outcome) => {
  const measuring = vi.spyOn(Mp4Inspector.prototype, 'inspect').mockResolvedValue(outcome);
  onTestFinished(() => measuring.mockRestore());
  const heads = {
    mp4: writeMp4(),
    webm: Buffer.from('\x1aE\xdf\xa3\x01', 'latin1'),
    quicktime: Buffer.from('\0\0\0\x08wide\0\0\0\x08mdat', 'latin1'),
    avi: Buffer.from('RIFF\x01\0\0\0AVI LIST', 'latin1'),
    stream: Buffer.concat([Buffer.from('G'), Buffer.alloc(187), Buffer.from('G')]),
  };
  for (const [name, bytes] of Object.entries(heads)) {
    const inspected = await inspectMp4(await fileOf(`head-${name}`, bytes));
    expect(inspected, name).toMatchObject({ fault: expect.stringContaining(outcome.reason) });
    expect(inspected.measured, name).toBeUndefined();
  }
  const others = ['', '<html></html>', '{"code":"NoSuchKey"}', 'a moov of text', '\0\0\0\x1cftypavif'];
  for (const text of others) {
    const file = await fileOf('head-other', Buffer.from(text, 'latin1'));
    await expect(inspectMp4(file), text).rejects.toMatchObject({ type: 'ResultRejected' });
  }
});

test('twenty files at once are all measured, by two processes', async () => {
  const good = await fileOf('twenty.mp4', writeMp4());
  const found = await Promise.all(Array.from({ length: 20 }, () => inspectMp4(good)));
  expect(new Set(found.map(({ fault }) => fault))).toEqual(new Set([undefined]));
});
