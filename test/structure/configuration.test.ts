import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { documentedVariables, variablesInCode } from './environment.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

test('docs/configuration.md documents exactly the variables that the code reads', () => {
  expect(documentedVariables(ROOT).own).toEqual(variablesInCode(ROOT));
});

test('the variables that libraries read are documented apart from ours', () => {
  const { own, libraries } = documentedVariables(ROOT);
  expect(libraries).toEqual(expect.arrayContaining(['TEMPORAL_ADDRESS', 'AWS_ENDPOINT_URL_S3']));
  expect(libraries.filter((name) => own.includes(name))).toEqual([]);
});

test('a variable that only a comment mentions is not taken for one that is read', () => {
  const text = readFileSync(`${ROOT}/src/storage/s3-store.ts`, 'utf8');
  expect(text).toContain('AWS_ENDPOINT_URL_S3');
  expect(variablesInCode(ROOT)).not.toContain('AWS_ENDPOINT_URL_S3');
});
