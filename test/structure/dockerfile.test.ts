import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { findPart, PARTS_FOLDER, partIsMissing } from './parts.js';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');

interface Instruction {
  readonly name: string;
  readonly text: string;
}

/** Instructions of a Dockerfile, continued lines joined and comments left out. */
function instructionsOf(dockerfile: string): Instruction[] {
  const lines = dockerfile.split('\n').filter((line) => !/^\s*#/.test(line));
  return [
    ...lines
      .join('\n')
      .replaceAll('\\\n', ' ')
      .matchAll(/^([A-Z]+) +(.+)$/gm),
  ].map(([, name = '', text = '']) => ({
    name,
    text: text.trim(),
  }));
}

const instructions = instructionsOf(read('Dockerfile'));
const lastStage = instructions.slice(instructions.findLastIndex(({ name }) => name === 'FROM'));
const last = (wanted: string) => lastStage.findLast(({ name }) => name === wanted)?.text ?? '';
const sourcesOf = ({ text }: Instruction) =>
  text
    .split(/\s+/)
    .filter((word) => !word.startsWith('--'))
    .slice(0, -1);

/**
 * Answers what `.dockerignore` leaves in the build context, for our form of it: everything out, then single entries in.
 */
function inContext(path: string): boolean {
  const [first, ...rest] = read('.dockerignore')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  expect(first).toBe('*');
  return rest.some((line) => line === `!${path}` || path.startsWith(`${line.slice(1)}/`));
}

describe('the Dockerfile', () => {
  test('copies files that exist and that the build context lets through', () => {
    const copied = instructions
      .filter(({ name, text }) => name === 'COPY' && !text.includes('--from='))
      .flatMap(sourcesOf);
    expect(copied).toContain('src');
    expect(copied.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
    expect(copied.filter((path) => !inContext(path))).toEqual([]);
  });

  test.each(['docker/secrets/dashscope-api-key', '.env', 'output', 'node_modules', '.git', 'test'])(
    'keeps %s out of the build context',
    (path) => {
      expect(inContext(path)).toBe(false);
    },
  );

  test('has wan-video on PATH, and the documents that it names', () => {
    const run = lastStage.filter(({ name }) => name === 'RUN').map(({ text }) => text);
    expect(run.join()).toContain('ln -s /app/dist/src/cli/main.js /usr/local/bin/wan-video');
    const copies = lastStage.filter(({ name }) => name === 'COPY').map(({ text }) => text);
    expect(copies).toContain('--from=build --chmod=0755 /app/dist dist');
    expect(copies).toContain('docs docs');
  });

  test('pins its base image and node satisfies the package', () => {
    const [base, ...others] = instructions.filter(({ name }) => name === 'FROM').map(({ text }) => text);
    expect(others.every((text) => text.startsWith('base'))).toBe(true);
    const version =
      /^node:(\d+)\.(\d+)\.(\d+)-bookworm-slim AS base$/
        .exec(base ?? '')
        ?.slice(1)
        .map(Number) ?? [];
    const { engines } = JSON.parse(read('package.json')) as { engines: { node: string } };
    const minimum = /^>=(\d+)\.(\d+)\.(\d+)$/.exec(engines.node)?.slice(1).map(Number) ?? [];
    expect(version).toHaveLength(3);
    expect(minimum).toHaveLength(3);
    const weight = ([major = 0, minor = 0, patch = 0]: number[]) => (major * 1_000 + minor) * 1_000 + patch;
    expect(weight(version)).toBeGreaterThanOrEqual(weight(minimum));
  });

  test('installs only what production needs into the image that runs', () => {
    const from = lastStage
      .filter(({ name, text }) => name === 'COPY' && text.includes('--from='))
      .map(({ text }) => text);
    expect(from).toEqual([
      '--from=dependencies /app/node_modules node_modules',
      '--from=build --chmod=0755 /app/dist dist',
    ]);
    const install = instructions.filter(({ text }) => text.startsWith('npm ci')).map(({ text }) => text);
    expect(install.some((text) => text.includes('--omit=dev'))).toBe(true);
  });

  test('runs as a numbered user that is not root, ends on SIGTERM, and starts without a shell', () => {
    expect(last('USER')).toMatch(/^[1-9]\d*:[1-9]\d*$/);
    expect(last('STOPSIGNAL')).toBe('SIGTERM');
    expect(JSON.parse(last('ENTRYPOINT'))).toEqual(['node', 'dist/src/cli/main.js']);
    expect(JSON.parse(last('CMD'))).toEqual(['worker']);
    expect(JSON.parse(/ CMD (\[.+\])$/.exec(last('HEALTHCHECK'))?.[1] ?? '')).toEqual([
      'node',
      'docker/worker-health.mjs',
    ]);
  });

  test('bounds the heap by the container’s memory', () => {
    const percentage = /--max-old-space-size-percentage=(\d+)/.exec(last('ENV'))?.[1];
    expect(Number(percentage)).toBeGreaterThan(0);
    // The native core, buffers and a spool in memory need the rest.
    expect(Number(percentage)).toBeLessThanOrEqual(60);
  });

  test('has no finding of hadolint', async ({ skip }) => {
    const hadolint = findPart('hadolint', join(PARTS_FOLDER, 'hadolint-2.15.1', 'bin', 'hadolint'));
    if (hadolint === undefined) {
      partIsMissing('hadolint', 'scripts/parts/hadolint.sh installs it');
      return skip();
    }
    const { stdout } = await run(hadolint, ['--no-color', join(ROOT, 'Dockerfile')]);
    expect(stdout).toBe('');
  });
});
