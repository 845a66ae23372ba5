import { expect, test } from 'vitest';
import { fuzzImageHeaders, fuzzImages, fuzzMp4, fuzzSeconds } from './media-fuzz.js';

test('damaged MP4 files end within their bounds, by typed faults, and none that is cut is verified', async () => {
  const { files, refused, kept } = await fuzzMp4({ seconds: fuzzSeconds(3), seed: 1 });
  expect(Math.min(files, refused, kept)).toBeGreaterThan(0);
});

test('damaged images end within their bounds, by typed faults, and none that is cut is taken', async () => {
  const { files, refused } = await fuzzImages({ seconds: fuzzSeconds(1), seed: 1 });
  expect(Math.min(files, refused)).toBeGreaterThan(0);
});

test('headers of damaged images are read within the file, and no metadata is left where it is removed', async () => {
  const { files, accepted, kept } = await fuzzImageHeaders({ seconds: fuzzSeconds(1), seed: 1 });
  expect(Math.min(files, accepted, kept)).toBeGreaterThan(0);
});
