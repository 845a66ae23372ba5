import { z } from 'zod';
import { driftChanges, JSON_OPERATIONS } from './drift.js';
import type { DriftChange } from './drift-change.js';
import { OPERATIONS, type Operation } from './operation.js';
import {
  matchesRequest,
  REQUEST_FILTER_FIELDS,
  type RequestFilter,
  type RequestSubject,
  unusableFilterFields,
} from './request-filter.js';
import { describeIssues } from './settings.js';
import { ApiError } from './wire.js';

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
  | 'patch'
  | 'expired'
  | 'task-failed'
  | 'unknown'
  | 'drift'
  | 'headers'
  | 'encoded';

/** A fault that hits one or more of the next requests. */
export interface EmulatorFault extends RequestFilter {
  /** Kind of request that is hit. */
  on: Operation;
  /**
   * - `drop-reply` closes the connection, `reset` sends a TCP reset;
   * - `delay` answers later; `slow` sends the body over `delay_ms`, `stall` sends half of it and nothing more;
   * - `status` answers an error in the provider's form, `gateway` an HTML error page, `redirect` a 3xx;
   * - `malformed` answers 200 with an invalid body, `truncate` closes the connection after half of the body;
   * - `zero-fill`, `not-mp4`, `patch`, `expired` corrupt, change or refuse a download;
   * - `task-failed` ends the task, `unknown` answers one query with UNKNOWN;
   * - `drift` changes the JSON of one answer, `headers` its headers, `encoded` compresses its body unasked.
   */
  fault: FaultKind;
  /** Number of requests that are hit; default 1; null: all, until the faults are cleared. */
  times?: number | null;
  /** Number of matching requests that pass unchanged before; default 0. */
  skip?: number;
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
  /**
   * Where `status` puts code and message: in the answer itself (`top`, the default), in its `output`, in an object
   * `error`, or as the text `error`; or the answer is a plain `text`, or `empty`.
   */
  envelope?: 'top' | 'output' | 'error' | 'error-text' | 'text' | 'empty';
  /** Changes of the answer's JSON by `drift`, and of the error by `status`. */
  changes?: DriftChange[];
  /** `Location` of `redirect`; a download's default is its own address with `hop=1`. */
  location?: string;
  /** Number of redirects until a download that `redirect` sends to its own address is served; default 1. */
  hops?: number;
  /** Scheme, host and port that such a download is redirected to; default: the same. */
  origin?: string;
  /** Headers that `headers` sets; null removes one. */
  headers?: Record<string, string | null>;
  /** `Content-Encoding` of `encoded`; default "gzip". */
  encoding?: 'gzip' | 'deflate' | 'br';
  /** Whether the body of `encoded` is compressed as its header claims; default true. */
  compressed?: boolean;
  /** Bytes at the start that `zero-fill` keeps (default 0), or to which `patch` cuts the result (default all). */
  keep_bytes?: number;
  /** Text that `patch` replaces in a download wherever it occurs, such as the codec `avc1`. */
  find?: string;
  /** Text that `patch` puts there, of the same length. */
  with?: string;
  /** Number of zeros that `patch` adds to the end of a download; default 0. */
  append_bytes?: number;
}

/** Requests that can be hit by each kind of fault, and the fields that it reads; a field without effect is refused. */
const KINDS: Record<FaultKind, { on: readonly Operation[]; fields: readonly (keyof EmulatorFault)[] }> = {
  'drop-reply': { on: OPERATIONS, fields: ['when'] },
  reset: { on: OPERATIONS, fields: ['when'] },
  delay: { on: OPERATIONS, fields: ['when', 'delay_ms'] },
  status: {
    on: OPERATIONS,
    fields: ['when', 'status', 'code', 'message', 'retry_after', 'retry_after_as', 'envelope', 'changes'],
  },
  gateway: { on: OPERATIONS, fields: ['when', 'status', 'retry_after', 'retry_after_as'] },
  malformed: { on: JSON_OPERATIONS, fields: ['when', 'form'] },
  truncate: { on: OPERATIONS, fields: [] },
  slow: { on: OPERATIONS, fields: ['delay_ms'] },
  stall: { on: OPERATIONS, fields: [] },
  redirect: { on: OPERATIONS, fields: ['status', 'location', 'hops', 'origin'] },
  'zero-fill': { on: ['download'], fields: ['keep_bytes'] },
  'not-mp4': { on: ['download'], fields: [] },
  patch: { on: ['download'], fields: ['find', 'with', 'append_bytes', 'keep_bytes'] },
  expired: { on: ['download'], fields: [] },
  'task-failed': { on: ['submit', 'query'], fields: ['code', 'message'] },
  unknown: { on: ['query'], fields: [] },
  drift: { on: JSON_OPERATIONS, fields: ['changes'] },
  headers: { on: OPERATIONS, fields: ['headers'] },
  encoded: { on: OPERATIONS, fields: ['encoding', 'compressed'] },
};

/** Fields that every kind of fault reads. */
const COMMON_FIELDS = new Set<string>(['on', 'fault', 'times', 'skip', ...Object.keys(REQUEST_FILTER_FIELDS)]);

const schema = z
  .strictObject({
    on: z.enum(OPERATIONS),
    fault: z.enum(Object.keys(KINDS) as FaultKind[]),
    times: z.int().positive().nullable().optional(),
    skip: z.int().min(0).optional(),
    ...REQUEST_FILTER_FIELDS,
    when: z.enum(['before', 'after', 'midway']).optional(),
    status: z.int().min(200).max(599).optional(),
    code: z.string().optional(),
    message: z.string().optional(),
    retry_after: z.union([z.number().min(0), z.string()]).optional(),
    retry_after_as: z.enum(['seconds', 'date']).optional(),
    delay_ms: z.number().min(0).optional(),
    form: z.enum(['not-json', 'truncated', 'empty', 'html', 'text', 'no-output']).optional(),
    envelope: z.enum(['top', 'output', 'error', 'error-text', 'text', 'empty']).optional(),
    changes: driftChanges.optional(),
    location: z.string().min(1).optional(),
    hops: z.int().positive().optional(),
    origin: z.url({ protocol: /^https?$/ }).optional(),
    headers: z.record(z.string(), z.string().nullable()).optional(),
    encoding: z.enum(['gzip', 'deflate', 'br']).optional(),
    compressed: z.boolean().optional(),
    keep_bytes: z.int().min(0).optional(),
    find: z.string().min(1).optional(),
    with: z.string().optional(),
    append_bytes: z.int().min(0).optional(),
  })
  .superRefine((fault, context) => {
    const { on, fields } = KINDS[fault.fault];
    const refuse = (path: string, message: string): void => context.addIssue({ code: 'custom', path: [path], message });
    if (!on.includes(fault.on)) refuse('on', `${fault.fault} is possible for ${on.join(', ')}`);
    for (const name of Object.keys(fault) as (keyof EmulatorFault)[]) {
      if (!COMMON_FIELDS.has(name) && !fields.includes(name)) refuse(name, `${fault.fault} does not use this field`);
    }
    for (const [name, problem] of unusableFilterFields(fault.on, fault)) refuse(name, problem);
    if (fault.when === 'midway' && fault.fault !== 'reset') refuse('when', 'midway is possible for reset only');
    if (fault.fault === 'status' && (fault.on === 'upload' || fault.on === 'download')) {
      if (fault.envelope !== undefined) refuse('envelope', `${fault.on} answers in XML`);
      if (fault.changes !== undefined) refuse('changes', `${fault.on} answers in XML`);
    }
    if (fault.fault === 'redirect') refuseRedirect(fault as EmulatorFault, refuse);
    if (fault.fault === 'drift' && fault.changes === undefined) refuse('changes', 'required');
    if (fault.fault === 'headers' && fault.headers === undefined) refuse('headers', 'required');
    if (fault.find?.length !== fault.with?.length) refuse('with', 'required with find, of the same length');
  });

/** Checks that a redirect has either a location or, for a download, its own address. */
function refuseRedirect(fault: EmulatorFault, refuse: (field: string, message: string) => void): void {
  if (fault.location === undefined && fault.on !== 'download') refuse('location', 'required');
  for (const name of ['hops', 'origin'] as const) {
    if (fault[name] === undefined) continue;
    if (fault.on !== 'download') refuse(name, 'possible for download only');
    else if (fault.location !== undefined) refuse(name, 'excludes location');
  }
}

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
  take(on: Operation, subject: RequestSubject): EmulatorFault | undefined {
    for (const fault of this.#queued) {
      if (fault.on !== on || !matchesRequest(fault, subject)) continue;
      if (subject.isRedirected === true && fault.fault === 'redirect' && fault.location === undefined) continue;
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
