import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';
import { expect, test } from 'vitest';
import { bundleFaults, bundleModules } from './bundle-modules.js';

const BUNDLE = fileURLToPath(new URL('../../dist/workflow-bundle.js', import.meta.url));
const fixture = (name: string) => fileURLToPath(new URL(`./fixtures/${name}`, import.meta.url));
const bundle = (workflowsPath: string, log: string[] = []) =>
  bundleWorkflowCode({ workflowsPath, logger: new DefaultLogger('ERROR', ({ message }) => void log.push(message)) });

test('the workflow bundle holds our workflows, the contract’s plain part and Temporal, and nothing else', async () => {
  const modules = bundleModules(await readFile(BUNDLE, 'utf8'));
  expect(modules).toContain('./dist/workflows/video-generate.js');
  expect(modules).toContain('./node_modules/@temporalio/workflow/lib/index.js');
  expect(bundleFaults(modules)).toEqual([]);
});

test('the code of the workflow bundle stays below 800 kB', async () => {
  // Temporal's own part is some 550 kB, ours 100; zod alone would add 500. Each cached workflow's context is made from this. The inline source
  // map behind it is twice as large, and read only when a stack is shown.
  const text = await readFile(BUNDLE, 'utf8');
  expect(text.lastIndexOf('//# sourceMappingURL')).toBeGreaterThan(0);
  expect(text.lastIndexOf('//# sourceMappingURL')).toBeLessThan(800_000);
});

test('zod in a workflow is caught by its module names', async () => {
  const { code } = await bundle(fixture('workflow-with-zod.ts'));
  expect(bundleFaults(bundleModules(code)).filter((name) => name.includes('/node_modules/zod/'))).not.toEqual([]);
});

test('a node module in a workflow does not bundle at all', async () => {
  const log: string[] = [];
  await expect(bundle(fixture('workflow-with-node.ts'), log)).rejects.toThrow('Webpack finished with errors');
  expect(log.join('\n')).toContain('node:fs');
});

test.each([
  './node_modules/zod/index.js',
  './node_modules/@aws-sdk/client-s3/dist-cjs/index.js',
  './node_modules/undici/index.js',
  './node_modules/@temporalio/common/node_modules/zod/index.js',
  'node:crypto',
  'external "node:fs"',
  'assert (ignored)',
  './dist/src/contract/request.schema.js',
  './dist/src/net/spool.js',
  './dist/activities/submit-task.js',
])('%s does not belong into the bundle', (name) => {
  expect(bundleFaults([name])).toEqual([name]);
});
