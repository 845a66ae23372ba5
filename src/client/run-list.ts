import { WorkflowType } from '../contract/names.js';
import { labelTexts } from '../contract/search-attributes.js';
import type { VideoRun } from './video-run.js';

/** Which runs are listed; every given condition must match. */
export interface ListOptions {
  readonly tenant?: string | undefined;
  readonly batchId?: string | undefined;
  /**
   * `generated`, `cache`, `adopted`, `failed`, `cancelled` or `budget_reached`; for running runs `running` or
   * `needs_attention`.
   */
  readonly outcome?: string | undefined;
  /** A run must have each of these labels with its value. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly status?: 'Running' | 'Completed' | 'Failed' | 'Canceled' | 'Terminated' | 'TimedOut' | undefined;
}

/** A server on SQLite (1.32) escapes these characters twice and finds no value that holds one. */
const UNSEARCHABLE = /["\\\p{Cc}]/u;

/**
 * The visibility query of a list (https://docs.temporal.io/list-filter). It leaves out values that cannot be searched;
 * {@link matchesList} checks those.
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

/** Whether a run that the server has found matches every condition. */
export function matchesList(run: VideoRun, { tenant, batchId, outcome, labels }: ListOptions): boolean {
  return (
    (tenant === undefined || run.tenant === tenant) &&
    (batchId === undefined || run.batch_id === batchId) &&
    (outcome === undefined || run.outcome === outcome) &&
    labelTexts(labels).every((label) => run.labels.includes(label))
  );
}
