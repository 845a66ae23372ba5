import { z } from 'zod';
import { describeIssues } from './settings.js';
import { ApiError } from './wire.js';

/** Kind of request. */
export type Operation = 'submit' | 'query' | 'list' | 'cancel' | 'upload' | 'policy' | 'download';

/** Kind of fault. */
export type FaultKind =
  | 'drop-reply'
  | 'reset'
  | 'delay'
  | 'status'
  | 'gateway'
  | 'malformed'
  | 'truncate'
  | 'slow'
  | 'stall'
  | 'redirect'
  | 'zero-fill'
  | 'not-mp4'
  | 'expired'
  | 'task-failed'
  | 'unknown'
  | 'override';

/** A fault that hits one or more of the next requests. */
export interface EmulatorFault {
  /** Kind of request that is hit. */
  on: Operation;
  /**
   * - `drop-reply` closes the connection, `reset` sends a TCP reset;
   * - `delay` answers later; `slow` sends the body over `delay_ms`, `stall` sends half of it and nothing more;
   * - `status` answers an error in the provider's form, `gateway` an HTML error page, `redirect` a 3xx;
   * - `malformed` answers 200 with an invalid body, `truncate` closes the connection after half of the body;
   * - `zero-fill`, `not-mp4`, `expired` corrupt or refuse a download;
   * - `task-failed` ends the task, `unknown` answers one query with UNKNOWN, `override` changes fields of one answer.
   */
  fault: FaultKind;
  /** Number of requests that are hit; default 1; null: all, until the faults are cleared. */
  times?: number | null;
  /** Number of matching requests that pass unchanged before; default 0. */
  skip?: number;
  /** Only requests about a task whose prompt contains this text. */
  match?: string;
  /**
   * Whether the request takes effect first; default "after" for drop-reply and malformed, else "before" (no effect).
   * `midway` (reset only): it takes effect, and half of the body is sent.
   */
  when?: 'before' | 'after' | 'midway';
  /** HTTP status of `status` (default 500), `gateway` (502) and `redirect` (302). */
  status?: number;
  /** Error code of `status` and `task-failed`; without it a failed task has none, like some real ones. */
  code?: string;
  /** Error message of `status` and `task-failed`. */
  message?: string;
  /** `Retry-After` of `status` and `gateway`: seconds, or any text, which is sent unchanged. */
  retry_after?: number | string;
  /** Whether seconds are sent as a number or as an HTTP date; default "seconds". */
  retry_after_as?: 'seconds' | 'date';
  /** Milliseconds of real time that `delay` and `slow` take; default 1000. */
  delay_ms?: number;
  /** Body of `malformed`; default "not-json". */
  form?: 'not-json' | 'truncated' | 'empty' | 'html' | 'text' | 'no-output';
  /** `Location` of `redirect`. */
  location?: string;
  /** Bytes that `zero-fill` keeps at the start; default 0. */
  keep_bytes?: number;
  /** Members that `override` sets in `output`; null removes one. */
  output?: Record<string, unknown>;
  /** Members that `override` sets in `usage`; null removes one. */
  usage?: Record<string, unknown>;
}

const ALL: readonly Operation[] = ['submit', 'query', 'list', 'cancel', 'upload', 'policy', 'download'];

/** Requests that can be hit by each kind of fault, and the fields that it reads; a field without effect is refused. */
const KINDS: Record<FaultKind, { on: readonly Operation[]; fields: readonly (keyof EmulatorFault)[] }> = {
  'drop-reply': { on: ALL, fields: ['when'] },
  reset: { on: ALL, fields: ['when'] },
  delay: { on: ALL, fields: ['when', 'delay_ms'] },
  status: { on: ALL, fields: ['when', 'status', 'code', 'message', 'retry_after', 'retry_after_as'] },
  gateway: { on: ALL, fields: ['when', 'status', 'retry_after', 'retry_after_as'] },
  malformed: { on: ['submit', 'query', 'list', 'cancel', 'policy'], fields: ['when', 'form'] },
  truncate: { on: ALL, fields: [] },
  slow: { on: ALL, fields: ['delay_ms'] },
  stall: { on: ALL, fields: [] },
  redirect: { on: ALL, fields: ['status', 'location'] },
  'zero-fill': { on: ['download'], fields: ['keep_bytes'] },
  'not-mp4': { on: ['download'], fields: [] },
  expired: { on: ['download'], fields: [] },
  'task-failed': { on: ['submit', 'query'], fields: ['code', 'message'] },
  unknown: { on: ['query'], fields: [] },
  override: { on: ['query'], fields: ['output', 'usage'] },
};

/** Fields that every kind of fault reads. */
const COMMON_FIELDS = new Set<keyof EmulatorFault>(['on', 'fault', 'times', 'skip', 'match']);

/** Requests that are about a task, whose prompt `match` compares. */
const WITH_PROMPT: readonly Operation[] = ['submit', 'query', 'cancel', 'download'];

const schema = z
  .strictObject({
    on: z.enum(ALL),
    fault: z.enum(Object.keys(KINDS) as FaultKind[]),
    times: z.int().positive().nullable().optional(),
    skip: z.int().min(0).optional(),
    match: z.string().min(1).optional(),
    when: z.enum(['before', 'after', 'midway']).optional(),
    status: z.int().min(200).max(599).optional(),
    code: z.string().optional(),
    message: z.string().optional(),
    retry_after: z.union([z.number().min(0), z.string()]).optional(),
    retry_after_as: z.enum(['seconds', 'date']).optional(),
    delay_ms: z.number().min(0).optional(),
    form: z.enum(['not-json', 'truncated', 'empty', 'html', 'text', 'no-output']).optional(),
    location: z.string().min(1).optional(),
    keep_bytes: z.int().min(0).optional(),
    output: z.record(z.string(), z.unknown()).optional(),
    usage: z.record(z.string(), z.unknown()).optional(),
  })
  .superRefine((fault, context) => {
    const { on, fields } = KINDS[fault.fault];
    const refuse = (path: string, message: string): void => context.addIssue({ code: 'custom', path: [path], message });
    if (!on.includes(fault.on)) refuse('on', `${fault.fault} is possible for ${on.join(', ')}`);
    for (const name of Object.keys(fault) as (keyof EmulatorFault)[]) {
      if (!COMMON_FIELDS.has(name) && !fields.includes(name)) refuse(name, `${fault.fault} does not use this field`);
    }
    if (fault.match !== undefined && !WITH_PROMPT.includes(fault.on)) refuse('match', `${fault.on} has no prompt`);
    if (fault.when === 'midway' && fault.fault !== 'reset') refuse('when', 'midway is possible for reset only');
    if (fault.fault === 'redirect' && fault.location === undefined) refuse('location', 'required');
  });

type QueuedFault = EmulatorFault & { times: number | null; skip: number };

/** Faults that are still to be injected, in the order in which they were queued. */
export class FaultQueue {
  #queued: QueuedFault[] = [];

  all(): EmulatorFault[] {
    return structuredClone(this.#queued);
  }

  /** Queues all faults or none. @throws ApiError 400 that names every unknown, invalid or unused field. */
  add(faults: unknown): void {
    const parsed = z.array(schema).min(1).safeParse([faults].flat());
    if (!parsed.success) throw new ApiError(400, 'InvalidParameter', `faults: ${describeIssues(parsed.error)}`);
    for (const fault of parsed.data as EmulatorFault[]) {
      const { times = 1, skip = 0 } = fault;
      this.#queued.push({ ...fault, times, skip });
    }
  }

  clear(): void {
    this.#queued = [];
  }

  /** Removes and returns the first fault for a request; a fault that skips the request is passed over. */
  take(on: Operation, prompt: string | undefined): EmulatorFault | undefined {
    for (const fault of this.#queued) {
      if (fault.on !== on || (fault.match !== undefined && !prompt?.includes(fault.match))) continue;
      if (fault.skip > 0) {
        fault.skip--;
        continue;
      }
      if (fault.times !== null && --fault.times === 0) this.#queued = this.#queued.filter((one) => one !== fault);
      return fault;
    }
    return undefined;
  }
}
