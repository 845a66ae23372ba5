import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { readSources } from './import-rules.js';

/** What the system or the terminal sets; a program reads it to behave, nobody configures the product by it. */
const SURROUNDINGS = new Set([
  'CI',
  'COLUMNS',
  'FORCE_COLOR',
  'HOME',
  'INIT_CWD',
  'NO_COLOR',
  'PATH',
  'TERM',
  'XDG_CACHE_HOME',
]);
const NAME = /^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$/;

/**
 * Environment variables that the code reads: every upper-case text in `src/config`, and every `env['NAME']` or
 * `env.NAME` elsewhere.
 */
export function variablesInCode(root: string): string[] {
  const found = new Set<string>();
  for (const [file, text] of readSources(root)) {
    const config = file.startsWith('src/config/');
    if (!config && !text.includes('env')) continue;
    const visit = (node: ts.Node): void => {
      // What the program sets for a library is no setting of the user's.
      if (ts.isBinaryExpression(node) && /^(\?\?|\|\|)?=$/.test(node.operatorToken.getText())) {
        visit(node.right);
        return;
      }
      const index = ts.isElementAccessExpression(node) && /\benv$/.test(node.expression.getText());
      if (index && ts.isStringLiteral(node.argumentExpression)) found.add(node.argumentExpression.text);
      if (ts.isPropertyAccessExpression(node) && /\benv$/.test(node.expression.getText())) found.add(node.name.text);
      // The configuration reads through small functions of its own, `read('LOG_LEVEL')`; error codes have no
      // underscore.
      if (config && ts.isStringLiteral(node) && node.text.includes('_')) found.add(node.text);
      ts.forEachChild(node, visit);
    };
    visit(ts.createSourceFile(file, text, ts.ScriptTarget.ES2022, true));
  }
  return [...found].filter((name) => NAME.test(name) && !SURROUNDINGS.has(name)).sort();
}

/** Variables in the tables of `docs/configuration.md`: ours, and those under "Read by libraries". */
export function documentedVariables(root: string): { readonly own: string[]; readonly libraries: string[] } {
  const text = readFileSync(join(root, 'docs', 'configuration.md'), 'utf8');
  const [own = '', libraries = ''] = text.split(/^## Read by libraries$/m);
  const names = (part: string) =>
    [...part.matchAll(/^\| (`[^|]+`) \|/gm)].flatMap((row) =>
      [...(row[1] ?? '').matchAll(/`([^`]+)`/g)].map((name) => name[1] ?? ''),
    );
  return { own: names(own).sort(), libraries: names(libraries).sort() };
}
