import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { findTemporalCli } from '../../src/dev/temporal-cli.js';
import { processOf, type RunningCommand, startCommand } from '../support/command.js';
import { ROOT } from '../support/root.js';

let folder: string;
let dev: RunningCommand | undefined;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wan-video-dev-'));
});
afterEach(async () => {
  if (dev?.process.exitCode === null) dev.process.kill('SIGINT');
  await dev?.ended;
  await rm(folder, { recursive: true, force: true });
});

/** Starts `wan-video dev`, and resolves what it has said until it was ready. */
async function startDev(env: Record<string, string>): Promise<string> {
  dev = startCommand(['dev'], { TEMPORAL_CLI: await findTemporalCli(process.env), ...env }, folder);
  return dev.said(/^[\s\S]*Worker ready; Ctrl-C ends it\.\n/);
}

/** A run at a tenth of a second per video, to its end. */
async function generate(said: string): Promise<void> {
  const env = Object.fromEntries([...said.matchAll(/(\w+)=(\S+)/g)].map(([, name = '', value = '']) => [name, value]));
  const emulator = new URL(env['DASHSCOPE_HTTP_BASE_URL'] ?? '').origin;
  await fetch(`${emulator}/_emulator/settings`, { method: 'POST', body: '{"speed":100}' });
  const picture = join(ROOT, 'assets', 'sample.jpg');
  const flags = ['--prompt', 'the boat drifts', '--image', picture, '--duration', '2', '--quiet'];
  expect(await processOf(['generate', ...flags], env, folder)).toMatchObject({ code: 0 });
}

test('dev prints its addresses and nothing else until it is ready, and then one line for each transition', async () => {
  const said = await startDev({ LOG_FORMAT: 'pretty' });
  expect(said).toMatch(
    /^Starting an embedded Temporal server …\nTemporal {2}\S+\nWeb UI {4}\S+\nEmulator {2}\S+\nCommands in this folder find it; .*\nFor other folders: {2}export TEMPORAL_ADDRESS=\S+ DASHSCOPE_HTTP_BASE_URL=\S+ DASHSCOPE_API_KEY=any ASSET_STORE=file:\/\S+\nWorker ready/,
  );
  await generate(said);
  dev?.process.kill('SIGINT');
  const end = await dev?.ended;
  expect(end).toMatchObject({ code: 0, stdout: '' });
  const after = (end?.stderr ?? '').slice(said.length).trimEnd().split('\n');
  expect(after.length).toBeGreaterThan(3);
  for (const line of after) {
    expect(line).toMatch(
      /^\[[\d:.]+\] INFO: video\/\w+: stage \w+(, task \S+)?( \(source generated, billedSeconds 2\))?$/,
    );
  }
});

test('without a terminal the logs of dev are JSON, and say nothing of what a worker is meant to lack', async () => {
  const said = await startDev({});
  const lines = said.split('\n').filter((line) => line.startsWith('{'));
  expect(lines.map((line) => JSON.parse(line))).toContainEqual(
    expect.objectContaining({ msg: 'Worker state changed', taskQueue: 'video-submit', state: 'RUNNING' }),
  );
  expect(said).not.toContain('registered, not polling');
});

test('dev has the ports that it is given, commands in its folder find it, and so does the Temporal CLI', async () => {
  const port = 20_000 + Math.floor(Math.random() * 20_000);
  const cli = await findTemporalCli(process.env);
  dev = startCommand(['dev', '--port', String(port)], { TEMPORAL_CLI: cli }, folder);
  const said = await dev.said(/^[\s\S]*Worker ready; Ctrl-C ends it\.\n/);
  expect(said).toContain(`Temporal  127.0.0.1:${port}\nWeb UI    http://127.0.0.1:${port + 1_000}\n`);
  expect(said).toContain(`Emulator  http://127.0.0.1:${port + 2_000}`);
  await fetch(`http://127.0.0.1:${port + 2_000}/_emulator/settings`, { method: 'POST', body: '{"speed":100}' });
  const picture = join(ROOT, 'assets', 'sample.jpg');
  const flags = ['--prompt', 'the boat drifts', '--image', picture, '--duration', '2', '--quiet', '--id', 'found'];
  expect(await processOf(['generate', ...flags], {}, folder)).toMatchObject({
    code: 0,
    stderr: expect.stringContaining(`Using "wan-video dev" of this folder, Temporal at 127.0.0.1:${port}.`),
  });
  const list = await processOf(
    ['temporal', 'workflow', 'list', '--query', 'WorkflowId="found"'],
    { TEMPORAL_CLI: cli },
    folder,
  );
  expect(list).toMatchObject({ code: 0, stdout: expect.stringContaining('found') });
  // A command that names a Temporal itself keeps to it.
  const other = await processOf(['status', 'found', '--address', '127.0.0.1:1'], {}, folder);
  expect(other).toMatchObject({ code: 3, stderr: expect.stringContaining('127.0.0.1:1') });
  dev.process.kill('SIGINT');
  await dev.ended;
  expect((await processOf(['status', 'found', '--address', '127.0.0.1:1'], {}, folder)).stderr).not.toContain('Using');
});
