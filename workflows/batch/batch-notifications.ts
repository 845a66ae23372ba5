import * as wf from '@temporalio/workflow';
import type { OpeningFault } from '../../activities/batch-types.js';
import type { WebhookEvents } from '../../activities/types.js';
import type { BatchItemEnd, BatchSummary } from '../../src/contract/batch.js';
import { noTotals } from '../../src/contract/batch-totals.js';
import { shellWord } from '../../src/contract/command-lines.js';
import {
  type BatchEventSource,
  budgetReachedBatch,
  endedBatch,
  failedBatch,
  pausedBatch,
  type WebhookBatch,
} from '../../src/contract/webhook.js';
import { failureOf } from '../shared/failures.js';
import { tell } from '../shared/notify-webhook.js';
import type { BatchState } from './batch-state.js';

/** What a batch tells to the webhook, each piece once. */
export class BatchNotifier {
  readonly #batch: Pick<BatchEventSource, 'workflowId' | 'batchId' | 'retryOf'>;
  readonly #starting = new Set<Promise<void>>();
  /** When the pause began that was told of last. */
  #toldPauseMs: number | undefined;
  #budgetTold = false;
  #webhookEvents: WebhookEvents | undefined;

  constructor(batchId: string, retryOf: string | null) {
    this.#batch = { workflowId: wf.workflowInfo().workflowId, batchId, retryOf };
  }

  /** Says what is to be told, once that is known. */
  wants(webhookEvents: WebhookEvents | undefined): void {
    this.#webhookEvents = webhookEvents;
  }

  /** Goes on where the run before has left off, which told of the pause that still holds. */
  carriedOn({ webhookEvents, pause }: BatchState): void {
    this.#webhookEvents = webhookEvents;
    this.#toldPauseMs = pause?.since_ms;
  }

  /** Looks whether the batch has been paused since. */
  paused(state: BatchState): void {
    const { pause } = state;
    if (pause === null || pause.since_ms === this.#toldPauseMs) return;
    this.#toldPauseMs = pause.since_ms;
    const what = `batch_paused_${pause.since_ms}`;
    this.#tell('batch.paused', what, () => pausedBatch(this.#told(state), pause));
  }

  /** A budget has stopped an item: told of the first one only. */
  budgetReached(state: BatchState, { cause, message }: Pick<BatchItemEnd, 'cause' | 'message'>): void {
    if (this.#budgetTold) return;
    this.#budgetTold = true;
    const retry = `"wan-video batch retry ${shellWord(this.#batch.batchId)}"`;
    const nextStep = `Lines whose video is bought already still get it. Raise the limit, or wait for the next day (UTC), and run ${retry} once the batch has ended.`;
    const failure = { type: cause ?? '', message: message ?? '', next_step: nextStep };
    // The id holds over the batch's runs: whichever of them comes to this first has told it for all.
    this.#tell('batch.budget_reached', 'budget_reached', () => budgetReachedBatch(this.#told(state), failure));
  }

  /** Tells of the end, and resolves once all that was told is on its way. */
  async ended(summary: BatchSummary): Promise<void> {
    const { counts, causes, billed, maybe_billed, started_at_ms: startedAtMs, outcome, schedule_pause } = summary;
    const told = { ...this.#batch, counts, causes, billed, maybe_billed, startedAtMs, inFlight: 0, waiting: 0 };
    this.#tell('batch.ended', 'batch_ended', () => endedBatch(told, outcome, schedule_pause));
    await this.onTheirWay();
  }

  /** As {@link ended}, for a batch that fails as a whole; a step that could not open it says whom to tell. */
  async failed(error: unknown, state: BatchState | undefined): Promise<void> {
    const cause = error instanceof wf.ActivityFailure ? error.cause : error;
    if (cause instanceof wf.ApplicationFailure)
      this.#webhookEvents ??= (cause.details?.[1] as OpeningFault | undefined)?.webhookEvents;
    const failure = failureOf(error) ?? { type: 'UnexpectedError', message: String(error) };
    this.#tell('batch.ended', 'batch_ended', () => failedBatch(this.#told(state), failure));
    await this.onTheirWay();
  }

  /** Resolves once what was told is known to Temporal: with the run it would end otherwise. */
  async onTheirWay(): Promise<void> {
    await Promise.all(this.#starting);
  }

  #tell(type: 'batch.ended' | 'batch.paused' | 'batch.budget_reached', what: string, data: () => WebhookBatch): void {
    const starting: Promise<void> = tell(this.#webhookEvents, type, () => ({ type, what, data: data() })).finally(
      () => {
        this.#starting.delete(starting);
      },
    );
    this.#starting.add(starting);
  }

  #told(state: BatchState | undefined): BatchEventSource {
    const totals = state?.totals ?? noTotals({ total: 0, duplicate: 0, invalid: 0 });
    return {
      ...{ ...this.#batch, ...totals, inFlight: state?.inFlight.size ?? 0, waiting: state?.waiting ?? 0 },
      startedAtMs: state?.startedAtMs ?? wf.workflowInfo().startTime.getTime(),
    };
  }
}
