import { type Client, WorkflowFailedError } from '@temporalio/client';
import { type Conform, conformFaults, conformRules } from '../contract/conform.js';
import { FailureType } from '../contract/failure-type.js';
import { conformWorkflowId, WorkflowType } from '../contract/names.js';
import { A_FLAG, A_TEXT, type OptionRules } from '../contract/options.js';
import type { VideoResult } from '../contract/result.js';
import { canonicalHash, invalidRequest } from '../contract/validate.js';
import { WAIT_OPTIONS } from './batch-options.js';
import { VideoRunError } from './run-error.js';
import { runErrorOf } from './run-failure.js';
import type { WaitOptions } from './video-start.js';
import { waitFor } from './wait-for.js';

/** What is made from an archived video later. */
export interface ConformVideoOptions extends WaitOptions {
  /** As in a request; default `exact`. */
  readonly conform?: Conform | undefined;
  /** Whether a JPEG of the first frame is stored as well; default false. */
  readonly poster?: boolean | undefined;
}

/** Options of `conform`; the rules are checked as those of a request. */
export const CONFORM_OPTIONS: OptionRules = {
  runId: A_TEXT,
  conform: { must: 'must be off, exact or an object', isValid: (value) => value !== null },
  poster: A_FLAG,
  ...WAIT_OPTIONS,
};

/** The error for a run from whose video nothing can be made. */
export const noVideo = (id: string, status: string): VideoRunError =>
  new VideoRunError(id, {
    type: FailureType.AssetNotFound,
    message: `The run ${id} (${status}) has no video`,
    next_step: `Check it with "wan-video status ${id}".`,
  });

/**
 * Makes another file from an archived video, by a worker with ffmpeg. Buys nothing; equal calls share one run.
 * @throws VideoError `InvalidRequest` for rules that cannot be used; VideoRunError `ConformFailed` when the file
 * cannot be made, or no worker with ffmpeg takes it in time.
 */
export async function conformArchived(
  client: Client,
  taskQueue: string,
  result: VideoResult,
  { conform = 'exact', poster = false, signal, timeoutMs }: ConformVideoOptions,
): Promise<VideoResult> {
  const faults = conformFaults(conform);
  if (faults !== undefined) {
    const issues = typeof faults === 'string' ? [{ path: '', message: faults }] : faults;
    throw invalidRequest(issues.map(({ path, message }) => ({ path: `conform.${path}`.replace(/\.$/, ''), message })));
  }
  const rules = conformRules(conform, result.requested) ?? null;
  const id = conformWorkflowId(result.task_id, canonicalHash({ rules, poster }).slice(0, 16));
  const handle = await client.workflow.start(WorkflowType.conformVideo, {
    taskQueue,
    workflowId: id,
    args: [{ result, conform, poster }],
    workflowIdConflictPolicy: 'USE_EXISTING',
    workflowIdReusePolicy: 'ALLOW_DUPLICATE',
    staticSummary: `make another file from the video of task ${result.task_id}`,
  });
  try {
    return await waitFor(client, id, { signal, timeoutMs }, () => handle.result() as Promise<VideoResult>);
  } catch (error) {
    throw error instanceof WorkflowFailedError ? runErrorOf(id, error) : error;
  }
}
