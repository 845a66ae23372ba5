import { z } from 'zod';
import { type DriftRule, driftRules } from './drift.js';
import { ApiError } from './wire.js';

/** Settings, which can be changed while the emulator runs. */
export interface EmulatorSettings {
  /** Factor by which rendering (and queueing) is faster than real time. */
  speed: number;
  /** Tasks of an account that render concurrently. */
  slots: number;
  /** Handling of a submit when all slots are in use: the task waits as PENDING, or the submit is answered 429. */
  beyond_slots: 'queue' | 'refuse';
  /** Rendering time of a task in seconds before jitter and speed; null: 6.3 s per second of video, at 1080P 10 s. */
  render_seconds: number | null;
  /** Largest deviation of the rendering time as a fraction (0.05 = ±5 %). */
  jitter: number;
  /** Seed of the jitter. */
  seed: number;

  /** Accepted keys; null: every key that is not empty. Removing a key revokes it. */
  api_keys: string[] | null;
  /** Account by key; keys that are not named belong to the account "default". */
  accounts: Record<string, string>;
  /** Models that exist. */
  models: string[];

  /** Submits per second and account; 0: no limit. */
  submit_rate: number;
  /** Queries, lists and cancels, each per second and account; 0: no limit. */
  query_rate: number;
  /** Upload policies per second, account and model; 0: no limit. */
  policy_rate: number;
  /** `code` of the 429 answers. */
  throttle_code: string;
  /** `Retry-After` of the 429 answers in seconds; null: none, because no document mentions one. */
  throttle_retry_after: number | null;

  /** Handling of invalid fields: 400 at the submit, or a task that ends FAILED. */
  validation: 'submit' | 'task';
  /** Whether parameters that the service does not document (`size`, `fps`, …) are ignored or refused. */
  unknown_parameters: 'ignore' | 'refuse';
  /** Largest body of a submit in bytes; null: 110 MiB, the server's own limit. */
  body_max_bytes: number | null;

  /** Milliseconds until a new task appears in the list. */
  list_lag_ms: number;
  /** Milliseconds by which the list's statuses are older than those of queries. */
  list_stale_ms: number;
  /** Milliseconds by which the list's clock is ahead: its times and the window it filters by. */
  list_skew_ms: number;
  /** Largest `page_size`; a larger one is reduced to it. */
  list_page_max: number;
  /** Order of the rows by submit time. */
  list_order: 'newest' | 'oldest';
  /** Zone of the list's `start_time` and `end_time`, in hours east of UTC. */
  list_utc_offset_hours: number;
  /** Whether the list is answered 403. */
  list_refused: boolean;

  /** `orig_prompt` of a result: as sent, its first half, with words added, or absent. */
  orig_prompt: 'sent' | 'truncated' | 'rewritten' | 'absent';
  /** Even number of pixels of which the result's width and height are multiples. */
  geometry_multiple: number;
  /** Aspect ratio (width by height) assumed for http(s) images, whose size is not known at the submit. */
  aspect: number;
  /**
   * Content of the results of new tasks: coloured bars, made within milliseconds, or the caller's picture (JPEG or PNG)
   * in motion, which takes a second of one core for 5 s at 720P.
   */
  clip: 'plain' | 'picture';
  /** Bytes to which the results of new tasks are padded. */
  result_min_bytes: number;
  /** Scheme, host and port of result addresses; null: those of the query's address. */
  result_origin: string | null;

  /** Milliseconds added to the provider's clock: 90 000 000 lets 25 hours pass. */
  time_offset_ms: number;
  /** Milliseconds by which the `Date` header deviates from the provider's clock. */
  date_skew_ms: number;

  /** Rules by which answers differ from the documents. */
  drift: DriftRule[];
}

/** Settings of a new emulator: the documented limits, or the likeliest behaviour where nothing is documented. */
export const DEFAULT_SETTINGS: EmulatorSettings = {
  speed: 1,
  slots: 5,
  beyond_slots: 'queue',
  render_seconds: null,
  jitter: 0.05,
  seed: 1,
  api_keys: null,
  accounts: {},
  models: ['wan2.6-i2v-flash'],
  submit_rate: 5,
  query_rate: 20,
  policy_rate: 100,
  throttle_code: 'Throttling.RateQuota',
  throttle_retry_after: null,
  validation: 'submit',
  unknown_parameters: 'ignore',
  body_max_bytes: null,
  list_lag_ms: 0,
  list_stale_ms: 0,
  list_skew_ms: 0,
  list_page_max: 100,
  list_order: 'newest',
  list_utc_offset_hours: 8,
  list_refused: false,
  orig_prompt: 'sent',
  geometry_multiple: 2,
  aspect: 16 / 9,
  clip: 'plain',
  result_min_bytes: 0,
  result_origin: null,
  time_offset_ms: 0,
  date_skew_ms: 0,
  drift: [],
};

const count = z.int().min(0);
const rate = z.number().min(0);
const duration = z.number().min(0);

const schema: z.ZodType<EmulatorSettings> = z.strictObject({
  speed: z.number().positive(),
  slots: count,
  beyond_slots: z.enum(['queue', 'refuse']),
  render_seconds: duration.nullable(),
  jitter: z.number().min(0).max(1),
  seed: z.int(),
  api_keys: z.array(z.string().min(1)).nullable(),
  accounts: z.record(z.string(), z.string().min(1)),
  models: z.array(z.string().min(1)).min(1),
  submit_rate: rate,
  query_rate: rate,
  policy_rate: rate,
  throttle_code: z.string().min(1),
  throttle_retry_after: count.nullable(),
  validation: z.enum(['submit', 'task']),
  unknown_parameters: z.enum(['ignore', 'refuse']),
  body_max_bytes: z.int().positive().nullable(),
  list_lag_ms: duration,
  list_stale_ms: duration,
  list_skew_ms: z.number(),
  list_page_max: z.int().positive(),
  list_order: z.enum(['newest', 'oldest']),
  list_utc_offset_hours: z.number().min(-12).max(14),
  list_refused: z.boolean(),
  orig_prompt: z.enum(['sent', 'truncated', 'rewritten', 'absent']),
  geometry_multiple: z.int().positive().multipleOf(2),
  aspect: z.number().positive(),
  clip: z.enum(['plain', 'picture']),
  result_min_bytes: count,
  result_origin: z.url({ protocol: /^https?$/ }).nullable(),
  time_offset_ms: z.number(),
  date_skew_ms: z.number(),
  drift: driftRules,
});

/** Returns the settings after a change. @throws ApiError 400 that names every unknown or invalid field. */
export function changeSettings(current: EmulatorSettings, change: unknown): EmulatorSettings {
  const parsed = schema.safeParse(typeof change === 'object' ? { ...current, ...change } : change);
  if (!parsed.success) throw new ApiError(400, 'InvalidParameter', `settings: ${describeIssues(parsed.error)}`);
  return parsed.data;
}

/** Returns all problems of a control request in one line. */
export function describeIssues(error: z.ZodError): string {
  return error.issues.map(({ path, message }) => [path.join('.'), message].filter(Boolean).join(': ')).join('; ');
}
