import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';
import { expect, test, vi } from 'vitest';
import { COMPILE_TIMEOUT_MS } from '../support/compile-timeout.js';
import { bundleFaults, bundleModules } from './bundle-modules.js';

vi.setConfig({ testTimeout: COMPILE_TIMEOUT_MS });

const fixture = (name: string) => fileURLToPath(new URL(`./fixtures/${name}`, import.meta.url));
const bundle = (workflowsPath: string, log: string[] = []) =>
  bundleWorkflowCode({ workflowsPath, logger: new DefaultLogger('ERROR', ({ message }) => void log.push(message)) });

test('zod in a workflow is caught by its module names', async () => {
  const { code } = await bundle(fixture('workflow-with-zod.ts'));
  expect(bundleFaults(bundleModules(code)).filter((name) => name.includes('/node_modules/zod/'))).not.toEqual([]);
});

test('a node module in a workflow does not bundle at all', async () => {
  const log: string[] = [];
  await expect(bundle(fixture('workflow-with-node.ts'), log)).rejects.toThrow('Webpack finished with errors');
  expect(log.join('\n')).toContain('node:fs');
});
