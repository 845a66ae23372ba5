/** The only model of this product; the specification allows no alias and no date suffix. */
export const MODEL = 'wan2.6-i2v-flash';

/**
 * Defaults of command and demo (duration in seconds, frames per second, `W*H`): those of the specification's quick
 * start, but for its 24 frames per second. The provider renders 30, so that 24 would end every default run with a
 * warning; `conform: 'exact'` makes 24 of it.
 */
export const QUICK_START = { duration: 4, fps: 30, size: '1280*720' } as const;

/** Billing and pixel tier of the provider: 720P has 921 600 pixels, 1080P has 2 073 600. */
export type Resolution = '720P' | '1080P';

/** Supported sizes and the tier that each selects; the shape of the video follows the image. */
export const SIZES: Readonly<Record<string, Resolution>> = {
  '1280*720': '720P',
  '720*1280': '720P',
  '960*960': '720P',
  '1088*832': '720P',
  '832*1088': '720P',
  '1920*1080': '1080P',
  '1080*1920': '1080P',
  '1440*1440': '1080P',
  '1632*1248': '1080P',
  '1248*1632': '1080P',
};

/** Limits of the request's fields; lengths in characters, duration in seconds. */
export const LIMITS = {
  /** The provider accepts whole seconds from 2 to 15. */
  durationMin: 2,
  durationMax: 15,
  fpsMin: 1,
  fpsMax: 120,
  /** Largest 32-bit signed integer, the provider's bound. */
  seedMax: 2_147_483_647,
  /** The provider truncates a longer prompt silently, so it is refused here. */
  promptMax: 1500,
  negativePromptMax: 500,
  /** A data URI is part of workflow history (2 MB per payload), so it is kept small: 256 KiB decoded. */
  dataUriBytesMax: 256 * 1024,
  /** Signed links have some 2,000 characters. */
  urlMax: 8_192,
  tenantMax: 64,
  /** Videos of one request: a slip of the finger should not buy a thousand. */
  takesMax: 50,
  labelsMax: 64,
  labelNameMax: 100,
} as const;
