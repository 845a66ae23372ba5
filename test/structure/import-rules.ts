import { readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import ts from 'typescript';

/** Sources by path from the repository's root, such as `src/net/spool.ts`. */
export type Sources = ReadonlyMap<string, string>;

interface Import {
  readonly from: string;
  readonly line: number;
  /** The file in the sources, or the package's specifier. */
  readonly to: string;
  readonly ours: boolean;
  /** Erased by the compiler: under `verbatimModuleSyntax` that is `import type`, not `import { type … }`. */
  readonly typeOnly: boolean;
}

interface Rule {
  /** Folders of ours whose code it may run, besides its own. */
  readonly ours: readonly string[];
  /** Folders of ours of which it may see types. */
  readonly types?: readonly string[];
  readonly packages: RegExp;
}

const LOWER = [
  'dashscope',
  'storage',
  'ledger',
  'media',
  'net',
  'polling',
  'config',
  'batch',
  'webhook',
  'metrics',
].map((name) => `src/${name}`);
const LOWER_PACKAGES =
  /^(node:.+|undici|zod|hpagent|image-size|mediabunny|ipaddr\.js|pino|prom-client|@aws-sdk\/(client-s3|lib-storage|s3-request-presigner))$/;
const ANYTHING = /./;
const COMPOSE: Rule = { ours: ['*'], packages: ANYTHING };

const RULES: Readonly<Record<string, Rule>> = {
  'src/contract': { ours: [], packages: /^(zod|node:crypto|@temporalio\/common)$/ },
  ...Object.fromEntries(LOWER.map((area) => [area, { ours: ['src/contract', ...LOWER], packages: LOWER_PACKAGES }])),
  workflows: { ours: ['src/contract'], types: ['activities'], packages: /^@temporalio\/workflow$/ },
  activities: {
    ours: ['src/contract', ...LOWER],
    packages: /^(node:.+|zod|pino|@temporalio\/(activity|common))$/,
  },
  'src/client': {
    ours: ['src/contract', ...LOWER],
    types: ['activities', 'workflows'],
    packages: /^(node:.+|zod|@temporalio\/(client|common|envconfig|proto))$/,
  },
  'src/emulator': { ours: [], packages: /^(?!@temporalio\/|@aws-sdk\/)/ },
  'src/worker': COMPOSE,
  'src/cli': COMPOSE,
  'src/dev': COMPOSE,
};

/** What must not be reached from workflow code by any chain of imports that survives compilation. */
const NOT_IN_THE_SANDBOX = /^(?!@temporalio\/(workflow|common)$)/;

/** The folder that a rule is about: `workflows`, `activities` or `src/<name>`. */
const areaOf = (file: string): string => file.split('/', file.startsWith('src/') ? 2 : 1).join('/');

/** Reads every TypeScript file below `workflows`, `activities` and `src`. */
export function readSources(root: string): Sources {
  const files = ['workflows', 'activities', 'src'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => posix.join(folder, name.replaceAll('\\', '/'))),
  );
  return new Map(files.sort().map((file) => [file, readFileSync(join(root, file), 'utf8')]));
}

/** Lists every import that the architecture does not allow, as sentences that begin with `file:line`. */
export function importFaults(sources: Sources): string[] {
  const parsed = [...sources].map(([file, text]) => ({ file, source: parse(file, text) }));
  const imports = parsed.flatMap(({ file, source }) => importsOf(file, source, sources));
  return [
    ...imports.flatMap(arrowFaults),
    ...parsed.flatMap(({ file, source }) => environmentFaults(file, source)),
    ...sandboxFaults(imports),
    ...cycles('file', edges(imports.filter((one) => one.ours && !one.typeOnly).map(({ from, to }) => [from, to]))),
    ...cycles(
      'folder',
      edges(
        imports
          .filter((one) => one.ours && LOWER.includes(areaOf(one.from)) && areaOf(one.from) !== areaOf(one.to))
          .map(({ from, to }) => [areaOf(from), areaOf(to)]),
      ),
    ),
  ];
}

/** Names of the packages that the compiled code imports, node's own modules left out. */
export function importedPackages(sources: Sources): string[] {
  const names = [...sources]
    .flatMap(([file, text]) => importsOf(file, parse(file, text), sources))
    .filter(({ ours, typeOnly, to }) => !ours && !typeOnly && !to.startsWith('node:') && !to.startsWith('.'))
    .map(({ to }) => to.split('/', to.startsWith('@') ? 2 : 1).join('/'));
  return [...new Set(names)].sort();
}

const parse = (file: string, text: string) => ts.createSourceFile(file, text, ts.ScriptTarget.ES2022, true);
const lineOf = (node: ts.Node) => {
  const source = node.getSourceFile();
  return source.getLineAndCharacterOfPosition(node.getStart()).line + 1;
};

function importsOf(file: string, source: ts.SourceFile, sources: Sources): Import[] {
  const found: Import[] = [];
  const add = (node: ts.Node, specifier: ts.Node | undefined, typeOnly: boolean) => {
    if (specifier === undefined || !ts.isStringLiteralLike(specifier)) return;
    const ours = specifier.text.startsWith('.');
    const resolved = posix.join(posix.dirname(file), specifier.text).replace(/\.js$/, '.ts');
    // JSON files and whatever else is no module of ours stays as it is; a missing file is the compiler's business.
    const to = ours ? resolved : specifier.text;
    found.push({ from: file, line: lineOf(node), to, ours: ours && (sources.has(to) || to.endsWith('.ts')), typeOnly });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) add(node, node.moduleSpecifier, node.importClause?.isTypeOnly ?? false);
    else if (ts.isExportDeclaration(node)) add(node, node.moduleSpecifier, node.isTypeOnly);
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) add(node, node.argument.literal, true);
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      add(node, node.arguments[0], false);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

function arrowFaults({ from, line, to, ours, typeOnly }: Import): string[] {
  const area = areaOf(from);
  const rule = RULES[area];
  if (rule === undefined) return [`${from}:${line} lies in ${area}, which has no rule; give it one`];
  const fault = (text: string) => [`${from}:${line} ${text}`];
  if (!ours) {
    if (/^@aws-sdk\//.test(to) && !from.endsWith('/s3-store.ts') && !typeOnly)
      return fault(`imports ${to}; only s3-store.ts may`);
    if (area === 'src/contract' && to === 'zod' && !typeOnly && !from.endsWith('.schema.ts'))
      return fault('imports zod; in the contract only *.schema.ts may');
    return rule.packages.test(to) ? [] : fault(`imports ${to}, a package that ${area} does not use`);
  }
  const target = areaOf(to);
  if (area === 'workflows' && !typeOnly && (to.endsWith('.schema.ts') || to === 'src/contract/index.ts'))
    return fault(`imports ${to}, which brings zod into the sandbox`);
  const allowed =
    target === area ||
    rule.ours.includes('*') ||
    rule.ours.includes(target) ||
    (typeOnly && (rule.types ?? []).includes(target));
  return allowed ? [] : fault(`imports ${to}; ${area} may not import ${typeOnly ? 'types of ' : ''}${target}`);
}

function environmentFaults(file: string, source: ts.SourceFile): string[] {
  // The client's own configuration, for programs that hand in no environment; Temporal's part of it reads the process anyway.
  if (file === 'src/client/connect.ts' || ['src/worker', 'src/cli', 'src/dev'].includes(areaOf(file))) return [];
  const faults: string[] = [];
  const visit = (node: ts.Node): void => {
    const reads =
      (ts.isPropertyAccessExpression(node) && node.name.text === 'env' && node.expression.getText() === 'process') ||
      (ts.isImportDeclaration(node) &&
        /^(node:)?process$/.test((node.moduleSpecifier as ts.StringLiteral).text) &&
        /\benv\b/.test(node.importClause?.getText() ?? ''));
    if (reads) faults.push(`${file}:${lineOf(node)} reads process.env; only worker, cli and dev do`);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return faults;
}

function sandboxFaults(imports: readonly Import[]): string[] {
  const running = imports.filter((one) => !one.typeOnly);
  const reached = new Set(running.map(({ from }) => from).filter((file) => areaOf(file) === 'workflows'));
  // A Set visits what is added while it is walked, which makes this the transitive closure.
  for (const file of reached) for (const { from, to, ours } of running) if (ours && from === file) reached.add(to);
  return running
    .filter(
      ({ from, to, ours }) => !ours && reached.has(from) && areaOf(from) !== 'workflows' && NOT_IN_THE_SANDBOX.test(to),
    )
    .map(({ from, line, to }) => `${from}:${line} imports ${to}, and workflow code reaches this file`);
}

type Edges = ReadonlyMap<string, readonly string[]>;

function edges(pairs: readonly (readonly [string, string])[]): Edges {
  const map = new Map<string, string[]>();
  for (const [from, to] of pairs) map.set(from, [...(map.get(from) ?? []), to]);
  return map;
}

function cycles(kind: string, graph: Edges): string[] {
  const done = new Set<string>();
  const found: string[] = [];
  const walk = (node: string, path: readonly string[]): void => {
    if (path.includes(node)) {
      found.push(`${kind} cycle: ${[...path.slice(path.indexOf(node)), node].join(' → ')}`);
      return;
    }
    if (done.has(node)) return;
    for (const next of graph.get(node) ?? []) walk(next, [...path, node]);
    done.add(node);
  };
  for (const node of graph.keys()) walk(node, []);
  return found;
}
