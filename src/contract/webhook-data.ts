import type { AuditReport } from './audit.js';
import type { BatchPause, BatchSchedulePause, BatchSummary } from './batch.js';
import { type BatchTotals, namedCounts } from './batch-totals.js';
import { resolveCommands, shellWord } from './command-lines.js';
import type { BatchDelivery } from './delivery.js';
import type { Attention, VideoResult } from './result.js';
import { cleanText } from './safe-text.js';
import { schedulePauseText } from './schedule-pause.js';
import type { Issue } from './video-error.js';
import type { WebhookAudit, WebhookBatch, WebhookRun, WebhookSchedule, WebhookSummary } from './webhook.js';

/** The state of a batch that its events report. */
export interface BatchEventSource extends BatchTotals {
  readonly workflowId: string;
  readonly batchId: string;
  readonly retryOf: string | null;
  readonly inFlight: number;
  readonly waiting: number;
  readonly startedAtMs: number;
}

/** The run that an event reports. */
export interface RunEventSource {
  readonly workflowId: string;
  readonly batchId: string | null;
}

/** The parts of a failure that events report. */
export interface EventFailure {
  readonly type: string;
  readonly message: string;
  readonly issues?: readonly Issue[] | undefined;
  readonly next_step?: string | undefined;
}

/** What a batch did at its end, in addition to its items. */
interface EndNotes {
  readonly schedule_pause?: BatchSchedulePause | null | undefined;
  readonly delivery?: BatchDelivery | null | undefined;
}

/** Data of `batch.ended` for a batch that has finished, was cancelled, or found no manifest. */
export function endedBatch(
  batch: BatchEventSource,
  outcome: BatchSummary['outcome'],
  { schedule_pause: schedulePause = null, delivery = null }: EndNotes = {},
): WebhookBatch {
  const name = `Batch ${cleanText(batch.batchId)}`;
  if (outcome === 'manifest_missing') {
    return batchData(batch, outcome, {
      text: `${name} has not found its manifest; nothing was started.`,
      next_step: 'Put the manifest into the store under its key, and start the batch again.',
    });
  }
  const { counts } = batch;
  const id = shellWord(batch.batchId);
  const schedule = schedulePause === null ? null : schedulePauseText(schedulePause);
  const steps = [
    ...(counts.failed + counts.cancelled + counts.budget_reached > 0
      ? [
          `see why with "wan-video batch report ${id}"`,
          `run lines again that failed for a temporary cause with "wan-video batch retry ${id}"`,
        ]
      : []),
    ...(counts.needs_attention > 0
      ? [`decide the items that wait for a person: "wan-video batch status ${id}" lists them`]
      : []),
    ...(isDelivered(delivery) ? [] : [`see what is not delivered with "wan-video batch status ${id}"`]),
    ...(schedule === null ? [] : [schedule.nextStep]),
  ];
  const end = `${name} ${outcome === 'cancelled' ? 'was cancelled' : 'has ended'}: ${countsText(batch)}.`;
  return batchData(batch, outcome, {
    text: [end, ...deliveredText(delivery), ...(schedule === null ? [] : [schedule.text])].join(' '),
    next_step: steps.length === 0 ? null : `${capitalize(steps.join('; '))}.`,
    schedule_pause: schedulePause,
    delivery,
  });
}

const isDelivered = (delivery: BatchDelivery | null): boolean =>
  delivery === null || (delivery.failure === null && delivery.problems.length === 0);

function deliveredText(delivery: BatchDelivery | null): string[] {
  if (delivery === null) return [];
  const { pattern, folder_url, files, undelivered, failure } = delivery;
  if (failure !== null) return [`Not all of them are delivered to ${pattern}: ${textOf(failure)}.`];
  const others = undelivered === 0 ? '' : `; ${undelivered} could not get their names`;
  return [`${files} are delivered to ${folder_url ?? pattern}${others}.`];
}

/** Data of `batch.ended` for a batch that fails as a whole; a failed item never causes that. */
export function failedBatch(batch: BatchEventSource, failure: EventFailure): WebhookBatch {
  return batchData(batch, 'failed', {
    ...failureData(failure),
    text: `Batch ${cleanText(batch.batchId)} has failed: ${textOf(reasonOf(failure))}`,
  });
}

/** Data of `batch.paused`. */
export function pausedBatch(batch: BatchEventSource, { reason, cause }: BatchPause): WebhookBatch {
  const resume = `resume with "wan-video batch resume ${shellWord(batch.batchId)}".`;
  return batchData(batch, 'paused', {
    text:
      `Batch ${cleanText(batch.batchId)} is paused: ${textOf(reason)} ` +
      `(${countsText(batch)}; items in progress continue).`,
    reason: textOf(reason),
    cause,
    next_step: cause === null ? capitalize(resume) : `Fix the cause, then ${resume}`,
  });
}

/** Data of `batch.budget_reached`, at the first item that a budget has stopped. */
export function budgetReachedBatch(batch: BatchEventSource, failure: EventFailure): WebhookBatch {
  return batchData(batch, 'running', {
    ...failureData(failure),
    text: `Batch ${cleanText(batch.batchId)} has reached a budget: ${textOf(failure.message)} (${countsText(batch)}).`,
  });
}

/** Data of `run.needs_attention`. */
export function attentionRun(
  { workflowId, batchId }: RunEventSource,
  { cause, reason, next_step, candidates }: Attention,
): WebhookRun {
  return {
    workflow_id: workflowId,
    batch_id: batchId,
    state: 'needs_attention',
    text: `Run ${cleanText(workflowId)} waits for a person: ${textOf(reason)}`,
    reason: textOf(reason),
    cause,
    next_step,
    candidates,
    commands: resolveCommands(workflowId, candidates),
    video: null,
    link: null,
  };
}

/** Data of `run.budget_reached`. */
export function budgetReachedRun({ workflowId, batchId }: RunEventSource, failure: EventFailure): WebhookRun {
  return {
    workflow_id: workflowId,
    batch_id: batchId,
    state: 'failed',
    ...failureData(failure),
    text: `Run ${cleanText(workflowId)} was not started: ${textOf(failure.message)}`,
    candidates: [],
    commands: [],
    video: null,
    link: null,
  };
}

/** How a run has ended. */
export type RunEnd =
  | { readonly state: 'done' | 'cached' | 'salvaged'; readonly result: VideoResult }
  | { readonly state: 'failed' | 'budget_reached'; readonly failure: EventFailure }
  | { readonly state: 'cancelled'; readonly outcome: string; readonly reason: string | null };

/** Data of `run.ended`. */
export function endedRun({ workflowId, batchId }: RunEventSource, end: RunEnd): WebhookRun {
  const name = `Run ${cleanText(workflowId)}`;
  const head = {
    workflow_id: workflowId,
    batch_id: batchId,
    state: end.state,
    reason: null,
    cause: null,
    next_step: null,
    candidates: [],
    commands: [],
    video: null,
    link: null,
  };
  if ('result' in end) {
    const { video_url: url, poster_url = null, task_id, sha256, duration, usage } = end.result;
    const how = { done: 'has its video', cached: 'has its video from the store', salvaged: 'has saved a video' };
    const video = { url, poster_url, task_id, sha256, duration, billed_seconds: usage.billed_seconds };
    return { ...head, text: `${name} ${how[end.state]}: ${textOf(url)}`, video };
  }
  if ('failure' in end) {
    const { failure } = end;
    return { ...head, ...failureData(failure), text: `${name} has failed: ${textOf(reasonOf(failure))}` };
  }
  const reason = end.reason === null ? null : textOf(end.reason);
  return { ...head, reason, text: `${name} was cancelled. ${textOf(end.outcome)}` };
}

/** Findings in an event, which has at most some 20 kB. */
const FINDINGS_MAX = 20;

/** Data of `audit.orphans`. */
export function orphansAudit(
  workflowId: string,
  { counts, seconds, findings, rescued }: Pick<AuditReport, 'counts' | 'seconds' | 'findings' | 'rescued'>,
): WebhookAudit {
  const few = findings.slice(0, FINDINGS_MAX);
  return {
    workflow_id: workflowId,
    batch_id: null,
    state: 'orphans',
    text:
      `An audit found ${counts.orphan} paid ${counts.orphan === 1 ? 'task' : 'tasks'} of ours without a video in the ` +
      `store; ${rescued.length} ${rescued.length === 1 ? 'is' : 'are'} rescued.`,
    reason: textOf(few.map(({ task_id, why }) => `${task_id}: ${why}`).join('; ')),
    cause: null,
    next_step: 'See each with "wan-video audit"; the runbook says how a task becomes an orphan.',
    counts,
    seconds,
    findings: few.map((task) => ({ ...task, why: textOf(task.why) })),
    rescued: rescued.slice(0, FINDINGS_MAX),
  };
}

/** Runs that a schedule has missed. */
interface MissedRuns {
  readonly id: string;
  /** The beginning of the workflow ids of its batches. */
  readonly workflowId: string;
  readonly missed: number;
  readonly more: number;
}

/** Data of `schedule.runs_missed`. */
export function missedRuns({ id, workflowId, missed, more }: MissedRuns, catchupMs: number): WebhookSchedule {
  const word = shellWord(id);
  return {
    workflow_id: workflowId,
    batch_id: null,
    state: 'runs_missed',
    text:
      `Schedule ${cleanText(id)} has missed ${more} ${more === 1 ? 'run' : 'runs'}, ${missed} in all: Temporal came ` +
      `to them later than ${catchupMs / 1000} s after they were due, and never starts them by itself.`,
    reason: null,
    cause: null,
    next_step:
      `See "wan-video schedule show ${word}", then start the lost runs with ` +
      `"wan-video schedule backfill ${word} --from TIME --to TIME".`,
    schedule_id: id,
    missed,
    more,
  };
}

function batchData(
  {
    workflowId,
    batchId,
    retryOf,
    inFlight,
    waiting,
    startedAtMs,
    counts,
    causes,
    billed,
    maybe_billed,
    estimated_seconds,
  }: BatchEventSource,
  state: WebhookBatch['state'],
  given: Pick<WebhookBatch, 'text' | 'next_step'> &
    Partial<Pick<WebhookBatch, 'reason' | 'cause' | 'schedule_pause' | 'delivery'>>,
): WebhookBatch {
  return {
    workflow_id: workflowId,
    batch_id: batchId,
    state,
    reason: null,
    cause: null,
    counts,
    causes,
    billed,
    maybe_billed,
    ...(estimated_seconds !== undefined && { estimated_seconds }),
    in_flight: inFlight,
    waiting,
    retry_of: retryOf,
    started_at_ms: startedAtMs,
    amount: null,
    report_url: null,
    schedule_pause: null,
    delivery: null,
    ...given,
  };
}

const failureData = (failure: EventFailure): Pick<WebhookSummary, 'reason' | 'cause' | 'next_step'> => ({
  reason: textOf(reasonOf(failure)),
  cause: failure.type,
  next_step: failure.next_step === undefined ? null : textOf(failure.next_step),
});

/** The message with the faults, because the message may only count them. */
const reasonOf = ({ message, issues = [] }: EventFailure): string =>
  [message, ...issues.map((issue) => `${issue.path}: ${issue.message}`)].join('; ');

/** Most characters of one text: an event has at most some 20 kB, and a manifest may have ten thousand faults. */
const TEXT_MAX = 1_000;

const textOf = (text: string): string => cleanText(text, TEXT_MAX);

/** Such as `58 of 60 lines have their video, 1 failed, 1 in progress`. */
function countsText({ counts, inFlight, waiting }: BatchEventSource): string {
  const { total, generated, cache, adopted, duplicate, ...others } = counts;
  return [
    `${generated + cache + adopted} of ${total} lines have their video`,
    ...(duplicate === 0 ? [] : [`${duplicate} request the same video as another line`]),
    ...namedCounts({ ...others, 'in progress': inFlight, waiting }),
  ].join(', ');
}

const capitalize = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
