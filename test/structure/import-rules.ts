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

/** A room is a folder with a subject of its own; everything below it belongs to it. */
interface Room {
  readonly room: string;
  /** The rooms whose code and types it may use. Each is listed further up, so that no import can run back. */
  readonly uses: readonly string[];
  /** Rooms, listed further up, of which it may use types only. */
  readonly types?: readonly string[];
  readonly packages: RegExp;
}

const LIBRARY_PACKAGES =
  /^(node:.+|undici|zod|hpagent|mediabunny|sharp|ipaddr\.js|pino|prom-client|@aws-sdk\/(client-s3|lib-storage|s3-request-presigner))$/;
const WORKFLOW_PACKAGES = /^@temporalio\/(workflow|common)$/;
const ANYTHING = /./;

/** A library of ours: it knows nothing of Temporal. */
const library = (name: string, ...uses: string[]): Room => ({
  room: `src/${name}`,
  uses: uses.map((one) => `src/${one}`),
  packages: LIBRARY_PACKAGES,
});

const workflowRoom = (room: string, ...uses: string[]): Room => ({
  room,
  uses: ['src/contract', ...uses],
  types: ['activities'],
  packages: WORKFLOW_PACKAGES,
});

const LIBRARIES = [
  library('async', 'contract'),
  library('net', 'contract', 'async'),
  library('dashscope', 'contract', 'async', 'net'),
  library('storage', 'contract', 'async', 'net'),
  library('ledger', 'contract', 'async', 'dashscope', 'storage'),
  library('media', 'contract', 'async', 'net', 'storage'),
  library('polling', 'contract', 'async', 'dashscope', 'storage'),
  library('config', 'contract', 'net', 'storage', 'ledger', 'polling'),
  library('webhook', 'contract', 'net', 'dashscope', 'config'),
  library('batch', 'contract', 'async', 'net', 'dashscope', 'storage', 'ledger', 'polling'),
  library('report', 'contract', 'config', 'storage', 'batch'),
  library('delivery', 'contract', 'async', 'config', 'storage', 'batch', 'report'),
  library('metrics', 'dashscope', 'storage', 'ledger', 'polling'),
];
/** Spans of calls to Temporal and of requests to the provider. */
const TRACING: Room = {
  ...library('tracing', 'contract', 'dashscope', 'config'),
  packages: /^(node:module|@temporalio\/(client|interceptors-opentelemetry)|@opentelemetry\/(api|sdk-node))$/,
};
/** The published way to a store. */
const STORE = library('store', 'contract', 'net', 'storage', 'config');
const LIBRARY_ROOMS = LIBRARIES.map(({ room }) => room);

/** Every room, from the ground up: the table is the architecture. */
const ROOMS: readonly Room[] = [
  { room: 'src/contract', uses: [], packages: /^@noble\/hashes\/.+$/ },
  ...LIBRARIES,
  STORE,
  TRACING,
  {
    room: 'activities',
    uses: ['src/contract', ...LIBRARY_ROOMS],
    packages: /^(node:.+|zod|pino|@temporalio\/(activity|common))$/,
  },
  workflowRoom('workflows/shared'),
  workflowRoom('workflows/slots', 'workflows/shared'),
  workflowRoom('workflows/video', 'workflows/shared'),
  workflowRoom('workflows/batch', 'workflows/shared'),
  // Temporal's interceptors for OpenTelemetry are made for the sandbox; only the code of workers that trace has them.
  {
    room: 'workflows/tracing',
    uses: ['src/contract'],
    packages:
      /^(@temporalio\/(workflow|common|interceptors-opentelemetry\/lib\/workflow\/index\.js)|@opentelemetry\/api)$/,
  },
  // The files that lie in `workflows` itself: the index that Temporal needs.
  workflowRoom('workflows', 'workflows/shared', 'workflows/slots', 'workflows/video', 'workflows/batch'),
  // What a caller's own workflow uses: it runs in the sandbox of that workflow.
  { room: 'src/workflow', uses: ['src/contract'], packages: /^(nexus-rpc|@temporalio\/(workflow|common))$/ },
  {
    room: 'src/client',
    uses: ['src/contract', ...LIBRARY_ROOMS, 'src/tracing', 'src/workflow'],
    packages: /^(node:.+|zod|@temporalio\/(client|common|envconfig|proto))$/,
  },
  {
    room: 'src/worker',
    uses: [
      ...['src/contract', ...LIBRARY_ROOMS, 'src/tracing', 'activities', 'workflows', 'workflows/shared'],
      ...['src/workflow', 'src/client'],
    ],
    packages: ANYTHING,
  },
  // A misreading of the wire that the product makes must not be made by its emulator as well: it shares no code with
  // it.
  { room: 'src/emulator', uses: [], packages: /^(?!@temporalio\/|@aws-sdk\/)/ },
  { room: 'src/text', uses: ['src/contract', ...LIBRARY_ROOMS, 'src/client'], packages: ANYTHING },
  { room: 'src/live-check', uses: ['src/contract', ...LIBRARY_ROOMS, 'src/text'], packages: ANYTHING },
  {
    room: 'src/dev',
    uses: ['src/contract', ...LIBRARY_ROOMS, 'src/client', 'src/worker', 'src/emulator', 'src/text'],
    packages: ANYTHING,
  },
  {
    room: 'src/cli',
    uses: [
      ...['src/contract', ...LIBRARY_ROOMS, 'src/tracing', 'activities', 'src/client', 'src/worker', 'src/emulator'],
      ...['src/text', 'src/live-check', 'src/dev'],
    ],
    packages: ANYTHING,
  },
];

const COMPOSING_ROOMS = ['src/worker', 'src/cli', 'src/dev'];

/**
 * The parts of the client and of the store that are configured by the process, for programs that hand in no
 * environment; Temporal's part of it reads the process anyway.
 */
const OWN_ENVIRONMENT = [
  'src/client/temporal-target.ts',
  'src/client/from-env.ts',
  'src/store/open-store.ts',
  'src/tracing/start-sdk.ts',
];

/** What must not be reached from workflow code by any chain of imports that survives compilation. */
const NOT_IN_THE_SANDBOX = /^(?!@temporalio\/(workflow|common)$|nexus-rpc$|@noble\/hashes\/)/;

/** The room of a file: the deepest one that holds it, else its folder, which then has no rule. */
const roomOf = (file: string): string =>
  ROOMS.map(({ room }) => room)
    .filter((room) => file.startsWith(`${room}/`))
    .sort((a, b) => b.length - a.length)[0] ?? file.split('/', 2).join('/');

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
    ...circles(imports.filter(({ ours }) => ours)),
  ];
}

/**
 * Circles between files and between rooms. An import of types counts: who reads one file of a circle has to read them
 * all.
 */
function circles(imports: readonly Import[]): string[] {
  const betweenRooms = imports.map(({ from, to }) => [roomOf(from), roomOf(to)] as const).filter(([a, b]) => a !== b);
  return [
    ...cycles('file', edges(imports.map(({ from, to }) => [from, to] as const).filter(([a, b]) => a !== b))),
    ...cycles('room', edges(betweenRooms)),
  ];
}

/** Lists the rooms that the table allows to use a room which is not below them. */
export function tableFaults(rooms: readonly Room[] = ROOMS): string[] {
  return rooms.flatMap(({ room, uses, types = [] }, index) => {
    const below = rooms.slice(0, index).map((one) => one.room);
    return [...uses, ...types].filter((one) => !below.includes(one)).map((one) => `${room} is listed above ${one}`);
  });
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
    // A specifier that is no module of ours, such as a JSON file, stays as it is; a missing file is the compiler's
    // business.
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
  const room = roomOf(from);
  const rule = ROOMS.find((one) => one.room === room);
  if (rule === undefined) return [`${from}:${line} lies in ${room}, which has no rule; give it one`];
  const fault = (text: string) => [`${from}:${line} ${text}`];
  if (!ours) {
    if (/^@aws-sdk\//.test(to) && !from.endsWith('/s3-store.ts') && !typeOnly)
      return fault(`imports ${to}; only s3-store.ts may`);
    return rule.packages.test(to) ? [] : fault(`imports ${to}, a package that ${room} does not use`);
  }
  const target = roomOf(to);
  const allowed = target === room || rule.uses.includes(target) || (typeOnly && (rule.types ?? []).includes(target));
  return allowed ? [] : fault(`imports ${to}; ${room} may not import ${typeOnly ? 'types of ' : ''}${target}`);
}

const isWorkflowCode = (file: string) => file.startsWith('workflows/');

function environmentFaults(file: string, source: ts.SourceFile): string[] {
  if (OWN_ENVIRONMENT.includes(file) || COMPOSING_ROOMS.includes(roomOf(file))) return [];
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
  const reached = new Set(running.map(({ from }) => from).filter(isWorkflowCode));
  // A Set visits what is added while it is walked, which makes this the transitive closure.
  for (const file of reached) for (const { from, to, ours } of running) if (ours && from === file) reached.add(to);
  return running
    .filter(({ from, to, ours }) => !ours && reached.has(from) && !isWorkflowCode(from) && NOT_IN_THE_SANDBOX.test(to))
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
      found.push(`${kind} circle: ${[...path.slice(path.indexOf(node)), node].join(' → ')}`);
      return;
    }
    if (done.has(node)) return;
    for (const next of graph.get(node) ?? []) walk(next, [...path, node]);
    done.add(node);
  };
  for (const node of graph.keys()) walk(node, []);
  return found;
}
