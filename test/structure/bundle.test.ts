import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { bundleFaults, bundleModules } from './bundle-modules.js';

const BUNDLE = fileURLToPath(new URL('../../dist/workflow-bundle.js', import.meta.url));

test('the workflow bundle holds our workflows, the contract’s plain part and Temporal, and nothing else', async () => {
  const modules = bundleModules(await readFile(BUNDLE, 'utf8'));
  expect(modules).toContain('./dist/workflows/video/video-generate.js');
  expect(modules).toContain('./node_modules/@temporalio/workflow/lib/index.js');
  expect(bundleFaults(modules)).toEqual([]);
});

test('the code of the workflow bundle stays below 1,000 kB', async () => {
  // Temporal's own part is some 520 kB, ours 370 with its comments; zod alone would add 500. Each cached workflow's
  // context is made from this. The inline source map behind it is twice as large, and read only when a stack is shown.
  const text = await readFile(BUNDLE, 'utf8');
  expect(text.lastIndexOf('//# sourceMappingURL')).toBeGreaterThan(0);
  expect(text.lastIndexOf('//# sourceMappingURL')).toBeLessThan(1_000_000);
});

test.each([
  './node_modules/zod/index.js',
  './node_modules/@aws-sdk/client-s3/dist-cjs/index.js',
  './node_modules/undici/index.js',
  './node_modules/@temporalio/common/node_modules/zod/index.js',
  'node:crypto',
  'external "node:fs"',
  'assert (ignored)',
  './dist/src/net/spool.js',
  './dist/activities/submit-task.js',
])('%s does not belong into the bundle', (name) => {
  expect(bundleFaults([name])).toEqual([name]);
});
