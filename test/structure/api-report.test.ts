import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ROOT } from '../support/root.js';
import { apiReports, ENTRIES } from './api-report.js';

const reports = apiReports(ROOT);

test.each(ENTRIES)('docs/api/%s.api.md is what the entry publishes; `npm run api` writes it', async (entry) => {
  await expect(reports.get(entry)).toMatchFileSnapshot(join(ROOT, 'docs', 'api', `${entry}.api.md`));
});

test('the client, the store and the worker name no type that no entry exports', () => {
  const texts = [...reports].map(([entry, text]) => ({ entry, parts: text.split('// Named by the above') }));
  const namesIn = (text = '') =>
    [...text.matchAll(/^(?:interface|class|type|const|function) (\w+)/gm)].map(([, name = '']) => name);
  const exported = texts.flatMap(({ parts: [own] }) => namesIn(own));
  const named = texts
    .filter(({ entry }) => ['client', 'contract', 'store', 'worker'].includes(entry))
    .flatMap(({ parts: [, others] }) => namesIn(others));
  expect(named.filter((name) => !exported.includes(name))).toEqual([]);
});
