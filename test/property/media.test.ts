import { expect, test } from 'vitest';
import { fuzzImages, fuzzMp4, fuzzSeconds } from './media-fuzz.js';

test('damaged MP4 files end within their bounds, by typed faults, and none that is cut is verified', async () => {
  const { files, refused, kept } = await fuzzMp4({ seconds: fuzzSeconds(3), seed: 1 });
  expect(Math.min(files, refused, kept)).toBeGreaterThan(0);
});

test('damaged images end within their bounds, by typed faults, and none that is cut is taken', async () => {
  const { files, refused } = await fuzzImages({ seconds: fuzzSeconds(1), seed: 1 });
  expect(Math.min(files, refused)).toBeGreaterThan(0);
});
