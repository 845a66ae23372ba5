import { z } from 'zod';
import { toFailure } from '../contract/failure.js';
import { FailureType } from '../contract/failure-type.js';
import { BATCH_MEMO } from '../contract/names.js';
import type { VideoResult } from '../contract/result.js';
import { VideoError } from '../contract/video-error.js';

/** Version of every record; readers keep understanding earlier ones, and a newer one is refused by name. */
const VERSION = 1;

const stamp = {
  v: z.literal(VERSION),
  /** Region of the provider and name of the account: a record of another scope is foreign. */
  provider: z.string(),
  account: z.string(),
  /** Made by each execution for itself: the one that finds its own token has won the key. */
  token: z.string().min(1),
  /** By the writer's clock, milliseconds since the epoch. */
  written_at_ms: z.number(),
  purchase_key: z.string(),
  n: z.int().positive(),
};
const stampShape = z.object(stamp);
/** What every record begins with. */
export type Stamp = z.infer<typeof stampShape>;

const taskId = z.string().min(1);

const failureRecord = z.object({
  type: z.enum(Object.values(FailureType) as [FailureType, ...FailureType[]]),
  message: z.string(),
  retryable: z.boolean(),
  code: z.string().nullable(),
  task_id: z.string().nullable(),
  request_id: z.string().nullable(),
  billed: z.boolean().nullable(),
  next_step: z.string().nullable(),
});
export type FailureRecord = z.infer<typeof failureRecord>;

const expectation = z.object({
  prompt: z.string(),
  /** Seconds. */
  duration: z.number(),
  resolution: z.enum(['720P', '1080P']),
  audio: z.boolean(),
  /** Pixels of the image; null when it cannot be read (`oss://`). */
  image: z
    .object({
      width: z.number().positive(),
      height: z.number().positive(),
      /** The provider fetched the image itself, so another shape does not show that a task is another one. */
      mayDiffer: z.boolean().optional(),
    })
    .nullable(),
});
/** What a purchase is recognised by when the reply to its submit was lost. */
export type Expectation = z.infer<typeof expectation>;

/** Put before the POST, by the one execution that may send it. */
export const intentRecord = z.object({
  kind: z.literal('intent'),
  ...stamp,
  cache_key: z.string(),
  workflow_id: z.string(),
  first_run_id: z.string(),
  attempt: z.number(),
  expects: expectation,
  /** The seed that is sent. */
  seed: z.int(),
  tenant: z.string().nullable(),
  /** Of the key that the POST was sent with: the task list of another account proves nothing about it. */
  key_fingerprint: z.string().nullable().default(null),
  /** What the steps after the purchase need when another run finishes it; opaque to the ledger. */
  memo: z.record(z.string(), z.unknown()),
});
export type IntentRecord = z.infer<typeof intentRecord>;

/** Put before the intent: how open purchases are found by time. */
export const recentRecord = z.object({ kind: z.literal('recent'), ...stamp });
export type RecentRecord = z.infer<typeof recentRecord>;

/** Put next to an announcement once what was announced is over. Its name says everything: it is listed, never read. */
export type MarkerRecord = Stamp & { readonly kind: 'settled' };

const notCreated = z.object({
  reason: z.enum(['not_sent', 'rejected', 'too_late', 'none_found', 'person']),
  failure: failureRecord.nullable(),
});
export type NotCreated = z.infer<typeof notCreated>;

const claimedTask = z.object({
  task_id: taskId,
  request_id: z.string().nullable(),
  /** Of the key that the task was bought or found with; null when a person named the task. */
  key_fingerprint: z.string().nullable(),
  found_by: z.enum(['submit', 'reconcile', 'person']),
});
export type ClaimedTask = z.infer<typeof claimedTask>;

/** The one decision on a purchase: a task, or that none was created. One file, so that there is never both. */
export const claimRecord = z.object({
  kind: z.literal('claim'),
  ...stamp,
  decision: z.union([claimedTask, z.object({ not_created: notCreated })]),
});
export type ClaimRecord = z.infer<typeof claimRecord>;

/**
 * Which purchase a task belongs to, so that no task serves two. Put only once the purchase's own records name the task:
 * nothing leads from a purchase to a record under the task's id.
 */
export const taskRecord = z.object({ kind: z.literal('task'), ...stamp, ...claimedTask.shape });
export type TaskRecord = z.infer<typeof taskRecord>;

const result = z.custom<VideoResult>(
  (value) =>
    z.looseObject({ video_url: z.string(), task_id: taskId, bytes: z.number(), sha256: z.string() }).safeParse(value)
      .success,
);

const ending = z.discriminatedUnion('how', [
  z.object({ how: z.literal('archived'), result }),
  z.object({ how: z.literal('failed'), failure: failureRecord }),
  z.object({ how: z.literal('cancelled') }),
  z.object({ how: z.literal('expired') }),
  z.object({ how: z.literal('abandoned') }),
]);
/**
 * How a bought task ended. `cancelled` was free; `failed` says whether it is billed; `expired` is paid and lost;
 * `abandoned` is paid, and a person has decided to do without its result.
 */
export type Ending = z.infer<typeof ending>;

/** Put after a claim with a task. */
export const closedRecord = z.object({ kind: z.literal('closed'), ...stamp, task_id: taskId, ending });
export type ClosedRecord = z.infer<typeof closedRecord>;

/** A task that was bought in addition to the one that the purchase's claim names, to be watched and reported. */
export const extraTaskRecord = z.object({ kind: z.literal('late'), ...stamp, ...claimedTask.shape });
export type ExtraTaskRecord = z.infer<typeof extraTaskRecord>;

/**
 * A task that was found for a purchase, by a reconciliation or a person; put before its task record and the claim. It
 * counts as bought in addition when the task record names the purchase and the claim does not name the task.
 */
export const foundTaskRecord = z.object({ kind: z.literal('found'), ...stamp, ...claimedTask.shape });
export type FoundTaskRecord = z.infer<typeof foundTaskRecord>;

/** What was paid, for whom; put when SUCCEEDED is first seen, under the day on which the task ended. */
export const billRecord = z.object({
  kind: z.literal('day'),
  ...stamp,
  task_id: taskId,
  /** End of the task by the provider's clock, milliseconds since the epoch. */
  end_time_ms: z.number(),
  billed_seconds: z.number(),
  resolution: z.enum(['720P', '1080P']),
  audio: z.boolean(),
  /** The provider did not say all of it, so the request decided. */
  estimated: z.boolean().optional(),
  workflow_id: z.string(),
  tenant: z.string().nullable(),
  memo: z.record(z.string(), z.unknown()),
});
export type BillRecord = z.infer<typeof billRecord>;

/**
 * Put in the place of a bill under the day of its purchase, when the bill is filed under another day: the looks at a
 * task may disagree about its end, and this place is the same for all of them.
 */
const billDayRecord = z.object({
  kind: z.literal('bill_day'),
  ...stamp,
  task_id: taskId,
  /** The end by which the bill is filed, milliseconds since the epoch. */
  end_time_ms: z.number(),
});
export type BillDayRecord = z.infer<typeof billDayRecord>;

/** What can be in a bill's place. */
export const billPlace = z.discriminatedUnion('kind', [billRecord, billDayRecord]);

const billFacts = billRecord.omit({ kind: true, v: true, provider: true, account: true, token: true });
/** What adding up needs of a bill. */
export type BillFacts = z.infer<typeof billFacts>;

/**
 * Repeats bills of one day, so that they are read together. The bills themselves decide: without a statement they are
 * read one by one.
 */
export const statementRecord = z.object({
  kind: z.literal('statement'),
  v: z.literal(VERSION),
  provider: z.string(),
  account: z.string(),
  day: z.string(),
  /** Of each memo only the batch and the labels. */
  bills: z.array(billFacts),
  /** Tasks of which the day has only the record that names another day. */
  on_other_days: z.array(taskId).default([]),
});

/** Names the announcements of one hour, listed after its end, that are not over. Its key says which hour. */
export const digestRecord = z.object({
  kind: z.literal('digest'),
  v: z.literal(VERSION),
  provider: z.string(),
  account: z.string(),
  names: z.array(z.string()),
});
export type DigestRecord = z.infer<typeof digestRecord>;

/** What a statement repeats of a bill. */
export function factsOf(bill: BillRecord): BillFacts {
  const kept = Object.entries(bill.memo).filter(([name]) => name === BATCH_MEMO || name === 'labels');
  return billFacts.parse({ ...bill, memo: Object.fromEntries(kept) });
}

/** The cached result of a cache key; the only object that is replaced, and only by a later purchase. */
export const cachedRecord = z.object({ kind: z.literal('cached'), ...stamp, result });
export type CachedRecord = z.infer<typeof cachedRecord>;

/** Turns an error into a record, so that another run can fail with the same words. */
export function toFailureRecord(error: VideoError): FailureRecord {
  const { message, code, task_id, request_id, billed, next_step } = toFailure(error);
  return {
    type: error.type,
    message,
    retryable: error.retryable,
    code: code ?? null,
    task_id: task_id ?? null,
    request_id: request_id ?? null,
    billed: billed ?? null,
    next_step: next_step ?? null,
  };
}

/** Turns a failure record back into the error that was recorded. */
export function fromFailureRecord(record: FailureRecord): VideoError {
  return new VideoError(record.type, record.message, {
    retryable: record.retryable,
    code: record.code ?? undefined,
    taskId: record.task_id ?? undefined,
    requestId: record.request_id ?? undefined,
    billed: record.billed ?? undefined,
    nextStep: record.next_step ?? undefined,
  });
}

/** The batch that a purchase was made for, as its intent's memo names it; null when it was made for none. */
export const batchOf = (memo: Readonly<Record<string, unknown>>): string | null => {
  const batch = memo[BATCH_MEMO];
  return typeof batch === 'string' ? batch : null;
};
