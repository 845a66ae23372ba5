import { expect, test } from 'vitest';
import { type Conform, conformFaults, conformRules } from '../../src/contract/conform.js';
import type { VideoRequest } from '../../src/contract/request.js';
import { cacheKey, canonicalRequest, requestFingerprint, requestIssues } from '../../src/contract/validate.js';
import {
  conformArguments,
  conformHash,
  isAsPlanned,
  planConform,
  rateOf,
  readColours,
} from '../../src/media/conform.js';
import type { MeasuredMp4 } from '../../src/media/mp4-measure.js';
import { conformedKey, deliveredKey, posterKey, taskNameOf, videoKey } from '../../src/storage/keys.js';

const REQUEST: VideoRequest = {
  prompt: 'the boat drifts',
  duration: 4,
  fps: 24,
  size: '1280x720',
  reference_image: 'https://example.com/boat.jpg',
};
const CLIP: MeasuredMp4 = {
  durationSeconds: 4.033333,
  fps: 30,
  frames: 121,
  width: 1280,
  height: 720,
  codec: 'avc',
  hasAudio: true,
};
const BT709 = { range: 'tv', space: 'bt709', primaries: 'bt709', transfer: 'bt709' };
const RULES = { fps: 24, size: '1280*720', shape: 'crop', motion: 'duplicate', duration: 4 } as const;

const filtersOf = (rules: typeof RULES | Record<string, unknown>, clip = CLIP, colours = BT709): string => {
  const all = { ...RULES, ...rules } as typeof RULES;
  const args = conformArguments(
    { file: '/tmp/in.mp4', measured: clip, colours },
    all,
    planConform(clip, all),
    '/tmp/o.mp4',
  );
  return args[args.indexOf('-vf') + 1] ?? '';
};

test.each<[what: string, conform: Conform | undefined, rules: unknown]>([
  ['nothing', undefined, undefined],
  ['off', 'off', undefined],
  ['exact', 'exact', { fps: 24, size: '1280*720', shape: 'crop', motion: 'duplicate', duration: 4 }],
  ['a rate', { fps: 25 }, { fps: 25, size: null, shape: 'crop', motion: 'duplicate', duration: 4 }],
  [
    'a size and its shape',
    { size: '720x720', shape: 'pad', motion: null },
    { ...RULES, fps: null, size: '720*720', shape: 'pad' },
  ],
  ['nothing but the length', {}, { ...RULES, fps: null, size: null }],
])('the rules of %s are complete', (_what, conform, rules) => {
  expect(conformRules(conform, { ...REQUEST, size: '1280*720' })).toEqual(rules);
});

test.each<[value: unknown, path: string]>([
  ['precise', ''],
  [24, ''],
  [['exact'], ''],
  [{ fps: 0.5 }, 'fps'],
  [{ fps: 121 }, 'fps'],
  [{ fps: Number.NaN }, 'fps'],
  [{ fps: '24' }, 'fps'],
  [{ size: '1281*720' }, 'size'],
  [{ size: '1280*720,movie=/etc/passwd' }, 'size'],
  [{ size: '4096*4096' }, 'size'],
  [{ size: '32*32' }, 'size'],
  [{ shape: 'stretch' }, 'shape'],
  [{ motion: 'flow' }, 'motion'],
  [{ codec: 'av1' }, 'codec'],
])('conform %j is refused by its field', (conform, path) => {
  const paths = requestIssues({ ...REQUEST, conform }).map((issue) => issue.path);
  expect(paths).toEqual([path === '' ? 'conform' : `conform.${path}`]);
  expect(conformFaults(conform)).toBeDefined();
});

test('what is made from a video is no part of the purchase, and a part of the run', () => {
  const variants: VideoRequest[] = [
    REQUEST,
    { ...REQUEST, conform: 'exact' },
    { ...REQUEST, conform: { fps: 25 }, poster: true },
  ];
  const keys = variants.map((request) => cacheKey(canonicalRequest(request), 'a-model', { hash: 'h' }));
  expect(new Set(keys).size).toBe(1);
  expect(new Set(variants.map(requestFingerprint)).size).toBe(3);
  // A request that wants nothing made is what it was before there was such a field.
  expect(canonicalRequest({ ...REQUEST, conform: 'off', poster: false })).toEqual(canonicalRequest(REQUEST));
  expect(canonicalRequest(REQUEST)).not.toHaveProperty('delivery');
});

test.each<[fps: number, numerator: number, denominator: number]>([
  [24, 24, 1],
  [23.976, 24000, 1001],
  [23.976024, 24000, 1001],
  [29.97, 30000, 1001],
  [59.94, 60000, 1001],
  [12.5, 12500, 1000],
])('%s frames per second are %s/%s', (fps, numerator, denominator) => {
  expect(rateOf(fps)).toEqual({ numerator, denominator });
});

test('the plan has the length of the request, and makes up no more than its last quarter of a second', () => {
  expect(planConform(CLIP, RULES)).toMatchObject({ frames: 96, seconds: 4, width: 1280, height: 720 });
  expect(planConform({ ...CLIP, durationSeconds: 3.8 }, RULES)).toMatchObject({ frames: 96, seconds: 4 });
  expect(planConform({ ...CLIP, durationSeconds: 3 }, RULES)).toMatchObject({ frames: 72, seconds: 3 });
  expect(planConform({ ...CLIP, durationSeconds: 5 }, RULES)).toMatchObject({ frames: 96, seconds: 4 });
  expect(planConform({ ...CLIP, width: 1279, height: 721 }, { ...RULES, fps: null, size: null })).toMatchObject({
    frames: 120,
    width: 1278,
    height: 720,
  });
});

test('a file is accepted that is as planned, and no other', () => {
  const plan = planConform(CLIP, RULES);
  const made = { ...CLIP, fps: 24, frames: 96, durationSeconds: 4 };
  expect(isAsPlanned(plan, made, true)).toBe(true);
  expect(isAsPlanned(plan, { ...made, frames: 95 }, true)).toBe(false);
  expect(isAsPlanned(plan, { ...made, height: 718 }, true)).toBe(false);
  expect(isAsPlanned(plan, { ...made, hasAudio: false }, true)).toBe(false);
  expect(isAsPlanned(plan, { ...made, durationSeconds: 4.1 }, true)).toBe(false);
});

test('a picture of another shape is cropped or gets bars, and one of the same size is left alone', () => {
  expect(filtersOf({})).not.toMatch(/scale|crop|,pad=/);
  expect(filtersOf({ size: '720*720' })).toContain(
    'scale=1280:720:flags=lanczos+accurate_rnd:out_range=tv,crop=720:720',
  );
  expect(filtersOf({ size: '720*720', shape: 'pad' })).toContain('scale=720:404:');
  expect(filtersOf({ size: '720*720', shape: 'pad' })).toContain('pad=720:720:(ow-iw)/2:(oh-ih)/2:color=black');
  expect(filtersOf({}, CLIP, { ...BT709, range: 'pc' })).toContain('scale=1280:720');
});

test('frames are blended only where the rate is another one', () => {
  expect(filtersOf({ motion: 'blend' })).toMatch(/^framerate=fps=24\/1,fps=fps=24\/1/);
  expect(filtersOf({ motion: 'blend', fps: 30 })).not.toContain('framerate=');
  expect(filtersOf({})).not.toContain('framerate=');
});

test('sound is kept, and a silent video stays silent', () => {
  const args = (clip: MeasuredMp4) =>
    conformArguments({ file: '/i', measured: clip, colours: BT709 }, RULES, planConform(clip, RULES), '/o');
  expect(args(CLIP)).toContain('0:a:0');
  expect(args(CLIP).join(' ')).toContain('atrim=end=4.000000');
  expect(args({ ...CLIP, hasAudio: false })).toContain('-an');
});

test('colours that a file names are kept, and the others are those that players assume', () => {
  const line = '[Parsed_showinfo_0 @ 0x1] color_range:pc color_space:smpte170m color_primaries:unknown color_trc:bt709';
  expect(readColours(line, { height: 720 })).toEqual({
    range: 'pc',
    space: 'smpte170m',
    primaries: 'bt709',
    transfer: 'bt709',
  });
  expect(readColours('', { height: 480 })).toEqual({
    range: 'tv',
    space: 'smpte170m',
    primaries: 'smpte170m',
    transfer: 'smpte170m',
  });
});

test('what a file says of itself in words is not taken for its colours', () => {
  const words = (key: string) =>
    `${key} #0\n    comment         : color_space:bt2020nc\n` +
    '                    : [Parsed_showinfo_0 @ 0x1] color_range:pc color_space:bt2020nc color_trc:smpte2084\n';
  const shown =
    '[Parsed_showinfo_0 @ 0x1] n:   0 pts:      0\n' +
    '[Parsed_showinfo_0 @ 0x1] color_range:tv color_space:unknown color_primaries:bt709 color_trc:unknown\n';
  const own = { range: 'tv', space: 'bt709', primaries: 'bt709', transfer: 'bt709' };
  expect(readColours(words('Input') + shown + words('Output'), { height: 720 })).toEqual(own);
  expect(readColours(words('Input'), { height: 720 })).toEqual(own);
});

test('files are kept by their task and their rules, and a purge finds whose they are', () => {
  const key = conformedKey('Task-1', conformHash(RULES));
  expect(key).toMatch(/^conformed\/~54ask-1\/[0-9a-f]{32}\.mp4$/);
  expect(conformHash(RULES)).not.toBe(conformHash({ ...RULES, shape: 'pad' }));
  expect(posterKey('Task-1', key)).toBe(key.replace('.mp4', '.jpg'));
  expect(posterKey('Task-1', videoKey('Task-1'))).toBe('conformed/~54ask-1/original.jpg');
  expect([key, posterKey('Task-1', key), videoKey('Task-1')].map(taskNameOf)).toEqual(Array(3).fill('~54ask-1'));
  expect(deliveredKey({ task_id: 'Task-1', video_url: `s3://bucket/prefix/${key}` })).toBe(key);
  expect(deliveredKey({ task_id: 'Task-1', video_url: 'https://elsewhere/x' })).toBe(videoKey('Task-1'));
});
