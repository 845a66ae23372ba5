import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ROOT } from '../support/stack.js';
import { leftOutList, matrixTable } from './table.js';

const GUARANTEES = join(ROOT, 'docs', 'guarantees.md');

/** With UPDATE_DOCS=1 the document is rewritten from the cells. */
function withParts(text: string): string {
  const part = (name: string, body: string, whole: string) =>
    whole.replace(
      new RegExp(`(<!-- ${name} -->\n)[\\s\\S]*?(\n<!-- /${name} -->)`),
      (_, open, close) => open + body + close,
    );
  return part('matrix', matrixTable(), part('left-out', leftOutList(), text));
}

test('the matrix in docs/guarantees.md is the one that the tests run', () => {
  const text = readFileSync(GUARANTEES, 'utf8');
  expect(text).toMatch(/<!-- matrix -->[\s\S]*<!-- \/matrix -->[\s\S]*<!-- left-out -->[\s\S]*<!-- \/left-out -->/);
  const now = withParts(text);
  if (process.env['UPDATE_DOCS'] === '1') writeFileSync(GUARANTEES, now);
  else expect(text).toBe(now);
});

test('every test that docs/guarantees.md names is there under its title', () => {
  const text = readFileSync(GUARANTEES, 'utf8');
  const named = [...text.matchAll(/`(test\/[\w/.-]+)`: “([^”]+)”/g)];
  expect(named.length).toBeGreaterThan(10);
  const missing = named.filter(([, file = '', title = '']) => {
    const source = readFileSync(join(ROOT, file), 'utf8');
    return !source.includes(title);
  });
  expect(missing.map(([whole]) => whole)).toEqual([]);
});
