/** The only model this client buys from. */
export const MODEL = 'wan2.6-i2v-flash';

export type Resolution = '720P' | '1080P';
export type ShotType = 'single' | 'multi';

/** Everything a generation says to the provider; `duration` in seconds, `img_url` http(s), `oss://` or data URI. */
export interface CreateTaskInput {
  readonly prompt: string;
  readonly negative_prompt?: string | undefined;
  readonly img_url: string;
  readonly audio_url?: string | undefined;
  readonly duration: number;
  readonly fps: number;
  readonly size: string;
  readonly resolution: Resolution;
  readonly seed: number;
  readonly motion_strength?: number | undefined;
  readonly audio: boolean;
  readonly prompt_extend?: boolean | undefined;
  readonly shot_type?: ShotType | undefined;
  readonly watermark?: boolean | undefined;
}

/** The JSON body of `POST /services/aigc/video-generation/video-synthesis`. */
export interface CreateTaskRequest {
  readonly model: string;
  readonly input: Readonly<{ prompt: string; img_url: string; negative_prompt?: string; audio_url?: string }>;
  readonly parameters: Readonly<{
    resolution: Resolution;
    duration: number;
    seed: number;
    audio: boolean;
    fps: number;
    size: string;
    motion_strength?: number;
    prompt_extend?: boolean;
    shot_type?: ShotType;
    watermark?: boolean;
  }>;
}

/**
 * Builds the submit body; pure. The provider documents every parameter but `fps`, `size` and `motion_strength`,
 * which are forwarded as the official SDK does: it takes what it knows and ignores the rest.
 */
export function buildCreateTask(task: CreateTaskInput): CreateTaskRequest {
  const { negative_prompt, audio_url, motion_strength, prompt_extend, shot_type, watermark } = task;
  return {
    model: MODEL,
    input: {
      prompt: task.prompt,
      img_url: task.img_url,
      ...(negative_prompt !== undefined && { negative_prompt }),
      ...(audio_url !== undefined && { audio_url }),
    },
    parameters: {
      resolution: task.resolution,
      duration: task.duration,
      seed: task.seed,
      audio: task.audio,
      fps: task.fps,
      size: task.size,
      ...(motion_strength !== undefined && { motion_strength }),
      ...(prompt_extend !== undefined && { prompt_extend }),
      ...(shot_type !== undefined && { shot_type }),
      ...(watermark !== undefined && { watermark }),
    },
  };
}
