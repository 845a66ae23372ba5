import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ROOT } from '../support/root.js';
import { apiReports, ENTRIES } from './api-report.js';

const reports = apiReports(ROOT);

test.each(ENTRIES)('docs/api/%s.api.md is what the entry publishes; `npm run api` writes it', async (entry) => {
  await expect(reports.get(entry)).toMatchFileSnapshot(join(ROOT, 'docs', 'api', `${entry}.api.md`));
});
