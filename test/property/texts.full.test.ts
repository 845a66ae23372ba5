import { test } from 'vitest';
import { fuzzSeconds } from './media-fuzz.js';
import { fuzzTexts } from './text-fuzz.js';

/** Other inputs than those of the short run, and than those of the run before. */
const seed = Date.now() % 1_000_000_000;

test('minutes of changed requests, answers, manifests, messages and texts keep every promise', {
  timeout: 1_800_000,
}, async () => {
  console.info('texts', seed, await fuzzTexts({ seconds: fuzzSeconds(120), seed }));
});
