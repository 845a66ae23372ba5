import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ROOT } from '../support/root.js';
import { COLUMNS_MAX, FILE_LINES_MAX, isCode, type ShapeFault, shapeFaults } from './shape-rules.js';
import { treeFiles } from './tree-files.js';

const texts = treeFiles(ROOT)
  .filter(isCode)
  .map((file) => [file, readFileSync(join(ROOT, file), 'utf8')] as const);
const faults = texts.flatMap(([file, text]) => shapeFaults(file, text));

const titles: Record<ShapeFault['kind'], string> = {
  'long file': `no file of product code has more than ${FILE_LINES_MAX} lines`,
  'wide line': `no line of code or of a comment is wider than ${COLUMNS_MAX} columns`,
  'spread literal': 'no literal is spread into another one',
};

test.each(Object.entries(titles) as [ShapeFault['kind'], string][])('%s: %s', (kind) => {
  const found = faults.filter((fault) => fault.kind === kind);
  expect(found.map(({ file, line }) => `${file}:${line}`)).toEqual([]);
});

const kinds = (file: string, text: string) => shapeFaults(file, text).map(({ kind, line }) => `${line} ${kind}`);

test('each fault of shape is found, and named by its line', () => {
  expect(kinds('src/a.ts', 'x();\n'.repeat(401))).toEqual(['401 long file']);
  expect(kinds('test/a.ts', 'x();\n'.repeat(401))).toEqual([]);
  expect(kinds('src/a.ts', `x();\n// ${'y'.repeat(118)}`)).toEqual(['2 wide line']);
  expect(kinds('src/a.ts', `x('${'y'.repeat(118)}');`)).toEqual(['1 wide line']);
  expect(kinds('test/a.ts', `x('${'y'.repeat(118)}');`)).toEqual([]);
  expect(kinds('test/a.ts', `x('y'); // ${'y'.repeat(118)}`)).toEqual(['1 wide line']);
  expect(kinds('src/a.ts', `// ${'–'.repeat(117)}`)).toEqual([]);
  expect(kinds('test/a.ts', 'x({\n  a,\n  ...{ b, c },\n});')).toEqual(['3 spread literal']);
  expect(kinds('src/a.ts', 'x({ ...a, ...(b && { c }), ...[d].map(e) });')).toEqual([]);
});
