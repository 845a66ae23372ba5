import { z } from 'zod';
import { describeIssues } from './settings.js';
import { ApiError } from './wire.js';

/** A task of other software that shares the account; it does not count as a submit. */
export interface ExternalTask {
  prompt?: string | undefined;
  /** `parameters` as in a submit; default: 5 s, 1080P, with sound. */
  parameters?: Record<string, unknown> | undefined;
  /** Default "default". */
  account?: string | undefined;
  /** Default: the first of the setting `models`. */
  model?: string | undefined;
  /** Time since its submit, in milliseconds; default 0. */
  age_ms?: number | undefined;
  /** Size in pixels of the first frame, which gives the result its shape. */
  image?: { width: number; height: number } | undefined;
}

/** A change of a task that its client does not cause. */
export interface TaskChange {
  status?: 'SUCCEEDED' | 'FAILED' | 'CANCELED' | undefined;
  /** Error code of a task that ends FAILED. */
  code?: string | undefined;
  /** Error message of a task that ends FAILED. */
  message?: string | undefined;
  /** Whether the service denies knowing the task. */
  forgotten?: boolean | undefined;
}

const externalTask = z.strictObject({
  prompt: z.string().optional(),
  parameters: z.record(z.string(), z.unknown()).optional(),
  account: z.string().optional(),
  model: z.string().optional(),
  age_ms: z.number().min(0).optional(),
  image: z.strictObject({ width: z.int().positive(), height: z.int().positive() }).optional(),
});

const taskChange = z.strictObject({
  status: z.enum(['SUCCEEDED', 'FAILED', 'CANCELED']).optional(),
  code: z.string().optional(),
  message: z.string().optional(),
  forgotten: z.boolean().optional(),
});

/** @throws ApiError 400 that names every unknown or invalid field. */
export function parseExternalTask(task: unknown): ExternalTask {
  return parse(externalTask, task);
}

/** @throws ApiError 400 that names every unknown or invalid field. */
export function parseTaskChange(change: unknown): TaskChange {
  return parse(taskChange, change);
}

function parse<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new ApiError(400, 'InvalidParameter', `task: ${describeIssues(parsed.error)}`);
  return parsed.data;
}
