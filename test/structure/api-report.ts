import { join } from 'node:path';
import ts from 'typescript';

/** The published entries: every name that a user of the package can import. */
export const ENTRIES = ['client', 'contract', 'emulator', 'store', 'webhook', 'worker', 'workflow'] as const;

/**
 * Writes what the compiler publishes of an entry, without comments: its exports in order of their names, then the types
 * of ours that these name without exporting them. A change of either is a change of the public surface.
 */
export function apiReports(root: string): Map<string, string> {
  const config = ts.readConfigFile(join(root, 'tsconfig.build.json'), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, root);
  const sources = ts.createProgram(
    ENTRIES.map((name) => join(root, 'src', name, 'index.ts')),
    { ...options, emitDeclarationOnly: true, sourceMap: false, removeComments: true, outDir: root },
  );
  const declared = new Map<string, string>();
  // Next to their sources, in memory.
  sources.emit(undefined, (file, text) => declared.set(file, text), undefined, true);
  const entries = ENTRIES.map((name) => join(root, 'src', name, 'index.d.ts'));
  const program = ts.createProgram(entries, options, hostOf(declared, sources));
  return new Map(ENTRIES.map((name, at) => [name, report(name, entries[at] ?? '', program, declared)]));
}

/** Serves the declarations in place of the sources, and what was parsed for those once more. */
function hostOf(declared: ReadonlyMap<string, string>, sources: ts.Program): ts.CompilerHost {
  const host = ts.createCompilerHost(sources.getCompilerOptions());
  const { getSourceFile, fileExists, readFile } = host;
  const isReplaced = (file: string) => declared.has(file.replace(/\.(c?)ts$/, '.d.$1ts'));
  host.fileExists = (file) => declared.has(file) || (!isReplaced(file) && fileExists(file));
  host.readFile = (file) => declared.get(file) ?? readFile(file);
  host.getSourceFile = (file, version, ...rest) => {
    const text = declared.get(file);
    if (text !== undefined) return ts.createSourceFile(file, text, version, true);
    return sources.getSourceFile(file) ?? getSourceFile(file, version, ...rest);
  };
  return host;
}

function report(name: string, entry: string, program: ts.Program, declared: ReadonlyMap<string, string>): string {
  const checker = program.getTypeChecker();
  const resolve = (symbol: ts.Symbol) =>
    symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
  const source = program.getSourceFile(entry);
  const module = source && checker.getSymbolAtLocation(source);
  if (module === undefined) throw new Error(`${entry} is no module`);

  const exported = new Map<ts.Symbol, string>();
  for (const symbol of checker.getExportsOfModule(module)) exported.set(resolve(symbol), symbol.name);
  const named = new Set<ts.Symbol>();
  // A Set visits what is added while it is walked: the types of a type are found as well.
  const reached = new Set(exported.keys());
  for (const symbol of reached) {
    for (const declaration of symbol.declarations ?? []) {
      if (!declared.has(declaration.getSourceFile().fileName)) continue;
      for (const found of namesIn(declaration, checker)) {
        const target = resolve(found);
        const isOurs = target.declarations?.some(
          (one) => declared.has(one.getSourceFile().fileName) && isTopLevel(one),
        );
        if (!isOurs || reached.has(target)) continue;
        reached.add(target);
        named.add(target);
      }
    }
  }
  const byName = ([, a]: readonly [ts.Symbol, string], [, b]: readonly [ts.Symbol, string]) => (a < b ? -1 : 1);
  const sections = [
    ...[...exported].sort(byName).map(([symbol, as]) => textOf(symbol, as, program)),
    ...(named.size > 0 ? ['// Named by the above, and not exported:'] : []),
    ...[...named]
      .map((symbol) => [symbol, symbol.name] as const)
      .sort(byName)
      .map(([symbol, as]) => textOf(symbol, as, program)),
  ];
  return [
    `# \`wan-video-temporal/${name}\``,
    'Written by `npm run api`; a change here is a change of the public surface.',
    `\`\`\`ts\n${sections.join('\n\n')}\n\`\`\``,
    '',
  ]
    .join('\n\n')
    .replace(/\n\n$/, '\n');
}

const isTopLevel = (node: ts.Declaration): boolean =>
  ts.isSourceFile(node.parent) || (ts.isVariableDeclaration(node) && ts.isSourceFile(node.parent.parent.parent));

function namesIn(declaration: ts.Declaration, checker: ts.TypeChecker): ts.Symbol[] {
  const found: ts.Symbol[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isClassElement(node) && isPrivate(node)) return;
    if (ts.isIdentifier(node)) {
      const symbol = checker.getSymbolAtLocation(node);
      if (symbol !== undefined) found.push(symbol);
    }
    ts.forEachChild(node, visit);
  };
  visit(declaration);
  return found;
}

const isPrivate = (element: ts.ClassElement): boolean =>
  (element.name !== undefined && ts.isPrivateIdentifier(element.name)) ||
  (ts.getCombinedModifierFlags(element) & ts.ModifierFlags.Private) !== 0;

const printer = ts.createPrinter({ removeComments: true });

/** The declarations of a symbol, without its private members and without `export` and `declare`. */
function textOf(symbol: ts.Symbol, as: string, program: ts.Program): string {
  const texts = (symbol.declarations ?? []).map((declaration) => {
    const statement = ts.isVariableDeclaration(declaration) ? declaration.parent.parent : declaration;
    const source = declaration.getSourceFile();
    if (program.isSourceFileFromExternalLibrary(source)) return `${as}: of a package`;
    const visible = ts.isClassDeclaration(statement) ? withoutPrivates(statement) : statement;
    return printer
      .printNode(ts.EmitHint.Unspecified, visible, source)
      .replace(/^export /, '')
      .replace(/^declare /, '');
  });
  const renamed = symbol.name === as ? '' : `// as ${as}\n`;
  return renamed + [...new Set(texts)].join('\n');
}

function withoutPrivates(declaration: ts.ClassDeclaration): ts.ClassDeclaration {
  const { modifiers, name, typeParameters, heritageClauses, members } = declaration;
  const visible = members.filter((member) => !isPrivate(member));
  return ts.factory.updateClassDeclaration(declaration, modifiers, name, typeParameters, heritageClauses, visible);
}
