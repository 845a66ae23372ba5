import { randomBytes } from 'node:crypto';
import type { Client } from '@temporalio/client';
import { BATCH_WINDOW_MAX, isWindow } from '../contract/batch.js';
import { A_SIGNAL, A_TEXT, A_TIMEOUT, type OptionRules, required, withMethods } from '../contract/options.js';
import { invalidRequest } from '../contract/validate.js';
import type { AssetStore } from '../storage/asset-store.js';
import { type SpanSource, TRACER_OPTIONS } from '../tracing/span-source.js';
import { tracedClient } from '../tracing/traced-client.js';
import { tracingWith } from '../tracing/tracing.js';

/** What the clients of batches and of schedules need. */
export interface WanBatchClientOptions {
  /** A connected Temporal client; the caller closes its connection. */
  readonly client: Client;
  /** The workers' asset store. */
  readonly store: AssetStore;
  /** The workers' queue for runs; default `video-generate`. */
  readonly taskQueue?: string;
  /** What the spans of calls to Temporal are made with; OpenTelemetry's SDK must be started. Default: no spans. */
  readonly tracerProvider?: SpanSource;
}

/** The caller's client, whose calls are spans where it hands in what makes them. */
export const clientOf = ({
  client,
  tracerProvider,
}: Pick<WanBatchClientOptions, 'client' | 'tracerProvider'>): Client =>
  tracerProvider === undefined ? client : tracedClient(client, tracingWith(tracerProvider));

/** The workers' queue for runs, unless they are configured otherwise. */
export const DEFAULT_TASK_QUEUE = 'video-generate';

/** A connected Temporal client, of any version of its SDK. */
const A_CLIENT = {
  must: 'must be a connected Client of @temporalio/client',
  isValid: (value: unknown) => typeof value === 'object' && value !== null && 'workflow' in value,
};
const A_STORE = withMethods('an AssetStore, such as openStore opens', 'head', 'get', 'put', 'list', 'url');

/** Options of a client of generations, which needs a store only for images of this machine. */
export const CLIENT_OPTIONS: OptionRules = {
  client: required(A_CLIENT),
  taskQueue: A_TEXT,
  store: A_STORE,
  ...TRACER_OPTIONS,
};
/** Options of the clients of batches and of schedules. */
export const STORE_CLIENT_OPTIONS: OptionRules = { ...CLIENT_OPTIONS, store: required(A_STORE) };
/** Bounds on a wait. */
export const WAIT_OPTIONS: OptionRules = { signal: A_SIGNAL, timeoutMs: A_TIMEOUT };

/** A batch's id is part of workflow ids and keys; that of a scheduled batch, and of its retries, holds a time. */
const BATCH_ID = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,119}$/;
/** A schedule's id is shorter, because a run's time and a retry's number are appended to make a batch's id. */
const SCHEDULE_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$/;

/** @throws VideoError `InvalidRequest` for an id that cannot be part of workflow ids and keys. */
export function checkBatchId(batchId: string): void {
  if (BATCH_ID.test(batchId)) return;
  const message = 'must be 1 to 120 letters, digits, dots, dashes, colons or underscores, a letter or digit first';
  throw invalidRequest([{ path: 'id', message }]);
}

/** @throws VideoError `InvalidRequest` for an id that cannot be the beginning of a batch's id. */
export function checkScheduleId(id: string): void {
  if (SCHEDULE_ID.test(id)) return;
  const message = 'must be 1 to 80 letters, digits, dots, dashes or underscores, a letter or digit first';
  throw invalidRequest([{ path: 'id', message }]);
}

/** @throws VideoError `InvalidRequest` for a window outside its range. */
export function checkWindow(window: number | undefined): void {
  if (window === undefined || isWindow(window)) return;
  throw invalidRequest([{ path: 'window', message: `must be a whole number from 1 to ${BATCH_WINDOW_MAX}` }]);
}

/** `20260331-021500-1a2b3c4d`: ids sort by time, and two of the same second differ. */
export function newBatchId(now: Date): string {
  const time = now.toISOString().slice(0, 19).replace(/[-:]/g, '').replace('T', '-');
  return `${time}-${randomBytes(4).toString('hex')}`;
}
