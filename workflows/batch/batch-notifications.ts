import * as wf from '@temporalio/workflow';
import type { OpeningFault } from '../../activities/open-batch.js';
import type { BatchItemEnd, BatchSummary } from '../../src/contract/batch.js';
import { shellWord } from '../../src/contract/command-lines.js';
import type { WebhookBatch, WebhookEvents } from '../../src/contract/webhook.js';
import {
  type BatchEventSource,
  budgetReachedBatch,
  endedBatch,
  failedBatch,
  pausedBatch,
} from '../../src/contract/webhook-data.js';
import { continueEventsAfter, latestEventId, notify } from '../shared/deliver-webhook.js';
import { failureOrUnexpected } from '../shared/failures.js';
import { numbersOf } from './batch-progress.js';
import type { BatchState, CarriedBatch } from './batch-state.js';

/** Sends the webhook's events of a batch, each once over all runs of the batch. */
export class BatchNotifier {
  readonly #batch: Pick<BatchEventSource, 'workflowId' | 'batchId' | 'retryOf'>;
  readonly #starting = new Set<Promise<void>>();
  /** When the pause began that was reported last. */
  #reportedPauseMs: number | undefined;
  #budgetReported = false;
  #webhookEvents: WebhookEvents | undefined;

  constructor(batchId: string, retryOf: string | null) {
    this.#batch = { workflowId: wf.workflowInfo().workflowId, batchId, retryOf };
  }

  /** Sets the events that the webhook is subscribed to, once they are known. */
  subscribe(webhookEvents: WebhookEvents | undefined): void {
    this.#webhookEvents = webhookEvents;
  }

  /** Continues from the previous run, which has reported the current pause. */
  continueFrom({ data: { webhookEvents, pause, latestEventId } }: BatchState): void {
    continueEventsAfter(latestEventId ?? null);
    this.#webhookEvents = webhookEvents;
    this.#reportedPauseMs = pause?.since_ms;
  }

  /** What the next run begins with, so that its events follow those of this one. */
  carried(state: BatchState): CarriedBatch {
    const eventId = latestEventId();
    return { ...state.carried(), ...(eventId !== null && { latestEventId: eventId }) };
  }

  /** Reports the current pause, unless it is reported or there is none. */
  reportPause(state: BatchState): void {
    const { pause } = state.data;
    if (pause === null || pause.since_ms === this.#reportedPauseMs) return;
    this.#reportedPauseMs = pause.since_ms;
    const key = `batch_paused_${pause.since_ms}`;
    this.#send('batch.paused', key, () => pausedBatch(this.#sourceOf(state), pause));
  }

  /** Reports the first item that a budget has stopped. */
  reportBudget(state: BatchState, { cause, message }: Pick<BatchItemEnd, 'cause' | 'message'>): void {
    if (this.#budgetReported) return;
    this.#budgetReported = true;
    const retry = `"wan-video batch retry ${shellWord(this.#batch.batchId)}"`;
    const failure = {
      type: cause ?? '',
      message: message ?? '',
      next_step:
        'Lines whose video is bought already still get it. Raise the limit, or wait for the next day (UTC), and run ' +
        `${retry} once the batch has ended.`,
    };
    // The key is the same in all runs of the batch, so that a later run does not send it again.
    this.#send('batch.budget_reached', 'budget_reached', () => budgetReachedBatch(this.#sourceOf(state), failure));
  }

  /** Reports the end, and resolves once every delivery has started. */
  async reportEnd(summary: BatchSummary): Promise<void> {
    const { counts, causes, billed, maybe_billed, estimated_seconds, outcome } = summary;
    const totals = { counts, causes, billed, maybe_billed, estimated_seconds };
    const source = { ...this.#batch, ...totals, startedAtMs: summary.started_at_ms, inFlight: 0, waiting: 0 };
    this.#send('batch.ended', 'batch_ended', () => endedBatch(source, outcome, summary));
    await this.allStarted();
  }

  /** Reports a batch that fails as a whole. The step that could not open it names the events in its failure. */
  async reportFailure(error: unknown, state: BatchState | undefined): Promise<void> {
    const cause = error instanceof wf.ActivityFailure ? error.cause : error;
    const fault = cause instanceof wf.ApplicationFailure ? (cause.details?.[1] as OpeningFault | undefined) : undefined;
    this.#webhookEvents ??= fault?.webhookEvents;
    const failure = failureOrUnexpected(error);
    this.#send('batch.ended', 'batch_ended', () => failedBatch(this.#sourceOf(state), failure));
    await this.allStarted();
  }

  /** Resolves once Temporal has every delivery: a run that ends earlier takes its deliveries with it. */
  async allStarted(): Promise<void> {
    await Promise.all(this.#starting);
  }

  #send(type: 'batch.ended' | 'batch.paused' | 'batch.budget_reached', key: string, data: () => WebhookBatch): void {
    const starting: Promise<void> = notify(this.#webhookEvents, type, () => ({ type, key, data: data() })).finally(
      () => {
        this.#starting.delete(starting);
      },
    );
    this.#starting.add(starting);
  }

  #sourceOf(state: BatchState | undefined): BatchEventSource {
    return { ...this.#batch, ...numbersOf(state) };
  }
}
