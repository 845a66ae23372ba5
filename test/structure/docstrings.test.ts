import { join } from 'node:path';
import ts from 'typescript';
import { expect, test, vi } from 'vitest';
import { COMPILE_TIMEOUT_MS } from '../support/compile-timeout.js';
import { ROOT } from '../support/root.js';
import { ENTRIES } from './api-report.js';

vi.setConfig({ testTimeout: COMPILE_TIMEOUT_MS });

const FILES = ENTRIES.map((name) => join(ROOT, 'src', name, 'index.ts'));
/** Where the examples are compiled; the file exists in memory only. */
const EXAMPLES = join(ROOT, 'src', 'client', 'examples-of-the-docstrings.ts');

const config = ts.readConfigFile(join(ROOT, 'tsconfig.json'), ts.sys.readFile);
const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, ROOT);
const program = ts.createProgram(FILES, options);
const checker = program.getTypeChecker();

interface Callable {
  /** `WanVideoClient.generate`, or `verifyWebhook`. */
  readonly name: string;
  readonly symbol: ts.Symbol;
}

const exportsOf = (file: string): ts.Symbol[] => {
  const source = program.getSourceFile(file);
  const module = source && checker.getSymbolAtLocation(source);
  if (module === undefined) throw new Error(`${file} is no module`);
  return checker.getExportsOfModule(module);
};

const resolved = (symbol: ts.Symbol) =>
  symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;

function publicMethods(exported: ts.Symbol): Callable[] {
  const symbol = resolved(exported);
  if (!(symbol.flags & ts.SymbolFlags.Class)) return [];
  return [...(symbol.members?.values() ?? [])]
    .filter(({ flags, name }) => flags & ts.SymbolFlags.Method && !name.startsWith('#') && !name.startsWith('_'))
    .map((method) => ({ name: `${exported.name}.${method.name}`, symbol: method }));
}

const isBare = (symbol: ts.Symbol) => symbol.getDocumentationComment(checker).length === 0;

test.each(ENTRIES)('every exported name and every public method of the entry %s is documented', (entry) => {
  const names = exportsOf(join(ROOT, 'src', entry, 'index.ts'));
  const bare = [
    ...names.filter((symbol) => isBare(resolved(symbol))).map(({ name }) => name),
    ...names
      .flatMap(publicMethods)
      .filter(({ symbol }) => isBare(symbol))
      .map(({ name }) => name),
  ];
  expect(bare).toEqual([]);
});

const publicFunctions = (exported: ts.Symbol): Callable[] =>
  resolved(exported).flags & ts.SymbolFlags.Function ? [{ name: exported.name, symbol: resolved(exported) }] : [];

const functionsOf = (entry: string) => exportsOf(join(ROOT, 'src', entry, 'index.ts')).flatMap(publicFunctions);

const callables = [
  ...exportsOf(join(ROOT, 'src', 'client', 'index.ts')).flatMap(publicMethods),
  ...functionsOf('client'),
  ...functionsOf('webhook'),
];

/** The code of the `@example` tags; undefined when there is none that makes the call. */
function exampleOf({ name, symbol }: Callable): string | undefined {
  const texts = symbol
    .getJsDocTags(checker)
    .filter((tag) => tag.name === 'example')
    .map(({ text }) => ts.displayPartsToString(text));
  const code = texts
    .flatMap((text) => [...text.matchAll(/```ts\n([\s\S]*?)```/g)].map((match) => match[1] ?? ''))
    .join('');
  const call = name.includes('.') ? `.${name.split('.')[1]}(` : `${name}(`;
  return code.includes(call) ? code : undefined;
}

test('every public method of the clients, and every function next to them, has an example that calls it', () => {
  const missing = callables.filter((method) => exampleOf(method) === undefined).map(({ name }) => name);
  expect(missing).toEqual([]);
});

test('the examples compile, with the clients as `videos`, `batches` and `schedules`', () => {
  const bodies = callables.flatMap((method) => {
    const code = exampleOf(method);
    return code === undefined ? [] : `export async function example${method.name.replace('.', '_')}() {\n${code}}\n`;
  });
  const text = `import { type WanBatchClient, type WanScheduleClient, WanVideoClient } from './index.js';
${['client', 'webhook']
  .map(
    (entry) =>
      `import { ${functionsOf(entry)
        .map(({ name }) => name)
        .join(', ')} } from '../${entry}/index.js';\n`,
  )
  .join('')}declare const videos: WanVideoClient;
declare const batches: WanBatchClient;
declare const schedules: WanScheduleClient;
${bodies.join('')}`;
  expect(compileFaults(text)).toEqual([]);
  expect(compileFaults(`${text}export const wrong = () => videos.generte({});\n`)[0]).toContain('generte');
});

function compileFaults(text: string): string[] {
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists } = host;
  host.fileExists = (file) => file === EXAMPLES || fileExists(file);
  host.getSourceFile = (file, version, ...rest) =>
    file === EXAMPLES
      ? ts.createSourceFile(file, text, version, true)
      : (program.getSourceFile(file) ?? getSourceFile(file, version, ...rest));
  // What an example does not use is there to be read.
  const lenient = { ...options, noUnusedLocals: false };
  const examples = ts.createProgram([...FILES, EXAMPLES], lenient, host);
  const source = examples.getSourceFile(EXAMPLES);
  return [...examples.getSyntacticDiagnostics(source), ...examples.getSemanticDiagnostics(source)].map(
    ({ messageText, start = 0 }) => {
      const line = text.slice(0, start).split('\n').length;
      return `${text.split('\n')[line - 1]?.trim()}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`;
    },
  );
}
