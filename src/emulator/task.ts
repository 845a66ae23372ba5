import { createHash, randomUUID } from 'node:crypto';
import type { EmulatorSettings } from './settings.js';
import type { Json } from './wire.js';

/** Status of a task as in the provider's API. */
export type EmulatorTaskStatus = 'PENDING' | 'RUNNING' | 'SUCCEEDED' | 'FAILED' | 'CANCELED';

/** Why a task ends FAILED; the real service sometimes leaves out both. */
export interface TaskFailure {
  code?: string;
  message?: string;
}

/** A task; times are epoch milliseconds of the provider's clock, null until reached (or until scheduled). */
export interface EmulatorTask {
  task_id: string;
  request_id: string;
  /** Whether it came by the API or, as a task of other software, by the control interface. */
  source: 'api' | 'control';
  account: string;
  api_key_id: string;
  /** `X-DashScope-WorkSpace` of the submit. */
  workspace: string | null;
  model: string;
  status: EmulatorTaskStatus;
  prompt: string;
  /** `input` as it was received, nulls included, with data URIs shortened to their type and length. */
  input: Json;
  /** `parameters` as they were received, nulls and unknown ones included. */
  parameters: Json;
  submit_ms: number;
  /** Start of rendering, may lie in the future while PENDING. */
  start_ms: number | null;
  /** End of rendering, lies in the future while RUNNING. */
  end_ms: number | null;
  /** Seconds charged: the duration once SUCCEEDED, else 0. */
  billed_seconds: number;
  /** Seconds of video. */
  duration: number;
  /** Tier: 720 or 1080. */
  sr: number;
  audio: boolean;
  /** Result size in pixels. */
  width: number;
  height: number;
  seed: number;
  /** SHA-256 of the caller's picture, with which the result begins; null: a plain clip. */
  picture: string | null;
  /** Size to which the result is padded, in bytes. */
  min_bytes: number;
  /** Set when the task ends FAILED instead of SUCCEEDED. */
  failure: TaskFailure | null;
  /** Rendering time in milliseconds after jitter, before speed. */
  render_ms: number;
  /** Whether the service denies knowing it (UNKNOWN, not listed) although it is there. */
  forgotten: boolean;
}

/** What a new task is made from. */
export interface TaskSpec {
  request_id: string;
  source: EmulatorTask['source'];
  account: string;
  key: string;
  workspace: string | null;
  model: string;
  input: Json;
  parameters: Json;
  /** Size of the first frame; without it the settings' `aspect` is assumed. */
  image?: { width: number; height: number } | undefined;
  /** SHA-256 of the picture that the result shows. */
  picture?: string | null;
  failure?: TaskFailure | null;
  /** Rendering time in milliseconds before speed, instead of the usual one. */
  render_ms?: number | undefined;
  /** How long ago it was submitted, in milliseconds. */
  age_ms?: number | undefined;
}

/** The documents' two samples rendered 10 s at 720P in 59 and 73 s; 1080P has 2.25 times the pixels and was not measured. */
const RENDER_SECONDS_PER_SECOND = 6.3;
const RENDER_FACTOR_1080P = 1.6;

/** Longest prompt; the rest is cut without a word. */
const MAX_PROMPT = 1500;

/**
 * A new task, PENDING, which the clockwork has not looked at.
 * @param index - tasks made before it: with the settings' seed it decides the deviation of its rendering time.
 */
export function makeTask(spec: TaskSpec, settings: EmulatorSettings, nowMs: number, index: number): EmulatorTask {
  const { input, parameters, image } = spec;
  const sr = parameters['resolution'] === '720P' ? 720 : 1080; // the dearer tier is the documented default
  const duration = typeof parameters['duration'] === 'number' ? parameters['duration'] : 5;
  const task_id = randomUUID();
  const aspect = image === undefined ? settings.aspect : image.width / image.height;
  return {
    task_id,
    request_id: spec.request_id,
    source: spec.source,
    account: spec.account,
    api_key_id: String(hash(spec.key) % 1_000_000),
    workspace: spec.workspace,
    model: spec.model,
    status: 'PENDING',
    prompt: [...String(input['prompt'] ?? '')].slice(0, MAX_PROMPT).join(''),
    input: shortened(input),
    parameters: shortened(parameters),
    submit_ms: nowMs - (spec.age_ms ?? 0),
    start_ms: null,
    end_ms: null,
    billed_seconds: 0,
    duration,
    sr,
    audio: parameters['audio'] !== false, // sound is the documented default
    ...outputSize(sr, aspect, settings.geometry_multiple),
    seed: typeof parameters['seed'] === 'number' ? parameters['seed'] : hash(task_id) >>> 1,
    picture: spec.picture ?? null,
    min_bytes: settings.result_min_bytes,
    failure: spec.failure ?? null,
    render_ms: spec.render_ms ?? renderMs(duration, sr, settings, index),
    forgotten: false,
  };
}

/** Whether the task has reached an end. */
export function isOver(task: EmulatorTask): boolean {
  return task.status !== 'PENDING' && task.status !== 'RUNNING';
}

function renderMs(duration: number, sr: number, settings: EmulatorSettings, index: number): number {
  const { render_seconds, jitter, seed } = settings;
  const usual = duration * RENDER_SECONDS_PER_SECOND * (sr === 1080 ? RENDER_FACTOR_1080P : 1);
  const deviation = (hash(`${seed}:${index}`) / 0xffffffff) * 2 - 1;
  return Math.round((render_seconds ?? usual) * 1000 * (1 + jitter * deviation));
}

/** A number that looks random but is the same for the same text, in 0..2^32-1. */
function hash(text: string): number {
  return createHash('sha256').update(text).digest().readUInt32BE();
}

function outputSize(sr: number, aspect: number, multiple: number): { width: number; height: number } {
  const pixels = sr === 720 ? 921_600 : 2_073_600;
  // A hair more, so that 1280 x 720 does not become 1278 x 718 by the rounding of square roots.
  const floor = (x: number): number => Math.max(multiple, Math.floor(x / multiple + 1e-9) * multiple);
  return { width: floor(Math.sqrt(pixels * aspect)), height: floor(Math.sqrt(pixels / aspect)) };
}

/** The object with data URIs cut to what a test can assert: type and number of characters. */
function shortened(object: Json): Json {
  const short = (value: unknown): unknown => {
    const data = typeof value === 'string' ? /^data:[^,]{0,100},/i.exec(value)?.[0] : undefined;
    return data === undefined ? value : `${data}… (${String(value).length} characters)`;
  };
  return Object.fromEntries(Object.entries(structuredClone(object)).map(([name, value]) => [name, short(value)]));
}
