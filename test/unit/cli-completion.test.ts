import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { COMMANDS } from '../../src/cli/command-table.js';
import { command } from '../support/command.js';

const has = (shell: string): boolean => spawnSync(shell, ['-c', 'true']).status === 0;
const scriptOf = async (shell: string): Promise<string> => (await command(['completion', shell])).stdout;

/** What is offered for the last of the words. */
async function offered(shell: 'bash' | 'fish', words: readonly string[]): Promise<string[]> {
  const script = await scriptOf(shell);
  const ask =
    shell === 'fish'
      ? `complete -C '${words.join(' ')}'`
      : `COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _wan_video
        printf '%s\\n' "\${COMPREPLY[@]}"`;
  const lines = execFileSync(shell, ['-c', `${script}\n${ask}`], { encoding: 'utf8' }).split('\n');
  return lines.filter((line) => line !== '').map((line) => line.split('\t')[0] as string);
}

describe.each(['bash', 'fish'] as const)('%s completes', (shell) => {
  test.skipIf(!has(shell)).each([
    { words: ['wan-video', 'gen'], offers: ['generate'] },
    { words: ['wan-video', 'batch', 'rep'], offers: ['report'] },
    { words: ['wan-video', 'batch', 'report', '--format', 'h'], offers: ['html'] },
    { words: ['wan-video', 'generate', '--negative'], offers: ['--negative-prompt'] },
    { words: ['wan-video', 'schedule', 'show', '--addr'], offers: ['--address'] },
  ])('$words', async ({ words, offers }) => {
    expect(await offered(shell, words)).toEqual(offers);
  });
});

test.each(['bash', 'zsh', 'fish'])('the script for %s has every command, and its shell can read it', async (shell) => {
  const script = await scriptOf(shell);
  const names = COMMANDS.map(({ name }) => name);
  expect(names.filter((name) => !new RegExp(`\\b${name}\\b`).test(script))).toEqual([]);
  if (!has(shell)) return;
  const file = join(await mkdtemp(join(tmpdir(), 'wan-video-completion-')), 'script');
  onTestFinished(() => rm(dirname(file), { recursive: true }));
  await writeFile(file, script);
  execFileSync(shell, ['-n', file]);
});

test('another shell is refused, with those that there are', async () => {
  expect(await command(['completion', 'tcsh'])).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/bash, zsh, fish/),
  });
});
