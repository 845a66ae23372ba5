import { MODEL, type Resolution } from '../contract/model.js';

/**
 * Everything a generation says to the provider; `duration` in seconds, `img_url` http(s), `oss://` or data URI. Null:
 * not said.
 */
export interface CreateTaskInput {
  readonly prompt: string;
  readonly negative_prompt: string | null;
  readonly img_url: string;
  readonly audio_url: string | null;
  readonly duration: number;
  readonly fps: number;
  readonly size: string;
  readonly resolution: Resolution;
  readonly seed: number;
  readonly motion_strength: number | null;
  readonly audio: boolean;
  readonly prompt_extend: boolean | null;
  readonly shot_type: 'single' | 'multi' | null;
  readonly watermark: boolean | null;
}

/** The JSON body of `POST /services/aigc/video-generation/video-synthesis`. */
export interface CreateTaskRequest {
  readonly model: string;
  readonly input: { readonly prompt: string; readonly img_url: string } & Readonly<Record<string, string>>;
  readonly parameters: Readonly<Record<string, string | number | boolean>>;
}

/**
 * Builds the submit body; pure. The provider documents every parameter but `fps`, `size` and `motion_strength`,
 * which are forwarded as the official SDK does: it takes what it knows and ignores the rest.
 */
export function buildCreateTask(task: CreateTaskInput): CreateTaskRequest {
  const { prompt, negative_prompt, img_url, audio_url } = task;
  const { resolution, duration, seed, audio, fps, size, motion_strength, prompt_extend, shot_type, watermark } = task;
  return {
    model: MODEL,
    input: { prompt, img_url, ...said({ negative_prompt, audio_url }) },
    parameters: said({
      resolution,
      duration,
      seed,
      audio,
      prompt_extend,
      shot_type,
      watermark,
      fps,
      size,
      motion_strength,
    }),
  };
}

/** Leaves out what is null: the provider's own default then holds. */
function said<T>(fields: Record<string, T | null>): Record<string, T> {
  return Object.fromEntries(Object.entries(fields).filter((entry): entry is [string, T] => entry[1] !== null));
}
