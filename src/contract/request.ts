import type { Conform, ConformRules } from './conform.js';
import type { MODEL, Resolution } from './model.js';

/**
 * One request for a video, in the specification's field names.
 *
 * `duration` in seconds, `fps` in frames per second, `size` as `W*H` or `WxH` pixels,
 * `deadline_seconds` in seconds from the start of the run.
 */
export interface VideoRequest {
  readonly model?: typeof MODEL | undefined;
  readonly prompt: string;
  readonly negative_prompt?: string | undefined;
  readonly duration: number;
  readonly fps: number;
  readonly size: string;
  readonly seed?: number | undefined;
  readonly reference_image: string;
  readonly reference_upload?: 'provider' | 'as_is' | undefined;
  readonly reference_fit?: 'adapt' | 'strict' | undefined;
  readonly reference_background?: string | undefined;
  readonly motion_strength?: number | undefined;
  readonly audio?: boolean | undefined;
  readonly audio_url?: string | undefined;
  readonly prompt_extend?: boolean | undefined;
  readonly shot_type?: 'single' | 'multi' | undefined;
  readonly watermark?: boolean | undefined;
  /** What the archived video is made to be, next to the original. */
  readonly conform?: Conform | undefined;
  /** Whether a JPEG of the first frame is stored as well. */
  readonly poster?: boolean | undefined;
  readonly cache?: 'use' | 'refresh' | 'off' | undefined;
  readonly deadline_seconds?: number | undefined;
  readonly tenant?: string | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** Name of the receiver of the run's webhook events, as the workers configure it; default: `default`. */
  readonly receiver?: string | undefined;
}

/** What is made from an archived video. It is no part of the cache key: the video is bought once for all of it. */
export interface PostProduction {
  /** Null: the video stays as it is. */
  readonly conform: ConformRules | null;
  readonly poster: boolean;
}

/** The same request in its one canonical form: defaults filled in, `x` written as `*`. */
export interface CanonicalRequest {
  readonly prompt: string;
  readonly negative_prompt: string | null;
  readonly duration: number;
  readonly fps: number;
  readonly size: string;
  readonly resolution: Resolution;
  readonly seed: number | null;
  readonly reference_image: string;
  readonly reference_upload: 'provider' | 'as_is';
  /** Absent unless it is `strict`, so that requests without it are what they were. */
  readonly reference_fit?: 'strict';
  /** `#rrggbb` in lower case; absent unless it is given. */
  readonly reference_background?: string;
  readonly motion_strength: number | null;
  readonly audio: boolean;
  readonly audio_url: string | null;
  readonly prompt_extend: boolean | null;
  readonly shot_type: 'single' | 'multi' | null;
  readonly watermark: boolean | null;
  /** Absent unless something is to be made from the video, so that requests without it are what they were. */
  readonly delivery?: PostProduction;
  readonly cache: 'use' | 'refresh' | 'off';
  readonly tenant: string | null;
}
