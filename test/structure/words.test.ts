import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ROOT } from '../support/root.js';
import { EXCEPTIONS, findWords, wordHits } from './word-rules.js';

test('names, comments, messages and documents use the field’s terms and plain modern English', () => {
  // `node scripts/words.mjs <path>` lists them for one folder or file.
  expect(findWords(ROOT).map(({ file, line, found, use }) => `${file}:${line} “${found}”, better: ${use}`)).toEqual([]);
});

test('every exception has a reason and a line that it is needed for', () => {
  for (const { file, line, reason } of EXCEPTIONS) {
    const lines = readFileSync(join(ROOT, file), 'utf8').split('\n');
    expect(
      lines.filter((text) => text.includes(line)),
      `${file}: ${line}`,
    ).not.toEqual([]);
    expect(reason.length, `${file}: ${line}`).toBeGreaterThan(20);
  }
});

test.each([
  ['a word of prose', '// The webhook is told of it.', ['told']],
  ['a word at the start of a sentence', '// Whoever meets it finds nothing.', ['Whoever']],
  ['the hump of a name', 'const toldToBatch = wasTold;', ['told', 'Told']],
  ['a constant', 'const MEND_MS = 1;', ['MEND']],
  ['a part of a snake_case field', 'const x = { is_told: 1 };', ['told']],
  ['a message', "throw new Error('nothing to mend');", ['mend']],
  ['a type of several words', 'interface PurchaseInHand {}', ['InHand']],
  ['an expression of several words', '// It lets it go.', ['lets it go']],
  ['an expression across two lines of a comment', '/**\n * What is left\n * behind.\n */', ['left * behind']],
  ['an expression across two line comments', '// It is in\n// hand.', ['in // hand']],
  ['words between the two of an expression', '// A cancel leaves no workflow behind.', ['leaves no workflow behind']],
  ['the passive of ask for', '// What was asked for.', ['was asked for']],
  ['a retired name', 'const likeness: Likeness = 1;', ['Likeness']],
])('is found: %s', (_what, text, found) => {
  expect(wordHits('src/a.ts', text).map((hit) => hit.found)).toEqual(found);
});

test.each([
  ['words that only contain one', '// standard, understand, intelligent, commend, amend, besieged, outlook'],
  ['a stand-in, which is a test’s', '// A stand-in for the provider.'],
  ['the caller that asks in the active voice', '// The caller asked for a video.'],
  ['the name of another package', "import { x } from 'stands';"],
  ['a lower-case word that happens to be a retired type', '// letters and digits'],
])('is not found: %s', (_what, text) => {
  expect(wordHits('src/a.ts', text)).toEqual([]);
});

test('a hit names its line, and the changelog may list what was renamed and what earlier releases said', () => {
  expect(wordHits('README.md', '# A\n\nNobody is told.')[0]).toMatchObject({ line: 3, found: 'told' });
  const changelog =
    '## Unreleased\n### Changed\nIt tells.\n### Renamed\n| `tells` | `events` |\n## 0.1.0\nIt is told.\n';
  expect(wordHits('CHANGELOG.md', changelog).map(({ line }) => line)).toEqual([3]);
});
