import { readFileSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { ExitCode } from '../../src/text/exit-code.js';
import { command } from '../support/command.js';

const DOC = readFileSync(fileURLToPath(new URL('../../docs/cli.md', import.meta.url)), 'utf8');
const flagsIn = (text: string): string[] => [...new Set(text.match(/(?<![\w-])--[a-z][a-z-]*/g) ?? [])];

test('docs/cli.md has an example of every command, and no other commands', async () => {
  const { stdout } = await command(['--help']);
  const commands = [...stdout.matchAll(/^ {2}([a-z]+) .*$/gm)].map(([, name]) => name as string);
  const examples = new Set([...DOC.matchAll(/^.*\bwan-video ([a-z]+)\b.*$/gm)].map(([, name]) => name));
  expect([...examples].sort()).toEqual(commands.filter((name) => name !== 'help').sort());
});

test('docs/cli.md names every flag of every command, and no others', async () => {
  const { stdout } = await command(['--help']);
  const flags = new Set<string>();
  for (const [, name] of stdout.matchAll(/^ {2}([a-z]+) .*$/gm)) {
    const help = (await command(['help', name as string])).stdout;
    for (const line of help.matchAll(/^ {2}-.*$/gm)) for (const flag of flagsIn(line[0].slice(0, 40))) flags.add(flag);
  }
  flags.delete('--help');
  expect(flagsIn(DOC).sort()).toEqual([...flags].sort());
});

test('docs/cli.md lists the exit codes', () => {
  const listed = [...DOC.matchAll(/^\| (\d+) \|/gm)].map(([, code]) => Number(code));
  expect(listed).toEqual(Object.values(ExitCode));
});

test('the help of generate names every exit code, and -v prints the version', async () => {
  const { stdout } = await command(['help', 'generate']);
  const [, codes = ''] = /\nExit codes: (.*?)\n\n/s.exec(stdout) ?? [];
  expect([...codes.matchAll(/(?:^|; )(\d+) /g)].map(([, code]) => Number(code))).toEqual(Object.values(ExitCode));
  expect(await command(['-v'])).toMatchObject({ code: 0, stdout: '0.0.0-test\n' });
});

test('--address and --namespace take the place of the variables', async () => {
  const env = { TEMPORAL_ADDRESS: '127.0.0.1:1', TEMPORAL_NAMESPACE: 'one' };
  const { code, stderr } = await command(['batch', 'status', 'x', '--address', '127.0.0.1:2'], { env });
  expect({ code, stderr }).toMatchObject({ code: 3, stderr: expect.stringContaining('127.0.0.1:2') });
});

test('doctor makes no folder where there is none yet', async () => {
  const cwd = await mkdtemp(join(tmpdir(), 'wan-video-doctor-'));
  onTestFinished(() => rm(cwd, { recursive: true }));
  const { stdout } = await command(['doctor', '--json'], { env: { TEMPORAL_ADDRESS: '127.0.0.1:1' }, cwd });
  expect(stdout).toContain('does not exist yet');
  expect(await readdir(cwd)).toEqual([]);
});

test('docs/cli.md lists the checks of doctor', async () => {
  // Nothing answers there: every check is named all the same.
  const { stdout } = await command(['doctor', '--json'], { env: { TEMPORAL_ADDRESS: '127.0.0.1:1' } });
  const { checks } = JSON.parse(stdout) as { checks: { name: string }[] };
  const [, table = ''] = /^\| check \|.*\n.*\n((?:\|.*\n)+)/m.exec(DOC) ?? [];
  const listed = [...table.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name);
  expect(listed).toEqual(checks.map(({ name }) => name));
});
