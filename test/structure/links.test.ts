import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { ROOT } from '../support/root.js';

const DOCUMENTS = [
  'README.md',
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  ...readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
];

/** The text without fenced code, in which nothing is a link or a heading. */
const prose = (file: string): string =>
  readFileSync(file, 'utf8').replaceAll(/^ {0,3}(```|~~~)[\s\S]*?^ {0,3}\1\s*$/gm, '');

/** Every target of `[text](target)` and `[name]: target`, code spans left out. */
function targetsOf(file: string): string[] {
  const text = prose(file).replaceAll(/`[^`\n]*`(?!\])/g, '');
  const inline = [...text.matchAll(/\]\(<?([^)\s>]+)>?(?:\s+"[^"]*")?\)/g)];
  const named = [...text.matchAll(/^\[[^\]]+\]:\s+(\S+)/gm)];
  return [...inline, ...named].map(([, target = '']) => target);
}

/** The anchors of a document: its headings as GitHub names them, and explicit ones. */
function anchorsOf(file: string): Set<string> {
  const text = prose(file);
  const anchors = new Set([...text.matchAll(/<a id="([^"]+)">/g)].map(([, id = '']) => id));
  const seen = new Map<string, number>();
  for (const [, heading = ''] of text.matchAll(/^#{1,6}\s+(.+?)\s*#*$/gm)) {
    const slug = heading
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\p{M}_\- ]/gu, '')
      .replaceAll(' ', '-');
    const times = seen.get(slug) ?? 0;
    seen.set(slug, times + 1);
    anchors.add(times === 0 ? slug : `${slug}-${times}`);
  }
  return anchors;
}

/** What is wrong with the links of a document, one line each. */
function linkFaults(document: string): string[] {
  const file = join(ROOT, document);
  return targetsOf(file).flatMap((target) => {
    if (/^[a-z][a-z0-9+.-]*:/i.test(target)) return [];
    const [path = '', anchor] = target.split('#');
    const to = path === '' ? file : resolve(dirname(file), decodeURIComponent(path));
    if (relative(ROOT, to).startsWith('..')) return [`${document}: ${target} leaves the repository`];
    if (!existsSync(to)) return [`${document}: ${target} is not there`];
    if (anchor === undefined || anchor === '') return [];
    if (statSync(to).isDirectory() || !to.endsWith('.md')) return [`${document}: ${target} has no anchors`];
    return anchorsOf(to).has(decodeURIComponent(anchor)) ? [] : [`${document}: ${target} has no such heading`];
  });
}

test('every link of every document leads to a file of the repository, and to a heading that is there', () => {
  expect(DOCUMENTS.length).toBeGreaterThan(15);
  expect(DOCUMENTS.flatMap((document) => targetsOf(join(ROOT, document))).length).toBeGreaterThan(50);
  expect(DOCUMENTS.flatMap(linkFaults)).toEqual([]);
});

/**
 * Code spans that are paths from the root: they begin with a folder or a file of it and end with a file's ending or
 * `/`.
 */
function pathsIn(document: string): string[] {
  const spans = [...prose(join(ROOT, document)).matchAll(/`([\w.-]+\/[\w./-]*)`/g)].map(([, span = '']) => span);
  const roots = new Set(readdirSync(ROOT));
  return spans.filter((span) => roots.has(span.split('/')[0] ?? '') && /(\/|\.\w+)$/.test(span));
}

test('every path that the guides of the source tree name is there', () => {
  const guides = ['CONTRIBUTING.md', 'docs/architecture.md', 'docs/versioning.md'];
  expect(guides.flatMap(pathsIn).length).toBeGreaterThan(20);
  const missing = guides.flatMap((guide) =>
    pathsIn(guide)
      .filter((path) => !existsSync(join(ROOT, path)))
      .map((path) => `${guide}: ${path}`),
  );
  expect(missing).toEqual([]);
});

test('the reference of the public API covers every published entry', () => {
  const { exports } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    exports: Record<string, unknown>;
  };
  const { entryPoints } = JSON.parse(readFileSync(join(ROOT, 'typedoc.json'), 'utf8')) as { entryPoints: string[] };
  const published = Object.entries(exports).flatMap(([, to]) => {
    const types = typeof to === 'object' && to !== null && 'types' in to ? String(to.types) : '';
    return types === '' ? [] : [types.replace(/^\.\/dist\//, '').replace(/\.d\.ts$/, '.ts')];
  });
  expect(published.length).toBeGreaterThan(0);
  expect([...entryPoints].sort()).toEqual(published.sort());
});
