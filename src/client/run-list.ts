import type { Client } from '@temporalio/client';
import { FailureType } from '../contract/failure-type.js';
import { WorkflowType } from '../contract/names.js';
import { A_STRING, AN_OBJECT, checkOptions, oneOf, type RulesOf } from '../contract/options.js';
import { labelTexts } from '../contract/search-attributes.js';
import { VideoError } from '../contract/video-error.js';
import { encodesPayloads } from './payload-codec.js';
import { textOf } from './text-of.js';
import { type VideoRun, videoRunOf } from './video-run.js';
import { withoutPayloads } from './without-payloads.js';

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

const LIST_OPTIONS: RulesOf<ListOptions> = {
  tenant: A_STRING,
  batchId: A_STRING,
  outcome: A_STRING,
  labels: AN_OBJECT,
  status: oneOf('Running', 'Completed', 'Failed', 'Canceled', 'Terminated', 'TimedOut'),
};

/** A server on SQLite (1.32) escapes these characters twice and finds no value that holds one. */
const UNSEARCHABLE = /["\\\p{Cc}]/u;

/**
 * The visibility query of a list (https://docs.temporal.io/list-filter). It leaves out values that cannot be searched;
 * {@link matchesList} checks those.
 */
function listQuery({ tenant, batchId, outcome, labels, status }: ListOptions): string {
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
function matchesList(run: VideoRun, { tenant, batchId, outcome, labels }: ListOptions): boolean {
  return (
    (tenant === undefined || run.tenant === tenant) &&
    (batchId === undefined || run.batch_id === batchId) &&
    (outcome === undefined || run.outcome === outcome) &&
    labelTexts(labels).every((label) => run.labels.includes(label))
  );
}

/**
 * Lists runs, page by page.
 * @throws VideoError as `WanVideoClient.list`.
 */
export async function* listRuns(client: Client, options: ListOptions): AsyncGenerator<VideoRun> {
  checkOptions('list', options, LIST_OPTIONS);
  if (options.labels !== undefined && Object.keys(options.labels).length > 0 && encodesPayloads(client)) {
    throw new VideoError(FailureType.InvalidRequest, 'Runs cannot be listed by label: a payload codec is in use', {
      issues: [{ path: 'labels', message: 'are encoded and no search attribute then; list by tenant or batch' }],
    });
  }
  try {
    for await (const info of withoutPayloads(client).list({ query: listQuery(options) })) {
      const run = videoRunOf(info);
      if (matchesList(run, options)) yield run;
    }
  } catch (cause) {
    if (!/search attribute|invalid query/i.test(textOf(cause))) throw cause;
    throw new VideoError(FailureType.ConfigurationInvalid, 'The namespace lacks the search attributes of this list', {
      cause,
      nextStep: 'Register them with "wan-video setup"; runs that were started before do not have them.',
    });
  }
}
