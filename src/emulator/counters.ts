import type { Operation } from './faults.js';

/** Requests received since the start or the last reset, whatever they were answered. */
export interface Counters {
  submits: number;
  queries: number;
  lists: number;
  uploads: number;
  policies: number;
  cancels: number;
  downloads: number;
  /** Requests over a rate or, with `beyond_slots: refuse`, over the slots; faults do not count. */
  throttled: number;
}

export const COUNTER = {
  submit: 'submits',
  query: 'queries',
  list: 'lists',
  cancel: 'cancels',
  upload: 'uploads',
  policy: 'policies',
  download: 'downloads',
} as const satisfies Record<Operation, keyof Counters>;

export function noCounters(): Counters {
  return {
    submits: 0,
    queries: 0,
    lists: 0,
    uploads: 0,
    policies: 0,
    cancels: 0,
    downloads: 0,
    throttled: 0,
  };
}
