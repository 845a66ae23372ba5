import { z } from 'zod';

export type TaskStatus = 'PENDING' | 'RUNNING' | 'SUCCEEDED' | 'FAILED' | 'CANCELED' | 'UNKNOWN';

/** One look at a task; times in milliseconds since the epoch. */
export interface TaskSnapshot {
  readonly taskId: string;
  readonly status: TaskStatus;
  readonly submitTimeMs?: number | undefined;
  readonly scheduledTimeMs?: number | undefined;
  readonly endTimeMs?: number | undefined;
  readonly origPrompt?: string | undefined;
  /** Signed, valid 24 h after the end: a secret. */
  readonly videoUrl?: string | undefined;
  readonly code?: string | undefined;
  readonly message?: string | undefined;
  readonly requestId: string | undefined;
  /** Billed seconds, tier (720 or 1080) and sound; only on success. */
  readonly usage?:
    | { readonly duration: number; readonly sr?: number | undefined; readonly audio?: boolean | undefined }
    | undefined;
}

/** One row of the task list; it has neither prompt nor result. */
export interface ListedTask {
  readonly taskId: string;
  readonly status: TaskStatus;
  readonly modelName?: string | undefined;
  /** When the provider created the task, in milliseconds since the epoch. */
  readonly createdAtMs?: number | undefined;
  readonly startedAtMs?: number | undefined;
  readonly endedAtMs?: number | undefined;
  readonly apiKeyId?: string | undefined;
  /** Request id of the submit call. */
  readonly requestId?: string | undefined;
}

export interface TaskPage {
  readonly tasks: readonly ListedTask[];
  readonly total: number;
  readonly pageNo: number;
  readonly totalPages: number;
  readonly requestId?: string | undefined;
}

/** Where and how a temporary file may be uploaded; a secret while it lives. */
export interface UploadPolicy {
  readonly policy: string;
  readonly signature: string;
  readonly uploadDir: string;
  readonly uploadHost: string;
  readonly expiresInMs: number;
  readonly maxFileBytes: number;
  readonly accessKeyId: string;
  readonly objectAcl: string;
  readonly forbidOverwrite: string;
}

const text = z
  .string()
  .nullish()
  .transform((value) => value || undefined);
const idText = z
  .union([z.string(), z.number()])
  .nullish()
  .transform((value) => (value == null ? undefined : String(value)));
const epochMs = z.coerce
  .number()
  .nullish()
  .transform((value) => value || undefined);
const status = z
  .enum(['PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELED', 'UNKNOWN', 'SUSPENDED'])
  // Undocumented, only in the SDKs' enums: not ended, so we keep asking.
  .transform((value): TaskStatus => (value === 'SUSPENDED' ? 'PENDING' : value));
const time = text.transform((value) => parseProviderTime(value));

/** Reads `YYYY-MM-DD HH:mm:ss[.SSS]`, which the provider writes in UTC+8 without saying so. */
export function parseProviderTime(value: string | undefined): number | undefined {
  const match = /^(\d{4}-\d{2}-\d{2})[ T](\d{2}:\d{2}:\d{2}(?:\.\d{1,3})?)$/.exec(value ?? '');
  if (match === null) return undefined;
  const atMs = Date.parse(`${match[1]}T${match[2]}+08:00`);
  return Number.isNaN(atMs) ? undefined : atMs;
}

/** Writes `YYYYMMDDhhmmss` in UTC+8, the form of the task list's filter. */
export function formatListTime(atMs: number): string {
  return new Date(atMs + 8 * 3_600_000).toISOString().slice(0, 19).replace(/\D/g, '');
}

export const taskAnswer = z
  .object({
    request_id: text,
    output: z.object({
      task_id: z.string(),
      task_status: status,
      submit_time: time,
      scheduled_time: time,
      end_time: time,
      orig_prompt: text,
      video_url: text,
      code: text,
      message: text,
    }),
    usage: z
      .object({ duration: z.coerce.number().nullish(), SR: z.coerce.number().nullish(), audio: z.boolean().nullish() })
      .nullish(),
  })
  .transform(
    ({ request_id, output, usage }): TaskSnapshot => ({
      taskId: output.task_id,
      status: output.task_status,
      submitTimeMs: output.submit_time,
      scheduledTimeMs: output.scheduled_time,
      endTimeMs: output.end_time,
      origPrompt: output.orig_prompt,
      videoUrl: output.video_url,
      code: output.code,
      message: output.message,
      requestId: request_id,
      usage:
        usage?.duration == null
          ? undefined
          : { duration: usage.duration, sr: usage.SR ?? undefined, audio: usage.audio ?? undefined },
    }),
  );

export const listAnswer = z
  .object({
    request_id: text,
    total: z.number(),
    page_no: z.number(),
    total_page: z.number(),
    data: z
      .array(
        z.object({
          task_id: z.string(),
          status,
          model_name: text,
          gmt_create: epochMs,
          start_time: epochMs,
          end_time: epochMs,
          api_key_id: idText,
          request_id: text,
        }),
      )
      .nullish(),
  })
  .transform(
    ({ request_id, total, page_no, total_page, data }): TaskPage => ({
      total,
      pageNo: page_no,
      totalPages: total_page,
      requestId: request_id,
      tasks: (data ?? []).map((row) => ({
        taskId: row.task_id,
        status: row.status,
        modelName: row.model_name,
        createdAtMs: row.gmt_create,
        startedAtMs: row.start_time,
        endedAtMs: row.end_time,
        apiKeyId: row.api_key_id,
        requestId: row.request_id,
      })),
    }),
  );

export const policyAnswer = z
  .object({
    data: z.object({
      policy: z.string(),
      signature: z.string(),
      upload_dir: z.string(),
      upload_host: z.string(),
      expire_in_seconds: z.coerce.number(),
      max_file_size_mb: z.coerce.number(),
      oss_access_key_id: z.string(),
      x_oss_object_acl: z.string(),
      x_oss_forbid_overwrite: z.union([z.string(), z.boolean()]).transform(String),
    }),
  })
  .transform(
    ({ data }): UploadPolicy => ({
      policy: data.policy,
      signature: data.signature,
      uploadDir: data.upload_dir,
      uploadHost: data.upload_host,
      expiresInMs: data.expire_in_seconds * 1000,
      maxFileBytes: data.max_file_size_mb * 1024 * 1024,
      accessKeyId: data.oss_access_key_id,
      objectAcl: data.x_oss_object_acl,
      forbidOverwrite: data.x_oss_forbid_overwrite,
    }),
  );
