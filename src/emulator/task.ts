import { randomUUID } from 'node:crypto';
import type { ImageSize } from './image.js';
import { pseudorandomInteger } from './pseudorandom.js';
import type { EmulatorSettings } from './settings.js';
import type { EmulatorTaskStatus } from './task-status.js';
import type { Json } from './wire.js';

/** Why a task ended FAILED; the real service sometimes omits both fields. */
export interface TaskFailure {
  code?: string;
  message?: string;
}

/** A task. Times are epoch milliseconds of the provider's clock, null until they are known. */
export interface EmulatorTask {
  task_id: string;
  request_id: string;
  /** Whether the API created it or, as a task of other software, the control interface. */
  source: 'api' | 'control';
  account: string;
  api_key_id: string;
  /** `X-DashScope-WorkSpace` of the submit. */
  workspace: string | null;
  model: string;
  status: EmulatorTaskStatus;
  prompt: string;
  /** `input` as received, nulls included; data URIs are shortened to type and length. */
  input: Json;
  /** `parameters` as received, nulls and unknown fields included. */
  parameters: Json;
  submit_ms: number;
  /** Start of rendering; may be in the future while PENDING. */
  start_ms: number | null;
  /** End of rendering; in the future while RUNNING. */
  end_ms: number | null;
  /** Seconds charged: the duration of a SUCCEEDED task, else 0. */
  billed_seconds: number;
  /** Length of the video in seconds. */
  duration: number;
  /** Tier: 720 or 1080. */
  sr: number;
  audio: boolean;
  /** Width of the result in pixels. */
  width: number;
  /** Height of the result in pixels. */
  height: number;
  seed: number;
  /** SHA-256 of the caller's picture, which the result shows; null: the result is a plain clip. */
  picture: string | null;
  /** Size in bytes to which the result is padded. */
  min_bytes: number;
  /** Set for a task that ends FAILED instead of SUCCEEDED. */
  failure: TaskFailure | null;
  /** Rendering time in milliseconds after jitter, before speed. */
  render_ms: number;
  /** Whether the service denies knowing the task (UNKNOWN, not listed), which continues nevertheless. */
  forgotten: boolean;
}

/** Properties from which a task is created. */
export interface TaskSpec {
  request_id: string;
  source: EmulatorTask['source'];
  account: string;
  key: string;
  workspace: string | null;
  model: string;
  input: Json;
  parameters: Json;
  /** Size of the first frame; without it the setting `aspect` is assumed. */
  image?: ImageSize | undefined;
  /** SHA-256 of the picture that the result shows. */
  picture?: string | null;
  failure?: TaskFailure | null;
  /** Rendering time in milliseconds before speed; default: by duration and tier. */
  render_ms?: number | undefined;
  /** Time since the submit, in milliseconds. */
  age_ms?: number | undefined;
}

/** Two documented samples of 10 s at 720P took 59 and 73 s; 1080P has 2.25 times the pixels and was not measured. */
const RENDER_SECONDS_PER_SECOND = 6.3;
const RENDER_FACTOR_1080P = 1.6;

/** Longest prompt in characters; the service ignores the rest. */
const MAX_PROMPT_LENGTH = 1500;

/**
 * Creates a PENDING task that is not scheduled yet.
 * @param index - number of tasks created before; with the setting `seed` it determines the jitter.
 */
export function createTask(spec: TaskSpec, settings: EmulatorSettings, nowMs: number, index: number): EmulatorTask {
  const { input, parameters, image } = spec;
  const sr = parameters['resolution'] === '720P' ? 720 : 1080; // The more expensive tier is the documented default.
  const duration = typeof parameters['duration'] === 'number' ? parameters['duration'] : 5;
  const task_id = randomUUID();
  const aspect = image === undefined ? settings.aspect : image.width / image.height;
  return {
    task_id,
    request_id: spec.request_id,
    source: spec.source,
    account: spec.account,
    api_key_id: String(pseudorandomInteger(spec.key) % 1_000_000),
    workspace: spec.workspace,
    model: spec.model,
    status: 'PENDING',
    prompt: [...String(input['prompt'] ?? '')].slice(0, MAX_PROMPT_LENGTH).join(''),
    input: shortened(input),
    parameters: shortened(parameters),
    submit_ms: nowMs - (spec.age_ms ?? 0),
    start_ms: null,
    end_ms: null,
    billed_seconds: 0,
    duration,
    sr,
    audio: parameters['audio'] !== false, // Sound is the documented default.
    ...outputSize(sr, aspect, settings.geometry_multiple),
    seed: typeof parameters['seed'] === 'number' ? parameters['seed'] : pseudorandomInteger(task_id) >>> 1,
    picture: spec.picture ?? null,
    min_bytes: settings.result_min_bytes,
    failure: spec.failure ?? null,
    render_ms: spec.render_ms ?? renderMs(duration, sr, settings, index),
    forgotten: false,
  };
}

/** Whether the task has ended. */
export function hasEnded(task: EmulatorTask): boolean {
  return task.status !== 'PENDING' && task.status !== 'RUNNING';
}

function renderMs(duration: number, sr: number, settings: EmulatorSettings, index: number): number {
  const { render_seconds, jitter, seed } = settings;
  const usual = duration * RENDER_SECONDS_PER_SECOND * (sr === 1080 ? RENDER_FACTOR_1080P : 1);
  const deviation = (pseudorandomInteger(`${seed}:${index}`) / 0xffffffff) * 2 - 1;
  return Math.round((render_seconds ?? usual) * 1000 * (1 + jitter * deviation));
}

function outputSize(sr: number, aspect: number, multiple: number): ImageSize {
  const pixels = sr === 720 ? 921_600 : 2_073_600;
  // The small addend keeps 1280 x 720 from becoming 1278 x 718 by the rounding of square roots.
  const floor = (x: number): number => Math.max(multiple, Math.floor(x / multiple + 1e-9) * multiple);
  return { width: floor(Math.sqrt(pixels * aspect)), height: floor(Math.sqrt(pixels / aspect)) };
}

/** Returns the object with data URIs reduced to their type and number of characters. */
function shortened(object: Json): Json {
  const shorten = (value: unknown): unknown => {
    const data = typeof value === 'string' ? /^data:[^,]{0,100},/i.exec(value)?.[0] : undefined;
    return data === undefined ? value : `${data}… (${String(value).length} characters)`;
  };
  return Object.fromEntries(Object.entries(structuredClone(object)).map(([name, value]) => [name, shorten(value)]));
}
