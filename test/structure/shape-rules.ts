import ts from 'typescript';

/** Beyond this a file of product code holds a second subject. */
export const FILE_LINES_MAX = 400;
/** What the formatter wraps code at; it leaves comments and long strings alone. */
export const COLUMNS_MAX = 120;

const isProduct = (file: string): boolean => /^(workflows|activities|src)\/.*\.c?ts$/.test(file);
export const isCode = (file: string): boolean => /\.(ts|cts|mjs)$/.test(file);

/**
 * A fault of shape: a file that is too long, a line that is too wide, or a spread that only keeps a literal on one
 * line.
 */
export interface ShapeFault {
  readonly kind: 'long file' | 'wide line' | 'spread literal';
  readonly file: string;
  readonly line: number;
}

/**
 * Lists the faults of one file. A line of product code is at most 120 columns wide, strings included; in tests and
 * scripts a string may run over, because the title of a test is one sentence and is searched for as a whole.
 */
export function shapeFaults(file: string, text: string): ShapeFault[] {
  const lines = text.split('\n');
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.ES2022, true);
  const faults: ShapeFault[] = [];
  const count = text.endsWith('\n') ? lines.length - 1 : lines.length;
  if (isProduct(file) && count > FILE_LINES_MAX) faults.push({ kind: 'long file', file, line: count });

  const strings = isProduct(file) ? [] : stringRanges(source);
  const starts = source.getLineStarts();
  lines.forEach((line, index) => {
    if (columns(line) <= COLUMNS_MAX) return;
    const edge = (starts[index] ?? 0) + COLUMNS_MAX;
    if (strings.some(([start, end]) => start <= edge && edge <= end)) return;
    faults.push({ kind: 'wide line', file, line: index + 1 });
  });

  const visit = (node: ts.Node): void => {
    if (ts.isSpreadAssignment(node) && ts.isObjectLiteralExpression(node.expression))
      faults.push({
        kind: 'spread literal',
        file,
        line: source.getLineAndCharacterOfPosition(node.getStart()).line + 1,
      });
    ts.forEachChild(node, visit);
  };
  visit(source);
  return faults;
}

/** What an editor counts: characters, not the halves of surrogate pairs. */
const columns = (line: string) => [...line].length;

function stringRanges(source: ts.SourceFile): [number, number][] {
  const ranges: [number, number][] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isStringLiteralLike(node) || ts.isTemplateExpression(node) || ts.isRegularExpressionLiteral(node))
      // The formatter keeps the beginning of the test's function on the line of its title.
      ranges.push([node.getStart(), node.end + ', async ({ skip }) => {'.length]);
    else ts.forEachChild(node, visit);
  };
  visit(source);
  return ranges;
}
