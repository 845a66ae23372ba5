import type { AuditedTask, AuditReport } from './audit.js';
import type { BatchSchedulePause, BatchSummary } from './batch.js';
import type { BatchTotals } from './batch-totals.js';
import type { Money } from './budget.js';
import type { BatchDelivery } from './delivery.js';
import type { Attention } from './result.js';

/** The events of the webhook; the data of one type always have the same form. */
export const WEBHOOK_EVENT_TYPES = [
  'batch.ended',
  'batch.paused',
  'batch.budget_reached',
  'run.needs_attention',
  'run.budget_reached',
  'run.ended',
  'audit.orphans',
  'schedule.runs_missed',
] as const;

/** Name of an event. */
export type WebhookEventType = (typeof WEBHOOK_EVENT_TYPES)[number];

/** Events of a receiver that names none: a run's own end costs a delivery for each video, and is sent on request. */
export const DEFAULT_WEBHOOK_EVENTS: readonly WebhookEventType[] = WEBHOOK_EVENT_TYPES.filter(
  (type) => type !== 'run.ended',
);

/** Name of the receiver of runs that name none. */
export const DEFAULT_RECEIVER = 'default';
/** Names of receivers: they go into histories and commands. */
export const RECEIVER_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
/** The fault of another name in an input. */
export const RECEIVER_FAULT = 'must be the name of a receiver of the webhook, never an address';

/** The events that a named receiver is subscribed to. */
export interface ReceiverEvents {
  readonly receiver: string;
  readonly events: readonly WebhookEventType[];
}

/** Events that a run reports: those of the default receiver, or those of the receiver that it names. */
export type WebhookEvents = readonly WebhookEventType[] | ReceiverEvents;

/** The receiver of a run's events, and which of them it gets. */
export const receiverOf = (events: WebhookEvents): ReceiverEvents =>
  'receiver' in events ? events : { receiver: DEFAULT_RECEIVER, events };

/** How an event goes to its receiver. */
export interface WebhookRoute {
  readonly receiver: string;
  /** Id of the run's event before this one, which is delivered first; null: there is none. */
  readonly after: string | null;
}

/** The video of a run that has ended with one. */
interface WebhookVideo {
  /** Stable address in the store. */
  readonly url: string;
  /** Stable address of the picture of its first frame; null: none was made. */
  readonly poster_url: string | null;
  readonly task_id: string;
  readonly sha256: string;
  /** Seconds. */
  readonly duration: number;
  readonly billed_seconds: number;
}

/** An address under which anyone can fetch the video until it expires. */
interface WebhookLink {
  readonly url: string;
  /** ISO 8601, UTC. */
  readonly expires_at: string;
}

/** Fields of every event. */
export interface WebhookSummary {
  readonly workflow_id: string;
  /** What has happened, in a sentence or two. */
  readonly text: string;
  /**
   * Why, in the words of the failure, the provider or the person that caused it; null for an end that needs no reason.
   */
  readonly reason: string | null;
  /** Failure type behind the reason; null when there is none. */
  readonly cause: string | null;
  /** What a person can do now, with the command to type; null: nothing. */
  readonly next_step: string | null;
}

/** Data of the events of a batch, with its numbers at that moment. */
export interface WebhookBatch extends WebhookSummary, BatchTotals {
  readonly batch_id: string;
  /** In `paused` and `running`, items that were started continue; the others are ends. */
  readonly state: BatchSummary['outcome'] | 'failed' | 'paused' | 'running';
  readonly in_flight: number;
  /** Lines whose turn has not come. */
  readonly waiting: number;
  readonly retry_of: string | null;
  /** Milliseconds since the epoch. */
  readonly started_at_ms: number;
  /** Cost of `billed`; null without a price list. */
  readonly amount: Money | null;
  /** Stable address of `report.json` in the store; null while there is none. */
  readonly report_url: string | null;
  /** At the end of a schedule's run that failed above the schedule's limit: what became of the schedule; else null. */
  readonly schedule_pause: BatchSchedulePause | null;
  /** At the end of a batch that delivers its videos: where they are; else null. */
  readonly delivery: BatchDelivery | null;
}

/** Data of the events of one run. */
export interface WebhookRun extends WebhookSummary {
  readonly batch_id: string | null;
  /**
   * `needs_attention`: it has not ended. `done` is a video that this run, or another one, has bought; `cached` one that
   * was in the store; `salvaged` one that a salvage has archived after its own run had ended.
   */
  readonly state: 'needs_attention' | 'done' | 'cached' | 'salvaged' | 'failed' | 'cancelled' | 'budget_reached';
  /** In `run.ended` with a video; else null. */
  readonly video: WebhookVideo | null;
  /** The signed address of the video, for a receiver that is configured to get one; else null. */
  readonly link: WebhookLink | null;
  /** In `needs_attention`: tasks that may be the run's own, and the key of the archived copy of each. */
  readonly candidates: Attention['candidates'];
  /** In `needs_attention`: the commands to choose from. */
  readonly commands: readonly string[];
}

/** Data of the event of an audit that found orphans. */
export interface WebhookAudit extends WebhookSummary {
  readonly batch_id: null;
  readonly state: 'orphans';
  /** Tasks of the account, by what they are. */
  readonly counts: AuditReport['counts'];
  /** Billed seconds of the tasks that are ours. */
  readonly seconds: AuditReport['seconds'];
  /** The orphans and the unclear tasks, the first of them. */
  readonly findings: readonly AuditedTask[];
  /** Workflow ids of the salvages that were started, and tasks that have one. */
  readonly rescued: readonly string[];
}

/** Data of the event of a schedule whose runs were due too long ago when Temporal came to them. */
export interface WebhookSchedule extends WebhookSummary {
  readonly batch_id: null;
  readonly state: 'runs_missed';
  readonly schedule_id: string;
  /** Runs that the schedule has missed since it was created. */
  readonly missed: number;
  /** Those of them that no earlier event has counted. */
  readonly more: number;
}

interface EventHead<Type, Data> {
  /** The same at every delivery of the event, so that a receiver recognizes one that it has processed. */
  readonly id: string;
  readonly type: Type;
  /** When it happened: ISO 8601, UTC. A delivery may come hours later. */
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
  readonly 'run.ended': WebhookRun;
  readonly 'audit.orphans': WebhookAudit;
  readonly 'schedule.runs_missed': WebhookSchedule;
}

/** What is POSTed to the webhook. */
export type WebhookEvent = { [Type in WebhookEventType]: EventHead<Type, EventData[Type]> }[WebhookEventType];

/** Sent by `wan-video webhook test` only. */
export type WebhookTestEvent = EventHead<'webhook.test', { readonly text: string }>;

/** Everything that is POSTed: an event, or the test of the connection. */
export type WebhookDelivery = WebhookEvent | WebhookTestEvent;

/**
 * Id of an event; a retry, a replay and a reset keep it.
 * @param source - Unique among all sources of events: the first run id of a chain of executions, or a schedule's hash.
 * @param key - Unique among the events of the source: letters, digits, underscores.
 */
export const webhookEventId = (source: string, key: string): string => `msg_${source}_${key}`;
