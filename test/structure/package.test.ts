import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { importedPackages, readSources } from './import-rules.js';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PACKAGE = JSON.parse(readFileSync(`${ROOT}/package.json`, 'utf8')) as {
  readonly version: string;
  readonly bin: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, string | { readonly types: string; readonly default: string }>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional?: boolean }>>;
  readonly devDependencies: Readonly<Record<string, string>>;
  readonly engines: { readonly node: string };
};
const entries = Object.entries(PACKAGE.exports).flatMap(([name, to]) =>
  typeof to === 'string' ? [] : [{ name, ...to }],
);

/** A text together with its inline source map. */
function decoded(text: string): string {
  const map = /sourceMappingURL=data:[^,]+;base64,(\S+)\s*$/.exec(text)?.[1] ?? '';
  return text + Buffer.from(map, 'base64').toString('utf8');
}

describe('the package', () => {
  test('packs the compiled code, the workflow bundle and the published schema, and no test', async () => {
    const { stdout } = await run('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: ROOT });
    const [pack] = JSON.parse(stdout) as [{ readonly files: readonly { readonly path: string }[] }];
    const paths = pack.files.map(({ path }) => path);
    expect(paths).toEqual(
      expect.arrayContaining([
        'package.json',
        'README.md',
        'LICENSE',
        'dist/workflow-bundle.js',
        'dist/workflow-bundle-sealed.js',
        'dist/src/worker/encrypted-failure-converter.cjs',
        'docs/schemas/request.schema.json',
        'docs/schemas/result.schema.json',
        'docs/operations.md',
      ]),
    );
    const expected =
      /^(package\.json|README\.md|LICENSE|CHANGELOG\.md|docs\/([a-z-]+|README)\.md|docs\/alerts\.yml|docs\/grafana\/[a-z-]+\.json|docs\/examples\/[a-z_./-]+|docs\/schemas\/[a-z-]+\.schema\.json|dist\/workflow-bundle(-sealed)?\.js|dist\/(src|workflows|activities)\/[^.]+\.(c?js|d\.c?ts))$/;
    expect(paths.filter((path) => !expected.test(path))).toEqual([]);
  });

  test.each(entries)('exports $name with its types first, and both files are there', ({ name, ...targets }) => {
    expect(Object.keys(targets)).toEqual(['types', 'default']);
    for (const target of Object.values(targets))
      expect(existsSync(`${ROOT}/${target}`), `${name}: ${target}`).toBe(true);
  });

  test('can be imported by every exported name, from outside by name only', async () => {
    // A package may import itself by name, through the same export map that a user gets.
    const names = entries.map(({ name }) => name);
    const code = `for (const name of ${JSON.stringify(names)}) {
      const module = await import('wan-video-temporal' + name.slice(1));
      console.log(name, Object.keys(module).length > 0);
    }
    for (const name of ['', '/dist/src/net/spool.js', '/workflows']) {
      await import('wan-video-temporal' + name).catch((error) => console.log(name, error.code));
    }`;
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', code], { cwd: ROOT });
    expect(stdout.trim().split('\n')).toEqual([
      ...names.map((name) => `${name} true`),
      ' ERR_PACKAGE_PATH_NOT_EXPORTED',
      '/dist/src/net/spool.js ERR_PACKAGE_PATH_NOT_EXPORTED',
      '/workflows ERR_PACKAGE_PATH_NOT_EXPORTED',
    ]);
  });

  test('depends on every package that its code imports, or leaves it out for those who need neither emulator nor tracing', () => {
    const sources = readSources(ROOT);
    const imported = importedPackages(sources);
    expect(imported).toContain('undici');
    const peers = Object.keys(PACKAGE.peerDependencies);
    expect(imported.filter((name) => !(name in PACKAGE.dependencies) && !peers.includes(name))).toEqual([]);
    // A clone has the optional packages as well: `npm run demo` and `wan-video dev` need them.
    for (const name of peers) {
      expect(PACKAGE.peerDependenciesMeta[name]).toEqual({ optional: true });
      expect(PACKAGE.devDependencies[name]).toBe(PACKAGE.peerDependencies[name]);
    }
    const production = new Map(
      [...sources].filter(([file]) => !/^(src\/(emulator|dev)|workflows\/tracing)\//.test(file)),
    );
    expect(importedPackages(production).filter((name) => peers.includes(name))).toEqual([]);
  });

  test('holds every document that a message names, and no path of the machine that built it', async () => {
    const { stdout } = await run('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: ROOT });
    const [pack] = JSON.parse(stdout) as [{ readonly files: readonly { readonly path: string }[] }];
    const paths = pack.files.map(({ path }) => path);
    const named = [...readSources(ROOT).values()].flatMap(
      (text) => text.match(/docs\/[a-z-]+\.(?:md|json|yml)/g) ?? [],
    );
    expect(named).toContain('docs/operations.md');
    expect(named.filter((path) => !paths.includes(path))).toEqual([]);
    const withPath = paths.filter((path) => decoded(readFileSync(join(ROOT, path), 'utf8')).includes(ROOT));
    expect(withPath).toEqual([]);
    expect(paths.filter((path) => path.endsWith('.map'))).toEqual([]);
  });

  test('has a command that explains itself from any directory', async () => {
    const bin = `${ROOT}/${PACKAGE.bin['wan-video']}`;
    expect(readFileSync(bin, 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/);
    const { stdout } = await run(process.execPath, [bin, '--help'], { cwd: tmpdir() });
    for (const command of ['generate', 'worker', 'dev', 'setup']) expect(stdout).toContain(command);
  });

  test('asks for no newer node than the container and the version file give', () => {
    const minimum = /^>=(\d+)\./.exec(PACKAGE.engines.node)?.[1];
    const versionFile = readFileSync(`${ROOT}/.nvmrc`, 'utf8').trim();
    expect(Number(versionFile)).toBeGreaterThanOrEqual(Number(minimum));
  });
});
