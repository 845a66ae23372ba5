import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, onTestFinished, test } from 'vitest';
import { type Emulator, startEmulator } from '../../src/emulator/index.js';
import { call, control, MODEL, png, START, startOnClock, submit } from '../support/emulator-calls.js';

/** Half a second of rendering on a machine that may be busy with something else. */
const PATIENCE = { timeout: 20_000 };

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'wan-video-emulator-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** An emulator as a process of its own: only such a one can be killed. Its code is the built one. */
async function startProcess(stateFile: string, speed: number): Promise<{ emulator: Emulator; child: ChildProcess }> {
  const entry = new URL('../../dist/src/emulator/index.js', import.meta.url).href;
  const options = JSON.stringify({ stateFile, settings: { speed } });
  const code = `
    import { startEmulator } from ${JSON.stringify(entry)};
    console.log((await startEmulator(${options})).origin);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  const [origin] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  return { emulator: { origin, baseUrl: `${origin}/api/v1` } as Emulator, child };
}

test('a restarted emulator continues its tasks and honours its addresses', async () => {
  const stateFile = join(temporaryFolder(), 'deep', 'state.json');
  const { emulator: first, clock } = await startOnClock({ stateFile });
  const id = (await submit(first)).body.output.task_id;
  clock.ms += 60_000;
  const before = (await call(first, `/tasks/${id}`)).body.output;
  await first.close();
  const { emulator: second, clock: later } = await startOnClock({ stateFile });
  later.ms = START + 61_000;
  const { output } = (await call(second, `/tasks/${id}`)).body;
  expect(output).toMatchObject({ task_status: 'SUCCEEDED', end_time: before.end_time });
  const address = new URL(before.video_url);
  expect((await fetch(second.origin + address.pathname + address.search, { method: 'HEAD' })).status).toBe(200);
  expect(second.state()).toMatchObject({ submits: 1, billed_seconds: 2 });
});

test('a state file of another form is left unread, a damaged one is an error', async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'old.json'), '{"tasks":[{}]}');
  writeFileSync(join(folder, 'damaged.json'), '{"version":2,"tasks":[');
  const { emulator } = await startOnClock({ stateFile: join(folder, 'old.json') });
  expect(emulator.state().tasks).toEqual([]);
  await expect(startEmulator({ stateFile: join(folder, 'damaged.json') })).rejects.toThrow(SyntaxError);
});

test('a killed emulator has lost nothing: its task went on rendering, and its file is the same', async () => {
  const folder = temporaryFolder();
  const stateFile = join(folder, 'state.json');
  const { emulator: first, child } = await startProcess(stateFile, 20); // 2 s of video: 0.63 s
  const { data } = (await call(first, `/uploads?action=getPolicy&model=${MODEL}`)).body;
  const form = new FormData();
  for (const [name, value] of [
    ['OSSAccessKeyId', data.oss_access_key_id],
    ['Signature', data.signature],
    ['policy', data.policy],
    ['key', `${data.upload_dir}/a.png`],
    ['file', new Blob([new Uint8Array(png(1024, 768))])],
  ]) {
    form.append(name, value);
  }
  expect((await fetch(data.upload_host, { method: 'POST', body: form })).status).toBe(204);
  const headers = { 'x-dashscope-ossresourceresolve': 'enable' };
  const input = { img_url: `oss://${data.upload_dir}/a.png` };
  const rendered = (await submit(first, input, {}, { headers })).body.output.task_id;
  const outputOf = async (emulator: Emulator, id: string) => (await call(emulator, `/tasks/${id}`)).body.output;
  await expect.poll(async () => (await outputOf(first, rendered)).task_status, PATIENCE).toBe('SUCCEEDED');
  const bytesOf = async (url: string): Promise<Buffer> => Buffer.from(await (await fetch(url)).arrayBuffer());
  const bytes = await bytesOf((await outputOf(first, rendered)).video_url);
  const interrupted = (await submit(first)).body.output.task_id;
  child.kill('SIGKILL');
  await once(child, 'exit');
  const killed = Date.now();

  const { emulator: second } = await startProcess(stateFile, 20);
  await expect.poll(async () => (await outputOf(second, interrupted)).task_status, PATIENCE).toBe('SUCCEEDED');
  const { tasks, submits } = (await control(second, 'state')).body;
  expect(submits).toBe(2);
  // It ended when it would have ended anyway, however long nobody was there.
  expect(tasks[1].end_ms - tasks[1].submit_ms).toBeLessThan(800);
  expect(tasks[1].submit_ms).toBeLessThan(killed);
  expect((await bytesOf((await outputOf(second, rendered)).video_url)).equals(bytes)).toBe(true);
  expect((await submit(second, input, {}, { headers })).status).toBe(200);
  expect(readdirSync(folder)).toEqual(['state.json']);
});
