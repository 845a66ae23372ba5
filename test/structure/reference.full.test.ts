import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import ts from 'typescript';
import { expect, onTestFinished, test, vi } from 'vitest';
import { COMPILE_TIMEOUT_MS } from '../support/compile-timeout.js';
import { ROOT } from '../support/root.js';

vi.setConfig({ testTimeout: COMPILE_TIMEOUT_MS });

const run = promisify(execFile);

async function pagesOf(folder: string): Promise<Record<string, string>> {
  const names = (await readdir(folder)).sort();
  return Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await readFile(join(folder, name), 'utf8')] as const)),
  );
}

test('docs/reference is what `npm run docs` makes of the code, without a warning', async () => {
  const out = await mkdtemp(join(tmpdir(), 'wan-video-reference-'));
  onTestFinished(() => rm(out, { recursive: true, force: true }));
  await run(process.execPath, [join(ROOT, 'node_modules', 'typedoc', 'bin', 'typedoc'), '--out', out], { cwd: ROOT });
  expect(await pagesOf(join(ROOT, 'docs', 'reference'))).toEqual(await pagesOf(out));
});

test('the examples of README and documents that import the package compile against the published entries', async () => {
  const documents = [
    'README.md',
    ...(await readdir(join(ROOT, 'docs'))).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`),
  ];
  const snippets = new Map<string, string>();
  for (const document of documents) {
    const text = await readFile(join(ROOT, document), 'utf8');
    for (const [index, [, code = '']] of [...text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].entries())
      if (code.includes("'wan-video-temporal/"))
        snippets.set(join(ROOT, 'test', `${document.replaceAll(/\W/g, '-')}-${index}.ts`), `${code}\nexport {};\n`);
  }
  expect(snippets.size).toBeGreaterThanOrEqual(2);
  const config = ts.readConfigFile(join(ROOT, 'tsconfig.json'), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, ROOT);
  const paths = { 'wan-video-temporal/*': ['./src/*/index.ts'] };
  // A snippet may leave unused what it shows.
  const host = ts.createCompilerHost({ ...options, noEmit: true, noUnusedLocals: false, baseUrl: ROOT, paths });
  const { fileExists, readFile: read, getSourceFile } = host;
  host.fileExists = (name) => snippets.has(name) || fileExists(name);
  host.readFile = (name) => snippets.get(name) ?? read(name);
  host.getSourceFile = (name, version, ...rest) => {
    const code = snippets.get(name);
    return code === undefined ? getSourceFile(name, version, ...rest) : ts.createSourceFile(name, code, version);
  };
  const program = ts.createProgram(
    [...snippets.keys()],
    {
      ...options,
      noEmit: true,
      noUnusedLocals: false,
      noPropertyAccessFromIndexSignature: false,
      exactOptionalPropertyTypes: false,
      baseUrl: ROOT,
      paths,
    },
    host,
  );
  const said = [...snippets.keys()].flatMap((name) => {
    const source = program.getSourceFile(name);
    const faults = [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)];
    return faults.map(({ messageText }) => `${name}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`);
  });
  expect(said).toEqual([]);
});
