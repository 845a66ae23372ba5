import type { BatchPause, BatchSchedulePause, BatchSummary } from './batch.js';
import type { BatchTotals } from './batch-totals.js';
import { plainText, resolveCommands, shellWord } from './command-lines.js';
import type { Attention } from './result.js';
import { schedulePauseText } from './schedule-pause.js';
import type { Issue } from './video-error.js';

/** What can be told; the data of one type always have the same form. */
export const WEBHOOK_EVENT_TYPES = [
  'batch.ended',
  'batch.paused',
  'batch.budget_reached',
  'run.needs_attention',
  'run.budget_reached',
] as const;

/** Name of an event. */
export type WebhookEventType = (typeof WEBHOOK_EVENT_TYPES)[number];

/** An amount of money in the currency of the price list. */
export interface WebhookAmount {
  readonly currency: string;
  readonly amount: number;
}

/** What every event says. */
interface News {
  readonly workflow_id: string;
  /** What has happened, in a sentence or two. */
  readonly text: string;
  /** Why, in the words of the failure, the provider or the person that is the cause; null where nothing but an end is told. */
  readonly reason: string | null;
  /** Failure type behind the reason; null when there is none. */
  readonly cause: string | null;
  /** What a person can do now, with the command to type; null: nothing. */
  readonly next_step: string | null;
}

/** Data of the events of a batch: its numbers as they were then. */
export interface WebhookBatch extends News, BatchTotals {
  readonly batch_id: string;
  /** `paused` and `running` go on to work on what was started; the others are ends. */
  readonly state: BatchSummary['outcome'] | 'failed' | 'paused' | 'running';
  readonly in_flight: number;
  /** Lines whose turn has not come. */
  readonly waiting: number;
  readonly retry_of: string | null;
  /** Milliseconds since the epoch. */
  readonly started_at_ms: number;
  /** What `billed` comes to; null without a price list. */
  readonly amount: WebhookAmount | null;
  /** Stable address of `report.json` in the store; null while there is none. */
  readonly report_url: string | null;
  /** At the end of a schedule's run of which more failed than the schedule bears: what became of the schedule; else null. */
  readonly schedule_pause: BatchSchedulePause | null;
}

/** Data of the events of one run. */
export interface WebhookRun extends News {
  readonly batch_id: string | null;
  readonly state: 'needs_attention' | 'failed';
  /** In `needs_attention`: tasks that may be the run's own, and the key of what is archived of each. */
  readonly candidates: Attention['candidates'];
  /** In `needs_attention`: the commands of which one decides. */
  readonly commands: readonly string[];
}

interface EventHead<Type, Data> {
  /** The same at every delivery of the event: what was seen before under this id is known. */
  readonly id: string;
  readonly type: Type;
  /** When it happened: ISO 8601, UTC. A delivery may be hours younger. */
  readonly timestamp: string;
  readonly data: Data;
}

/** Data of each event. */
interface EventData {
  readonly 'batch.ended': WebhookBatch;
  readonly 'batch.paused': WebhookBatch;
  readonly 'batch.budget_reached': WebhookBatch;
  readonly 'run.needs_attention': WebhookRun;
  readonly 'run.budget_reached': WebhookRun;
}

/** What is POSTed to the webhook. */
export type WebhookEvent = { [Type in WebhookEventType]: EventHead<Type, EventData[Type]> }[WebhookEventType];

/** Sent by `wan-video webhook test` only. */
export type WebhookTestEvent = EventHead<'webhook.test', { readonly text: string }>;

/**
 * Id of an event: of one execution chain, which neither a retry nor a replay nor a reset changes.
 * @param what - Tells the events of the chain apart: letters, digits, underscores.
 */
export const webhookEventId = (firstRunId: string, what: string): string => `msg_${firstRunId}_${what}`;

/** A batch as far as events tell of it. */
export interface BatchEventSource extends BatchTotals {
  readonly workflowId: string;
  readonly batchId: string;
  readonly retryOf: string | null;
  readonly inFlight: number;
  readonly waiting: number;
  readonly startedAtMs: number;
}

/** What is told of a batch that has ended. */
export function endedBatch(
  batch: BatchEventSource,
  outcome: BatchSummary['outcome'],
  schedulePause: BatchSchedulePause | null = null,
): WebhookBatch {
  const { counts } = batch;
  const id = shellWord(batch.batchId);
  const name = `Batch ${plainText(batch.batchId)}`;
  const waits = counts.needs_attention;
  const schedule = schedulePause === null ? null : schedulePauseText(schedulePause);
  const steps = [
    ...(counts.failed + counts.cancelled + counts.budget_reached > 0
      ? [`see why with "wan-video batch report ${id}"`, `run again what can pass with "wan-video batch retry ${id}"`]
      : []),
    ...(waits > 0 ? [`decide what waits for a person, as told of each: "wan-video batch status ${id}"`] : []),
    ...(schedule === null ? [] : [schedule.nextStep]),
  ];
  if (outcome === 'manifest_missing') {
    return batchNews(batch, outcome, {
      text: `${name} has not found its manifest; nothing was started.`,
      next_step: 'Put the manifest into the store under its key, and start the batch again.',
    });
  }
  return batchNews(batch, outcome, {
    text: `${name} ${outcome === 'cancelled' ? 'was cancelled' : 'has ended'}: ${countsText(batch)}.${schedule === null ? '' : ` ${schedule.text}`}`,
    next_step: steps.length === 0 ? null : `${capital(steps.join('; '))}.`,
    schedule_pause: schedulePause,
  });
}

/** What is told of a batch that fails as a whole, which the failure of an item never makes it do. */
export function failedBatch(batch: BatchEventSource, failure: Told): WebhookBatch {
  return batchNews(batch, 'failed', {
    ...failureNews(failure),
    text: `Batch ${plainText(batch.batchId)} has failed: ${cut(reasonOf(failure))}`,
  });
}

/** What is told of a batch that starts nothing further until it is told to go on. */
export function pausedBatch(batch: BatchEventSource, { reason, cause }: BatchPause): WebhookBatch {
  const resume = `"wan-video batch resume ${shellWord(batch.batchId)}"`;
  return batchNews(batch, 'paused', {
    text: `Batch ${plainText(batch.batchId)} is paused: ${cut(reason)} (${countsText(batch)}; what is in work goes on).`,
    reason: cut(reason),
    cause,
    next_step: cause === null ? `Go on with ${resume}.` : `Mend the reason, then go on with ${resume}.`,
  });
}

/** What is told of a batch in which a budget has stopped an item. */
export function budgetReachedBatch(batch: BatchEventSource, failure: Told): WebhookBatch {
  return batchNews(batch, 'running', {
    ...failureNews(failure),
    text: `Batch ${plainText(batch.batchId)} has reached a budget: ${cut(failure.message)} (${countsText(batch)}).`,
  });
}

/** A run as far as events tell of it. */
export interface RunEventSource {
  readonly workflowId: string;
  readonly batchId: string | null;
}

/** What is told of a run that waits for a person. */
export function attentionRun({ workflowId, batchId }: RunEventSource, { reason, candidates }: Attention): WebhookRun {
  return {
    workflow_id: workflowId,
    batch_id: batchId,
    state: 'needs_attention',
    text: `Run ${plainText(workflowId)} waits for a person: ${cut(reason)}`,
    ...{ reason: cut(reason), cause: 'SubmitOutcomeUnknown' },
    next_step: 'Look at the candidates, then decide with one of the commands; the run goes on by itself.',
    candidates,
    commands: resolveCommands(workflowId, candidates),
  };
}

/** What is told of a run that a budget has stopped. */
export function budgetReachedRun({ workflowId, batchId }: RunEventSource, failure: Told): WebhookRun {
  return {
    ...{ workflow_id: workflowId, batch_id: batchId, state: 'failed', candidates: [], commands: [] },
    ...failureNews(failure),
    text: `Run ${plainText(workflowId)} was not started: ${cut(failure.message)}`,
  };
}

/** A failure, as far as events tell of it. */
export interface Told {
  readonly type: string;
  readonly message: string;
  readonly issues?: readonly Issue[] | undefined;
  readonly next_step?: string | undefined;
}

/** An event has at most some 20 kB, and a manifest may have ten thousand faults. */
const TEXT_MAX = 1_000;
const cut = (text: string): string => {
  const plain = plainText(text);
  return plain.length <= TEXT_MAX ? plain : `${plain.slice(0, TEXT_MAX - 1)}…`;
};

/** The faults themselves, too, as far as they fit: the message may only count them. */
const reasonOf = ({ message, issues = [] }: Told): string =>
  [message, ...issues.map((issue) => `${issue.path}: ${issue.message}`)].join('; ');

const failureNews = (failure: Told) => ({
  reason: cut(reasonOf(failure)),
  cause: failure.type,
  next_step: failure.next_step === undefined ? null : cut(failure.next_step),
});

function batchNews(
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
  }: BatchEventSource,
  state: WebhookBatch['state'],
  {
    text,
    next_step,
    reason = null,
    cause = null,
    schedule_pause = null,
  }: Pick<News, 'text' | 'next_step'> & Partial<News & Pick<WebhookBatch, 'schedule_pause'>>,
): WebhookBatch {
  return {
    ...{ workflow_id: workflowId, batch_id: batchId, state, text, reason, cause, next_step },
    ...{ counts, causes, billed, maybe_billed, in_flight: inFlight, waiting },
    ...{ retry_of: retryOf, started_at_ms: startedAtMs, amount: null, report_url: null, schedule_pause },
  };
}

/** `58 of 60 lines have their video, 1 failed, 1 in work` */
function countsText({ counts, inFlight, waiting }: BatchEventSource): string {
  const { total, generated, cache, adopted, duplicate, ...others } = counts;
  const more = { ...others, 'in work': inFlight, waiting };
  return [
    `${generated + cache + adopted} of ${total} lines have their video`,
    ...(duplicate === 0 ? [] : [`${duplicate} ask for the same as another`]),
    ...Object.entries(more).flatMap(([name, count]) => (count === 0 ? [] : [`${count} ${name.replace('_', ' ')}`])),
  ].join(', ');
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
