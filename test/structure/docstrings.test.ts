import { join } from 'node:path';
import ts from 'typescript';
import { expect, test } from 'vitest';
import { ROOT } from '../support/root.js';

const ENTRIES = ['client', 'contract', 'worker', 'emulator', 'webhook'].map((name) =>
  join(ROOT, 'src', name, 'index.ts'),
);

/** Exported names of an entry, and the public methods of its classes, that carry no documentation. */
function undocumented(entry: string, program: ts.Program): string[] {
  const checker = program.getTypeChecker();
  const source = program.getSourceFile(entry);
  const module = source && checker.getSymbolAtLocation(source);
  if (module === undefined) throw new Error(`${entry} is no module`);
  const isBare = (symbol: ts.Symbol) => symbol.getDocumentationComment(checker).length === 0;
  return checker.getExportsOfModule(module).flatMap((exported) => {
    const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
    const methods = (symbol.flags & ts.SymbolFlags.Class ? [...(symbol.members?.values() ?? [])] : []).filter(
      (member) => member.flags & ts.SymbolFlags.Method && !member.name.startsWith('#') && !member.name.startsWith('_'),
    );
    return [
      ...(isBare(symbol) ? [exported.name] : []),
      ...methods.filter(isBare).map((method) => `${exported.name}.${method.name}`),
    ];
  });
}

test('every exported name and every public method of the published entries is documented', () => {
  const config = ts.readConfigFile(join(ROOT, 'tsconfig.json'), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, ROOT);
  const program = ts.createProgram(ENTRIES, options);
  for (const entry of ENTRIES) expect(undocumented(entry, program)).toEqual([]);
});
