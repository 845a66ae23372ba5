import { z } from 'zod';
import type { Operation } from './operation.js';
import { type EmulatorTaskStatus, TASK_STATUSES } from './task-status.js';

/** Properties of a request that a fault or a drift rule may require. */
export interface RequestFilter {
  /** Only requests about a task whose prompt contains this text. */
  match?: string | undefined;
  /** Only requests about a task that has this status. */
  task_status?: EmulatorTaskStatus | undefined;
  /** Only requests about a task that a query has already answered as SUCCEEDED, as when its result is archived. */
  after_success?: boolean | undefined;
}

/** The task that a request is about, as far as filters read it. */
export interface RequestSubject {
  readonly taskId?: string | undefined;
  readonly prompt?: string | undefined;
  readonly status?: EmulatorTaskStatus | undefined;
  readonly wasShownSucceeded?: boolean;
  /** Whether it is a download that was redirected to its own address. */
  readonly isRedirected?: boolean;
}

/** Fields of the schemas of faults and drift rules. */
export const REQUEST_FILTER_FIELDS = {
  match: z.string().min(1).optional(),
  task_status: z.enum(TASK_STATUSES).optional(),
  after_success: z.boolean().optional(),
};

/** Requests that are about a task; a submit has a prompt, but no task yet. */
const WITH_TASK: readonly Operation[] = ['query', 'cancel', 'download'];

export function matchesRequest(filter: RequestFilter, subject: RequestSubject): boolean {
  const { match, task_status, after_success } = filter;
  if (match !== undefined && !subject.prompt?.includes(match)) return false;
  if (task_status !== undefined && subject.status !== task_status) return false;
  return after_success === undefined || after_success === (subject.wasShownSucceeded ?? false);
}

/** Returns name and problem of each field that can never be true for requests of this kind. */
export function unusableFilterFields(on: Operation, filter: RequestFilter): [name: string, problem: string][] {
  if (WITH_TASK.includes(on)) return [];
  const unusable: [string, string][] = [];
  if (filter.match !== undefined && on !== 'submit') unusable.push(['match', `${on} has no prompt`]);
  for (const name of ['task_status', 'after_success'] as const) {
    if (filter[name] !== undefined) unusable.push([name, `${on} is not about a task`]);
  }
  return unusable;
}
