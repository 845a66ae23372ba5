import type { Client } from '@temporalio/client';
import { VideoRunError } from '../client/run-error.js';
import { WanVideoClient } from '../client/video-client.js';
import type { VideoStatus } from '../client/video-run.js';
import type { VideoErrorObject } from '../contract/failure.js';
import { FailureType } from '../contract/failure-type.js';
import { WorkflowType } from '../contract/names.js';
import type { VideoResult } from '../contract/result.js';
import { DAY_MS, utcDay } from '../contract/utc.js';
import { VideoError } from '../contract/video-error.js';
import type { Ledger } from '../ledger/ledger.js';
import type { PurchaseView } from '../ledger/purchase-view.js';
import type { FailureRecord } from '../ledger/records.js';

/** A run that Temporal has forgotten, as the store knows it. */
export interface StoredRun {
  /** As it was requested. */
  readonly id: string;
  readonly status: 'forgotten';
  /** `<purchase key>/<n>`. */
  readonly purchase: string;
  /** State of the purchase in the ledger. */
  readonly state:
    | 'unclaimed'
    | 'claimed'
    | 'not_created'
    | 'archived'
    | 'failed'
    | 'cancelled'
    | 'expired'
    | 'abandoned';
  /** The run that bought. */
  readonly bought_by: string;
  /** ISO 8601, UTC. */
  readonly bought_at: string;
  readonly tenant: string | null;
  readonly task_id: string | null;
  readonly result: VideoResult | null;
  readonly error: VideoErrorObject | null;
}

/** A run as Temporal knows it, and what the store has of one that could not end by itself. */
export type FoundRun = VideoStatus & {
  /** What became of its purchase; absent: it has none, or Temporal knows its end. */
  readonly stored?: StoredRun;
};

/** Days of day records that are searched for a workflow id, which nothing indexes. */
const SEARCHED_DAYS = 31;
/** Bills that are looked through at most in that search: some minutes if no statement repeats them, else seconds. */
const RECORDS_MAX = 50_000;

/**
 * Finds a run in Temporal, else in the store.
 * @param id - Workflow id; or, as the store knows them, the id of a task or a purchase.
 * @param openLedger - Called only when Temporal does not know the id.
 * @throws VideoRunError `RunNotFound` when neither knows it.
 */
export async function findRun(id: string, client: Client, openLedger: () => Ledger): Promise<FoundRun | StoredRun> {
  const videos = new WanVideoClient({ client });
  const inTemporal = (workflowId: string, runId?: string): Promise<VideoStatus | undefined> =>
    videos.describe(workflowId, { runId }).catch((error: unknown) => {
      if (error instanceof VideoRunError && error.error.type === FailureType.RunNotFound) return undefined;
      throw error;
    });
  const run = await inTemporal(id);
  if (run !== undefined) return withPurchase(run, openLedger);
  const found = await findPurchase(openLedger(), id, Date.now());
  if (found === undefined) {
    throw new VideoRunError(id, {
      type: FailureType.RunNotFound,
      message: `Temporal knows no run ${id}, and the store knows no purchase by this id`,
      next_step: `To find a run that bought something more than ${SEARCHED_DAYS} days ago, give the id of its task.`,
    });
  }
  const { workflow_id, first_run_id } = found.intent;
  const buyer = workflow_id === id ? undefined : await inTemporal(workflow_id, first_run_id);
  return buyer === undefined ? storedRun(id, found) : withPurchase(buyer, openLedger);
}

/** Adds what the store knows of a run that was ended from outside: its task, and its video once that is salvaged. */
async function withPurchase(run: VideoStatus, openLedger: () => Ledger): Promise<FoundRun> {
  const { id, run_id, status, workflow_type, task_id, started_at } = run;
  const isCutOff = status === 'terminated' || status === 'timed_out';
  if (!isCutOff || workflow_type !== WorkflowType.videoGenerate) return run;
  try {
    const days = Math.ceil((Date.now() - Date.parse(started_at)) / DAY_MS) + 1;
    const ledger = openLedger();
    const found =
      task_id === null
        ? await findBoughtBy(ledger, id, Date.now(), Math.min(SEARCHED_DAYS, days))
        : await findPurchase(ledger, task_id, Date.now());
    // Another run of the same id may have bought something as well.
    if (found === undefined || found.intent.first_run_id !== run_id) return run;
    const stored = storedRun(id, found);
    return { ...run, task_id: task_id ?? stored.task_id, stored };
  } catch (error) {
    // What Temporal knows is shown also without the store.
    if (error instanceof VideoError) return run;
    throw error;
  }
}

/**
 * Finds the purchase behind a task id, a purchase (`<key>` or `<key>/<n>`), a salvage's id or the workflow id of the
 * run that bought it. Task and purchase are found at any age; a workflow id only among the open purchases of the last
 * day and the paid ones of the last {@link SEARCHED_DAYS} days, the newest first.
 */
async function findPurchase(ledger: Ledger, id: string, nowMs: number): Promise<PurchaseView | undefined> {
  const named = /^(?:salvage\/)?([0-9a-f]{16,128})(?:\/([1-9]\d{0,8}))?$/.exec(id);
  if (named?.[1] !== undefined) {
    const [, key, n] = named;
    const view = n === undefined ? await ledger.findNewest(key) : await ledger.findPurchase({ key, n: Number(n) });
    if (view !== undefined) return view;
  }
  const task = await ledger.findTask(id);
  if (task !== undefined) return ledger.findPurchase({ key: task.purchase_key, n: task.n });
  return findBoughtBy(ledger, id, nowMs);
}

async function findBoughtBy(
  ledger: Ledger,
  workflowId: string,
  nowMs: number,
  days = SEARCHED_DAYS,
): Promise<PurchaseView | undefined> {
  const { open } = await ledger.listOpen();
  const found = open.findLast(({ intent }) => intent.workflow_id === workflowId);
  if (found !== undefined) return found;
  let read = 0;
  // One day ahead as well: the day is that of the provider's clock.
  for (let day = -1; day < days; day += 1) {
    let latest: { key: string; n: number; endMs: number } | undefined;
    for await (const record of ledger.listBills(utcDay(nowMs - day * DAY_MS), { damaged: [] })) {
      if (record.workflow_id === workflowId && record.end_time_ms >= (latest?.endMs ?? 0)) {
        latest = { key: record.purchase_key, n: record.n, endMs: record.end_time_ms };
      }
      read += 1;
      if (read >= RECORDS_MAX) break;
    }
    if (latest !== undefined) return ledger.findPurchase(latest);
    if (read >= RECORDS_MAX) return undefined;
  }
  return undefined;
}

function storedRun(id: string, { purchase, intent, state }: PurchaseView): StoredRun {
  const ending = state.kind === 'closed' ? state.ending : undefined;
  const failure =
    state.kind === 'not_created' ? state.notCreated.failure : ending?.how === 'failed' ? ending.failure : null;
  return {
    id,
    status: 'forgotten',
    purchase: `${purchase.key}/${purchase.n}`,
    state: state.kind === 'closed' ? state.ending.how : state.kind,
    bought_by: intent.workflow_id,
    bought_at: new Date(intent.written_at_ms).toISOString(),
    tenant: intent.tenant,
    task_id: state.kind === 'claimed' || state.kind === 'closed' ? state.task.task_id : null,
    result: ending?.how === 'archived' ? ending.result : null,
    error: failure === null ? null : publishedFailure(failure),
  };
}

/** Fields that do not apply are left out. */
function publishedFailure(failure: FailureRecord): VideoErrorObject {
  const { type, message, code, task_id, request_id, billed, next_step } = failure;
  return {
    type,
    message,
    ...(code !== null && { code }),
    ...(task_id !== null && { task_id }),
    ...(request_id !== null && { request_id }),
    ...(billed !== null && { billed }),
    ...(next_step !== null && { next_step }),
  };
}
