import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { findTemporalCli } from '../../src/dev/temporal-cli.js';
import { command } from '../support/command.js';
import { ROOT } from '../support/root.js';
import { readRunbook, shellWords } from '../support/runbook.js';

const lines = [...new Set(readRunbook().flatMap(({ blocks }) => blocks.flatMap((block) => block.lines)))].map(
  (line) => line.command,
);
/** `wan-video batch status BATCH` → `batch status`; flags and placeholders are no part of it. */
const pathOf = (words: readonly string[]): string[] => {
  const end = words.findIndex((word) => !/^[a-z][a-z-]*$/.test(word));
  return words.slice(0, end < 0 ? words.length : end);
};
const flagsOf = (words: readonly string[]): string[] => words.filter((word) => word.startsWith('--'));

/** What the help of a command says; the command's own name is the last word of its usage. */
type Help = (path: readonly string[]) => Promise<string>;

async function faultsOf(tool: string, help: Help, among: readonly string[] = lines): Promise<string[]> {
  const helps = new Map<string, Promise<string>>();
  const faults = among
    .filter((line) => line.startsWith(`${tool} `))
    .map(async (line) => {
      const words = shellWords(line).slice(1);
      const path = pathOf(words);
      const key = path.join(' ');
      const text = await (helps.get(key) ?? helps.set(key, help(path)).get(key));
      const known = (flag: string): boolean => new RegExp(`(?<![\\w-])${flag}(?![\\w-])`).test(text ?? '');
      const usage = new RegExp(`\\b${tool} ${path.map((word) => `(?:[\\w|]*\\|)?${word}`).join(' ')}\\b`);
      return [
        ...(path.length > 0 && usage.test(text ?? '') ? [] : [`${line}: no such command`]),
        ...flagsOf(words)
          .filter((flag) => !known(flag))
          .map((flag) => `${line}: ${flag} is no option`),
      ];
    });
  return (await Promise.all(faults)).flat();
}

test('every wan-video line of docs/operations.md is a command with options that it has', async () => {
  const help: Help = async ([name = '', ...rest]) => (await command([name, ...rest, '--help'])).stdout;
  expect(await faultsOf('wan-video', help)).toEqual([]);
});

test('every wan-video line of the README is a command with options that it has', async () => {
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
  const shell = [...readme.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].flatMap(([, block = '']) => block.split('\n'));
  // The example's batch has a name that reads like a command.
  const commands = shell.flatMap((line) => {
    const [, words] = /^(?:npm run (?:-s )?wan-video --|npx wan-video|wan-video) ([^#>]+)/.exec(line) ?? [];
    return words === undefined ? [] : [`wan-video ${words.trim().replace(/\bspring\b/, 'BATCH')}`];
  });
  expect(commands.length).toBeGreaterThan(5);
  const help: Help = async ([name = '', ...rest]) => (await command([name, ...rest, '--help'])).stdout;
  expect(await faultsOf('wan-video', help, commands)).toEqual([]);
});

test('every temporal line of docs/operations.md is a command with options that it has', async () => {
  const cli = await findTemporalCli(process.env);
  const help: Help = async (path) => (await promisify(execFile)(cli, [...path, '--help'])).stdout;
  expect(await faultsOf('temporal', help)).toEqual([]);
});

test('the first table of docs/operations.md leads to every section', () => {
  const text = readFileSync(join(ROOT, 'docs', 'operations.md'), 'utf8');
  const table = text.slice(0, text.indexOf('\n## '));
  const anchors = [...table.matchAll(/\[([^\]]+)\]\(#([\w-]+)\)/g)];
  expect(anchors.map(([, title]) => title).sort()).toEqual(
    readRunbook()
      .map(({ title }) => title)
      .sort(),
  );
  for (const [, title, anchor] of anchors) expect(anchor).toBe(title?.toLowerCase().replaceAll(' ', '-'));
});

test('every section of docs/operations.md is followed by a test', () => {
  const followed = readFileSync(join(ROOT, 'test', 'e2e', 'operations.full.test.ts'), 'utf8');
  for (const { title } of readRunbook()) expect(followed).toContain(`'${title}'`);
});

test('the first table of docs/operations.md quotes the program, and names checks of doctor', () => {
  const text = readFileSync(join(ROOT, 'docs', 'operations.md'), 'utf8');
  const symptoms = [...text.slice(0, text.indexOf('\n## ')).matchAll(/^\| (.+) \| \[/gm)].map(
    ([, symptom = '']) => symptom,
  );
  const doctor = sourcesOf('src/cli/doctor');
  const checks = symptoms.flatMap((symptom) => {
    const [, after = ''] = symptom.split('`doctor`: ');
    return [...after.matchAll(/`([a-z_]+)`/g)].map(([, name = '']) => name);
  });
  expect(checks.length).toBeGreaterThan(5);
  for (const name of checks) expect(doctor, name).toMatch(new RegExp(`^    ${name}: `, 'm'));
  const quotes = symptoms.flatMap((symptom) => [...symptom.matchAll(/"([^"]+)"/g)].map(([, quote = '']) => quote));
  expect(quotes.length).toBeGreaterThan(2);
  // A number in the program's text may be computed.
  const said = doctor.replaceAll(/\$\{[^}]*\}/g, '20');
  for (const quote of quotes) expect(said).toContain(quote);
});

const sourcesOf = (folder: string): string =>
  readdirSync(join(ROOT, folder))
    .map((name) => readFileSync(join(ROOT, folder, name), 'utf8'))
    .join('\n');
