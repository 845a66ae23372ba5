import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { TEMPORARY_CAUSES } from '../../src/batch/failed-lines.js';
import { command } from '../support/command.js';
import { ROOT } from '../support/root.js';

const DOC = readFileSync(join(ROOT, 'docs', 'batches.md'), 'utf8');
const flagsIn = (text: string): string[] => [...new Set(text.match(/(?<![\w-])--[a-z][a-z-]*/g) ?? [])];

/** Flags that docs/cli.md has for every command. */
const COMMON = ['--help', '--json', '--address', '--namespace'];

test.each(['batch', 'schedule'])(
  'docs/batches.md names every command below %s with all of its flags, and no others',
  async (group) => {
    const { stdout } = await command([group, '--help']);
    const names = [...stdout.matchAll(/^ {2}([a-z]+) .*$/gm)]
      .map(([, name]) => name as string)
      .filter((name) => name !== 'help');
    expect(names.length).toBeGreaterThan(5);
    for (const name of names) {
      const help = (await command([group, name, '--help'])).stdout;
      const flags = [...help.matchAll(/^ {2}-.*$/gm)].flatMap((line) => flagsIn(line[0].slice(0, 40)));
      const wanted = flags.filter((flag) => !COMMON.includes(flag));
      const row = DOC.split('\n').filter((line) => line.startsWith('|') && line.includes(`\`${group} ${name}`));
      expect(row, name).toHaveLength(1);
      for (const flag of wanted) expect(row[0], `${name} ${flag}`).toContain(flag);
    }
    const known = new Set(['batch', 'schedule'].includes(group) ? names : []);
    for (const [, name] of DOC.matchAll(new RegExp(`wan-video ${group} ([a-z]+)`, 'g'))) expect(known).toContain(name);
  },
);

test('docs/batches.md lists the temporary causes', () => {
  const listed = /Temporary causes: ([^.]*)\./s.exec(DOC)?.[1] ?? '';
  const names = [...listed.matchAll(/`(\w+)`/g)].map(([, name]) => name);
  expect(names.sort()).toEqual(TEMPORARY_CAUSES.filter((cause) => !['Terminated', 'TimedOut'].includes(cause)).sort());
});
