import { WorkflowType } from '../contract/names.js';
import { labelTexts } from '../contract/search-attributes.js';
import type { VideoRun } from './video-run.js';

/** Which runs are listed; all conditions hold together. */
export interface ListOptions {
  readonly tenant?: string | undefined;
  readonly batchId?: string | undefined;
  /**
   * `generated`, `cache`, `adopted`, `failed`, `cancelled` or `budget_reached`; of those that run, `needs_attention`.
   */
  readonly outcome?: string | undefined;
  /** Every label must be there with this value. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly status?: 'Running' | 'Completed' | 'Failed' | 'Canceled' | 'Terminated' | 'TimedOut' | undefined;
}

/**
 * Written by a client into a server's query, these are not found again by a server on SQLite (1.32): it escapes them
 * twice.
 */
const UNSEARCHABLE = /["\\\p{Cc}]/u;

/**
 * The visibility query of a list (https://docs.temporal.io/list-filter); what it cannot say is left to {@link fits}.
 */
export function listQuery({ tenant, batchId, outcome, labels, status }: ListOptions): string {
  const conditions: (readonly [name: string, value: string | undefined])[] = [
    ['WorkflowType', WorkflowType.videoGenerate],
    ['VideoTenant', tenant],
    ['VideoBatchId', batchId],
    ['VideoOutcome', outcome],
    ['ExecutionStatus', status],
    ...labelTexts(labels).map((label) => ['VideoLabels', label] as const),
  ];
  return conditions
    .flatMap(([name, value]) =>
      value === undefined || UNSEARCHABLE.test(value) ? [] : [`${name} = '${value.replaceAll("'", "\\'")}'`],
    )
    .join(' AND ');
}

/** Whether a run that the server found fits every condition. */
export function fits(run: VideoRun, { tenant, batchId, outcome, labels }: ListOptions): boolean {
  return (
    (tenant === undefined || run.tenant === tenant) &&
    (batchId === undefined || run.batch_id === batchId) &&
    (outcome === undefined || run.outcome === outcome) &&
    labelTexts(labels).every((label) => run.labels.includes(label))
  );
}
