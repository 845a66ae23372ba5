import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { FFMPEG_LIMITS, findFfmpeg, runFfmpeg } from '../../src/media/ffmpeg.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ffmpeg-test-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** A program in ffmpeg's place. */
async function program(name: string, script: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, `#!/bin/sh\n${script}\n`);
  await chmod(path, 0o755);
  return path;
}

test.each<[what: string, script: string, reason: RegExp, mayPass: boolean]>([
  [
    'fails',
    'echo "file:/tmp/secret/x.mp4: Invalid data found" >&2; exit 183',
    /^fails with code 183: the file: Invalid data found$/,
    false,
  ],
  ['says nothing', 'exit 1', /^fails with code 1: $/, false],
  ['is killed', 'kill -KILL $$', /^was ended by SIGKILL$/, true],
  ['crashes', 'kill -SEGV $$', /^was ended by SIGSEGV$/, true],
  [
    'has a full disk',
    'echo "av_interleaved_write_frame(): No space left on device" >&2; exit 228',
    /no space left/,
    true,
  ],
  ['writes too much', 'kill -XFSZ $$', /^writes too large a file$/, false],
  ['needs too much time', 'kill -XCPU $$', /^needs too much time$/, false],
])('a program that %s is reported with what may be done about it', async (what, script, reason, mayPass) => {
  const outcome = await runFfmpeg(await program(what.replaceAll(' ', '-'), script), []);
  expect(outcome).toEqual({ kind: 'failed', reason: expect.stringMatching(reason), mayPass });
});

test('a program that is not there cannot run, and another machine may have it', async () => {
  const outcome = await runFfmpeg(join(folder, 'absent'), []);
  expect(outcome).toEqual({ kind: 'failed', reason: 'cannot run', mayPass: true });
});

test('a program that is slower than its bound is killed', async () => {
  const slow = await program('slow', 'exec sleep 60');
  const outcome = await runFfmpeg(slow, [], {}, { ...FFMPEG_LIMITS, seconds: 0.2 });
  expect(outcome).toEqual({ kind: 'failed', reason: 'is slower than its bound of 0.2 s', mayPass: false });
});

test('an abort kills the program', async () => {
  const pidFile = join(folder, 'pid');
  const stop = new AbortController();
  const waits = await program('waits', `echo $$ >${pidFile}; echo frame=7; echo x; exec sleep 60`);
  const running = runFfmpeg(waits, [], { signal: stop.signal, onFrame: () => stop.abort(new Error('enough')) });
  await expect(running).rejects.toThrow('enough');
  const pid = Number(await readFile(pidFile, 'utf8'));
  expect(() => process.kill(pid, 0)).toThrow();
});

test('the program has no secret, the lowest priority and limits of its own', async () => {
  vi.stubEnv('DASHSCOPE_API_KEY', 'sk-secret-of-the-worker');
  onTestFinished(() => void vi.unstubAllEnvs());
  const said = join(folder, 'said');
  const shows = await program('shows', `{ env; nice; ulimit -v; ulimit -f; ulimit -t; } >${said}`);
  expect(await runFfmpeg(shows, [])).toMatchObject({ kind: 'done' });
  const text = await readFile(said, 'utf8');
  expect(text).not.toContain('sk-secret');
  const [nice, memory, size, cpu] = text.trimEnd().split('\n').slice(-4);
  expect(nice).toBe('19');
  if (process.platform === 'linux') expect([memory, size, cpu]).toEqual(['4194304', '2097152', '2400']);
});

test('an ffmpeg without what is needed is not used, and neither is one that is absent', async () => {
  const old = await program('ffmpeg', 'echo "Unrecognized option \'stop_mode\'" >&2; exit 1');
  expect(await findFfmpeg({ program: 'ffmpeg', searchPath: folder })).toBe(
    `${old} fails with code 1: Unrecognized option 'stop_mode'`,
  );
  expect(await findFfmpeg({ program: 'ffmpeg', searchPath: '' })).toBe('ffmpeg is not installed');
  expect(await findFfmpeg({ program: join(folder, 'none'), searchPath: folder })).toMatch(/is not installed$/);
});
