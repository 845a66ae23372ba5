import type { Operation } from './operation.js';

/** Requests received since the start or the last reset, including those that were refused. */
export interface Counters {
  submits: number;
  queries: number;
  lists: number;
  uploads: number;
  policies: number;
  cancels: number;
  downloads: number;
  /** Requests answered 429 for a rate or, with `beyond_slots: refuse`, the slots; injected faults do not count. */
  throttled: number;
  /** Answers that the setting `drift` or the fault `drift` has changed. */
  drifted: number;
}

/** Counter of each kind of request. */
export const COUNTER_OF = {
  submit: 'submits',
  query: 'queries',
  list: 'lists',
  cancel: 'cancels',
  upload: 'uploads',
  policy: 'policies',
  download: 'downloads',
} as const satisfies Record<Operation, keyof Counters>;

/** Returns counters that are all zero. */
export function noCounters(): Counters {
  const requests = { submits: 0, queries: 0, lists: 0, uploads: 0, policies: 0, cancels: 0, downloads: 0 };
  return { ...requests, throttled: 0, drifted: 0 };
}
