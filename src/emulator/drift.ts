import { z } from 'zod';
import { type DriftChange, driftChange, writeChanged } from './drift-change.js';
import { OPERATIONS, type Operation } from './operation.js';
import { pseudorandomFraction } from './pseudorandom.js';
import {
  matchesRequest,
  REQUEST_FILTER_FIELDS,
  type RequestFilter,
  type RequestSubject,
  unusableFilterFields,
} from './request-filter.js';
import { type HttpResponse, isByteSource } from './wire.js';

/** A rule by which the answers of one kind of request differ from the documents, until the setting changes. */
export interface DriftRule extends RequestFilter {
  /** Kind of request: one that is answered in JSON. */
  on: Exclude<Operation, 'upload' | 'download'>;
  /** Changes of the documented answer, errors included, in this order. */
  changes: DriftChange[];
  /** Fraction of the answers that are changed, chosen by the setting `seed`; default 1. */
  probability?: number | undefined;
  /** Number of answers that are changed about each task (without a task: in total); default: all. */
  times?: number | undefined;
  /** Number of answers about each task (without a task: in total) that stay unchanged before; default 0. */
  skip?: number | undefined;
}

/** Requests that are answered in JSON. */
export const JSON_OPERATIONS = OPERATIONS.filter((on) => on !== 'upload' && on !== 'download');

export const driftChanges = z.array(driftChange).min(1);

export const driftRules: z.ZodType<DriftRule[]> = z.array(
  z
    .strictObject({
      on: z.enum(JSON_OPERATIONS),
      changes: driftChanges,
      ...REQUEST_FILTER_FIELDS,
      probability: z.number().min(0).max(1).optional(),
      times: z.int().positive().optional(),
      skip: z.int().min(0).optional(),
    })
    .superRefine((rule, context) => {
      for (const [name, message] of unusableFilterFields(rule.on, rule)) {
        context.addIssue({ code: 'custom', path: [name], message });
      }
    }),
);

/** What {@link Drift} needs to know of a request. */
interface DriftRequest {
  readonly on: Operation;
  readonly subject: RequestSubject;
  readonly rules: readonly DriftRule[];
  /** The setting `seed`. */
  readonly seed: number;
}

/** Chooses the changes of each answer; counts the answers of each rule. */
export class Drift {
  /** Answers to which a rule applied, by rule and task, and by rule in total. */
  readonly #counts = new Map<string, number>();

  /** Forgets the counts: the rules have changed, or the emulator was reset. */
  reset(): void {
    this.#counts.clear();
  }

  /** Returns the changes of an answer by the rules. */
  changesFor({ on, subject, rules, seed }: DriftRequest): DriftChange[] {
    return rules.flatMap((rule, index) => {
      if (rule.on !== on || !matchesRequest(rule, subject)) return [];
      const { probability = 1, skip = 0, times = Number.POSITIVE_INFINITY } = rule;
      const ofTask = this.#count(`${index}:${subject.taskId ?? ''}`);
      if (ofTask < skip || ofTask >= skip + times) return [];
      const inTotal = this.#count(`${index}`);
      return pseudorandomFraction(`${seed}:drift:${index}:${inTotal}`) < probability ? rule.changes : [];
    });
  }

  /** Returns how often this was called for the name before. */
  #count(name: string): number {
    const count = this.#counts.get(name) ?? 0;
    this.#counts.set(name, count + 1);
    return count;
  }
}

/** Returns a response after changes of its JSON; a response that has none stays as it is. */
export function driftResponse(response: HttpResponse, changes: readonly DriftChange[], seed: string): HttpResponse {
  const { body } = response;
  if (changes.length === 0 || typeof body === 'string' || isByteSource(body)) return response;
  const headers = { 'content-type': 'application/json', ...response.headers };
  return { ...response, headers, body: writeChanged(body, changes, seed) ?? '' };
}
