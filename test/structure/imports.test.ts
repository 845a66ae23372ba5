import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { importFaults, readSources, tableFaults } from './import-rules.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

test('imports point one way, without circles, and only the composing folders read the environment', () => {
  expect(importFaults(readSources(ROOT))).toEqual([]);
});

test('the table of rooms is an order: none may use a room that is listed below it', () => {
  expect(tableFaults()).toEqual([]);
  const [low, high] = ['src/a', 'src/b'].map((room) => ({ room, uses: [], packages: /./ }));
  expect(tableFaults([{ ...low!, uses: ['src/b'] }, high!])).toEqual(['src/a is listed above src/b']);
});

test.each([
  ['the contract imports something of ours', 'src/contract/a.ts', "import '../net/spool.js';", 'src/contract may not'],
  ['the contract uses zod', 'src/contract/a.ts', "import { z } from 'zod';", 'a package that src/contract does not'],
  ['the contract uses a node module', 'src/contract/a.ts', "import 'node:crypto';", 'a package that src/contract does'],
  [
    'a lower folder knows Temporal',
    'src/net/a.ts',
    "import '@temporalio/common';",
    'a package that src/net does not use',
  ],
  ['a lower folder imports activities', 'src/net/a.ts', "import type { A } from '../../activities/a.js';", 'may not'],
  ['AWS is used outside s3-store.ts', 'src/storage/a.ts', "import '@aws-sdk/client-s3';", 'only s3-store.ts'],
  ['a workflow runs activity code', 'workflows/a.ts', "import { a } from '../activities/a.js';", 'may not import'],
  [
    'an inline type keeps the import',
    'workflows/a.ts',
    "import { type A } from '../activities/a.js';",
    'may not import',
  ],
  ['a workflow re-exports a lower folder', 'workflows/a.ts', "export { x } from '../src/net/a.js';", 'may not import'],
  ['a workflow uses a node module', 'workflows/a.ts', "import 'node:fs';", 'a package that workflows does not use'],
  ['the client runs activity code', 'src/client/a.ts', "const a = await import('../../activities/a.js');", 'may not'],
  ['the emulator imports ours', 'src/emulator/a.ts', "import { MODEL } from '../contract/model.js';", 'may not import'],
  ['an activity reads the environment', 'activities/a.ts', "export const x = process.env['X'];", 'reads process.env'],
  ['a library part imports env', 'src/net/a.ts', "import { env } from 'node:process';", 'reads process.env'],
  ['the slots know a video', 'workflows/slots/a.ts', "import type { A } from '../video/a.js';", 'may not import types'],
  ['a folder has no rule', 'src/unheard-of/a.ts', "import 'node:fs';", 'has no rule'],
])('a wrong arrow is caught: %s', (_why, file, text, part) => {
  const faults = importFaults(new Map([[file, text]]));
  expect(faults).toHaveLength(1);
  expect(faults[0]).toContain(`${file}:1 `);
  expect(faults[0]).toContain(part);
});

test('a workflow may import constants of the contract and types of activities', () => {
  const sources = new Map([
    ['workflows/a.ts', "import { X } from '../src/contract/names.js';\nimport type { A } from '../activities/a.js';"],
    ['activities/a.ts', "import '../src/net/a.js';"],
    ['src/contract/names.ts', 'export const X = 1;'],
    ['src/net/a.ts', "import 'undici';"],
  ]);
  expect(importFaults(sources)).toEqual([]);
});

test('a package that workflow code reaches through a second file is caught', () => {
  const sources = new Map([
    ['workflows/a.ts', "import { check } from '../src/contract/check.js';"],
    ['src/contract/check.ts', "import { schema } from './a.js';"],
    ['src/contract/a.ts', "import { z } from 'zod';"],
  ]);
  expect(importFaults(sources)).toContain('src/contract/a.ts:1 imports zod, and workflow code reaches this file');
});

test('a circle between files and one between rooms are caught', () => {
  const sources = new Map([
    ['src/net/a.ts', "import '../media/b.js';"],
    ['src/media/b.ts', "import '../net/a.js';"],
  ]);
  expect(importFaults(sources)).toEqual([
    'src/net/a.ts:1 imports src/media/b.ts; src/net may not import src/media',
    'file circle: src/net/a.ts → src/media/b.ts → src/net/a.ts',
    'room circle: src/net → src/media → src/net',
  ]);
});

test('a circle that consists of types is caught', () => {
  const sources = new Map([
    ['src/net/a.ts', "import type { B } from './b.js';"],
    ['src/net/b.ts', "import type { A } from './a.js';"],
  ]);
  expect(importFaults(sources)).toEqual(['file circle: src/net/a.ts → src/net/b.ts → src/net/a.ts']);
});

test('an import that runs back up is caught, also one of a type', () => {
  const sources = new Map([['src/dev/a.ts', "import type { A } from '../cli/a.js';"]]);
  expect(importFaults(sources)).toEqual([
    'src/dev/a.ts:1 imports src/cli/a.ts; src/dev may not import types of src/cli',
  ]);
});

test('docs/architecture.md lists exactly the folders that hold code', () => {
  const text = readFileSync(new URL('../../docs/architecture.md', import.meta.url), 'utf8');
  const listed = [...text.matchAll(/^\| `([^`]+)\/` \|/gm)].map((match) => match[1]).sort();
  const real = [...readSources(ROOT).keys()].map((file) => file.split('/', file.startsWith('src/') ? 2 : 1).join('/'));
  expect(listed).toEqual([...new Set(real)].sort());
});
