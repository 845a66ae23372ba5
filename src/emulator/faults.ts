import { z } from 'zod';
import { describeIssues } from './settings.js';
import { ApiError } from './wire.js';

const OPERATIONS = ['submit', 'query', 'list', 'cancel', 'upload', 'policy', 'download'] as const;

/** Kind of request. */
export type Operation = (typeof OPERATIONS)[number];

/** What goes wrong. */
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

/** A fault for one or more coming requests. */
export interface EmulatorFault {
  /** Kind of request that is hit. */
  on: Operation;
  /**
   * - `drop-reply` closes the connection, `reset` sends a TCP reset;
   * - `delay` answers later; `slow` sends the body over `delay_ms`, `stall` half of it and then nothing more;
   * - `status` answers an error in the provider's form, `gateway` one in HTML from in front of it, `redirect` a 3xx;
   * - `malformed` answers 200 with a body that is no answer, `truncate` half of the body and then the end of the connection;
   * - `zero-fill`, `not-mp4`, `expired` spoil a download;
   * - `task-failed` ends the task, `unknown` denies it for this query, `override` changes the fields of this answer.
   */
  fault: FaultKind;
  /** Number of requests that are hit; default 1; null: all, until the faults are cleared. */
  times?: number | null;
  /** Number of fitting requests that pass unharmed before; default 0. */
  skip?: number;
  /** Only requests about a task whose prompt contains this text. */
  match?: string;
  /**
   * Whether the request takes effect first; default "after" for drop-reply and unreadable, else "before" (no effect).
   * `midway` (reset only): it takes effect, and half of the body is sent.
   */
  when?: 'before' | 'after' | 'midway';
  /** HTTP status of `status` (default 500), `gateway` (502) and `redirect` (302). */
  status?: number;
  /** Error code of `status` and `task-failed`; a task that fails without one has none, as some real ones. */
  code?: string;
  /** Error message of `status` and `task-failed`. */
  message?: string;
  /** `Retry-After` of `status` and `gateway`: seconds, or any text as it stands. */
  retry_after?: number | string;
  /** Whether seconds are sent as a number or as the HTTP date that they lead to; default "seconds". */
  retry_after_as?: 'seconds' | 'date';
  /** Real milliseconds of `delay` and `slow`; default 1000. */
  delay_ms?: number;
  /** Body of `malformed`; default "not-json". */
  form?: 'not-json' | 'truncated' | 'empty' | 'html' | 'text' | 'no-output';
  /** `Location` of `redirect`. */
  location?: string;
  /** Bytes that `zero-fill` leaves at the start; default 0. */
  keep_bytes?: number;
  /** Members that `override` puts into `output`; null takes one away. */
  output?: Record<string, unknown>;
  /** Members that `override` puts into `usage`; null takes one away. */
  usage?: Record<string, unknown>;
}

const ALL = OPERATIONS;
const WITH_PROMPT: readonly Operation[] = ['submit', 'query', 'cancel', 'download'];
const BASE = new Set(['on', 'fault', 'times', 'skip', 'match']);

/** Where each kind can happen and which fields it reads: a field that would have no effect is refused. */
const KINDS: Record<FaultKind, { on: readonly Operation[]; fields: readonly string[] }> = {
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

const schema = z
  .strictObject({
    on: z.enum(OPERATIONS),
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
    if (!on.includes(fault.on)) refuse('on', `${fault.fault} happens on ${on.join(', ')}`);
    for (const name of Object.keys(fault)) {
      if (!BASE.has(name) && !fields.includes(name)) refuse(name, `${fault.fault} does not read it`);
    }
    if (fault.match !== undefined && !WITH_PROMPT.includes(fault.on)) refuse('match', `${fault.on} knows no prompt`);
    if (fault.when === 'midway' && fault.fault !== 'reset') refuse('when', 'midway is for reset');
    if (fault.fault === 'redirect' && fault.location === undefined) refuse('location', 'required');
  });

type QueuedFault = EmulatorFault & { times: number | null; skip: number };

/** The faults that wait for their requests, in the order in which they were queued. */
export class FaultQueue {
  #queued: QueuedFault[] = [];

  all(): EmulatorFault[] {
    return structuredClone(this.#queued);
  }

  /** Queues one fault or several, all or none. @throws ApiError 400 that names every field that is unknown, wrong or useless. */
  add(faults: unknown): void {
    const parsed = z.array(schema).min(1).safeParse([faults].flat());
    if (!parsed.success) throw new ApiError(400, 'InvalidParameter', `faults: ${describeIssues(parsed.error)}`);
    const checked = parsed.data as EmulatorFault[];
    this.#queued.push(
      ...checked.map((fault) => ({
        ...fault,
        times: fault.times === undefined ? 1 : fault.times,
        skip: fault.skip ?? 0,
      })),
    );
  }

  clear(): void {
    this.#queued = [];
  }

  /** Takes the first fault that fits and lets no more requests pass. */
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
