import { test } from 'vitest';
import { fuzzImageHeaders, fuzzImages, fuzzMp4, fuzzSeconds } from './media-fuzz.js';

/** Other files than those of the short run, and than those of the run before. */
const seed = Date.now() % 1_000_000_000;

test('minutes of damaged MP4 files and images keep every promise', { timeout: 1_800_000 }, async () => {
  const seconds = fuzzSeconds(120);
  console.info('MP4', await fuzzMp4({ seconds, seed }));
  console.info('image headers', await fuzzImageHeaders({ seconds, seed }));
  console.info('images', await fuzzImages({ seconds, seed }));
});
