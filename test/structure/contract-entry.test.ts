import { runInNewContext } from 'node:vm';
import { build } from 'esbuild';
import { expect, test } from 'vitest';
import { parseRequest, requestFingerprint } from '../../src/contract/index.js';
import { ROOT } from '../support/root.js';

const request = {
  prompt: 'the boat drifts slowly over the calm lake',
  duration: 4,
  fps: 24,
  size: '1280x720',
  reference_image: 'https://example.com/lake.jpg',
  labels: { season: 'spring' },
};

test('the contract is bundled for a browser without a module of Node and without zod, and works there', async () => {
  const { outputFiles, metafile } = await build({
    stdin: { contents: "export * from './src/contract/index.js';", resolveDir: ROOT },
    bundle: true,
    write: false,
    metafile: true,
    platform: 'browser',
    format: 'iife',
    globalName: 'contract',
  });
  const foreign = Object.keys(metafile.inputs).filter((name) => !/^(<stdin>$|src\/contract\/)/.test(name));
  expect(foreign.filter((name) => !name.includes('node_modules/@noble/hashes/'))).toEqual([]);
  // What browsers and Temporal's sandbox both have, and nothing else: no process, no Buffer, no require.
  const code = `${outputFiles[0]?.text}\nJSON.stringify([
    contract.parseRequest(request), contract.requestFingerprint(contract.parseRequest(request)),
    contract.requestIssues({}).length])`;
  const [parsed, fingerprint, issues] = JSON.parse(runInNewContext(code, { request, TextEncoder })) as unknown[];
  expect(parsed).toEqual(parseRequest(request));
  expect(fingerprint).toBe(requestFingerprint(parseRequest(request)));
  expect(issues).toBe(5);
});
