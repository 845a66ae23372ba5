import * as wf from '@temporalio/workflow';
import type { PageItem } from '../../activities/read-manifest.js';
import type { WrittenReport } from '../../activities/write-results.js';
import type { BatchItemEnd, BatchSchedulePause, BatchSummary, VideoBatchInput } from '../../src/contract/batch.js';
import { failedEnd } from '../../src/contract/batch-item.js';
import type { BatchDelivery } from '../../src/contract/delivery.js';
import { markdownCode, markdownLink, markdownText } from '../../src/contract/markdown.js';
import {
  BATCH_MEMO,
  batchItemWorkflowId,
  ITEM_MEMO,
  type VideoGenerate,
  WorkflowType,
} from '../../src/contract/names.js';
import type { CancelOutcome } from '../../src/contract/result.js';
import { wasPausedWhileWaiting } from '../../src/contract/schedule-pause.js';
import { callerAttributes } from '../../src/contract/search-attributes.js';
import { STEP_TIMES, type StepTimes } from '../../src/contract/times.js';
import { steps } from '../shared/activities.js';
import { cancellable } from '../shared/cancellation.js';
import { failureOf, failureOrUnexpected, isAlreadyStarted, runFailure } from '../shared/failures.js';
import { ignoreMessage, onSignal } from '../shared/message-handlers.js';
import { itemSignal } from '../shared/messages.js';
import { continueOnNewVersion, newVersionAvailable, upgradeAttempted } from '../shared/version-upgrade.js';
import { BatchNotifier } from './batch-notifications.js';
import { BatchProgressView, numbersOf } from './batch-progress.js';
import { BatchRequests } from './batch-requests.js';
import { BatchState, type CarriedBatch } from './batch-state.js';
import { deliverBatch, undelivered } from './deliver-batch.js';
import { batchIdOf, inputOf, openBatch } from './open-batch.js';
import { pauseScheduleOf } from './pause-schedule.js';
import { readItemEnd } from './read-item-end.js';

/** What a run of `videoBatch` begins with. */
interface BatchRunInput extends VideoBatchInput {
  /** State that the previous run handed over; absent in the first run. */
  readonly carried?: CarriedBatch;
  /** Build that the previous run tried to leave. */
  readonly upgrade_from?: string;
}

/** Items of one page, and of one run: some 1900 events of Temporal's 51 200. */
const PAGE_ITEMS = 250;
/** Ends that are written at once: at 1 kB each far below a payload's 256 kB. */
const RESULTS_MAX = 100;
/** A cancelled item ends within 2 s, or 20 s while a submit is answered; a dead worker is replaced within 40 s. */
const CANCEL_WAIT_MS = 120_000;
/** Pause between two sweeps for the ends of cancelled items. */
const CANCEL_SWEEP_MS = 10_000;

/**
 * Runs every line of a manifest as a `videoGenerate` of its own, a window of them at a time, and writes a report. An
 * item's failure is data; a failure of the account pauses the batch until it is resumed.
 */
export async function videoBatch(input: BatchRunInput): Promise<BatchSummary> {
  const batch = new Batch(input);
  try {
    return await cancellable(
      null,
      () => batch.run(),
      () => batch.cancelItems(),
    );
  } catch (error) {
    if (!wf.isCancellation(error) && !(error instanceof wf.ContinueAsNew)) await batch.reportFailure(error);
    throw runFailure(error);
  }
}

class Batch {
  readonly #given: BatchRunInput;
  readonly #input: Partial<BatchRunInput>;
  readonly #batchId: string;
  readonly #progress: BatchProgressView;
  readonly #notifier: BatchNotifier;
  readonly #requests: BatchRequests;
  readonly #starting = new Set<Promise<void>>();
  /** Items that were read and not taken yet. */
  #page: PageItem[] = [];
  #state: BatchState | undefined;
  #sweepDue = false;
  #delivery: BatchDelivery | undefined;

  constructor(given: BatchRunInput) {
    this.#given = given;
    this.#input = inputOf(given);
    this.#batchId = batchIdOf(wf.workflowInfo().workflowId);
    this.#progress = new BatchProgressView(this.#batchId, this.#input.retry_of ?? null);
    this.#notifier = new BatchNotifier(this.#batchId, this.#input.retry_of ?? null);
    if (this.#input.carried !== undefined) {
      const state = new BatchState(this.#input.carried);
      this.#notifier.continueFrom(state);
      this.#watch(state);
    }
    // Set first of all: signals to the previous run may be waiting.
    onSignal(itemSignal, readItemEnd, (end) => this.#itemReported(end));
    this.#requests = new BatchRequests({
      progress: this.#progress,
      notifier: this.#notifier,
      state: () => this.#state,
      window: this.#input.window,
    });
  }

  /** Starts and awaits every item, run by run; the last run writes the report. */
  async run(): Promise<BatchSummary> {
    if (this.#state === undefined) {
      if (wasPausedWhileWaiting(this.#input, this.#batchId)) return this.#report('schedule_paused', STEP_TIMES);
      const opening = await openBatch(this.#given, this.#batchId, (key) =>
        this.#progress.enter('waiting_for_manifest', `${markdownCode(key)} does not exist yet`),
      );
      this.#notifier.subscribe(opening.webhookEvents);
      if (opening.kind === 'missing') return this.#report('manifest_missing', opening.times);
      if (opening.attributes) wf.upsertSearchAttributes({ VideoBatchId: [this.#batchId] });
      const state = BatchState.first(opening, { window: this.#requests.window, startedAtMs: Date.now() });
      this.#requests.applyTo(state);
      this.#watch(state);
      this.#notifier.reportPause(state);
    }
    const state = this.#openState();
    const itemsMax = this.#input.page_items ?? PAGE_ITEMS;
    for (let started = 0; ; ) {
      // A batch that waits continues as new as well: any program may fill its history with signals.
      const isDue = () => state.mayStart || state.isComplete || this.#mustContinueAsNew();
      await this.#until(() => isDue() || state.unwritten.length >= RESULTS_MAX);
      if (state.unwritten.length >= RESULTS_MAX) await this.#writeResults();
      else if (state.isComplete) return this.#finish('completed');
      else if (started >= itemsMax || this.#mustContinueAsNew()) return this.#continueAsNew();
      else if (await this.#startNext()) started += 1;
    }
  }

  /** Cancels every item of this run and of earlier ones, waits for their ends, and reports. */
  async cancelItems(): Promise<Omit<CancelOutcome, 'reason'>> {
    this.#progress.enter('cancelling');
    const state = this.#state;
    if (state === undefined) {
      this.#progress.enter('cancelled');
      return { outcome: 'Nothing was started.', billed: false };
    }
    await Promise.all(this.#starting); // a run that is still being started cannot be reached
    const open = () => [...state.inFlight.keys(), ...state.parked.keys()];
    await Promise.all(
      open().map((itemId) =>
        // A run that has just ended cannot be cancelled; its end is on its way.
        wf
          .getExternalWorkflowHandle(batchItemWorkflowId(this.#batchId, itemId))
          .cancel()
          .catch(() => undefined),
      ),
    );
    const untilMs = Date.now() + CANCEL_WAIT_MS;
    while (open().length > 0 && Date.now() < untilMs) {
      if (!(await wf.condition(() => open().length === 0, CANCEL_SWEEP_MS, { summary: 'ends of cancelled items' })))
        await this.#sweep();
    }
    state.giveUpRepeats(Date.now());
    const { counts, maybe_billed } = await this.#finish('cancelled');
    const videos = counts.generated + counts.cache + counts.adopted;
    return {
      outcome:
        `${videos} of ${counts.total} lines have their video, ${counts.cancelled} were cancelled while ` +
        `in progress.`,
      billed: maybe_billed > 0 ? null : counts.generated > 0,
    };
  }

  /** Shows and reports that the batch as a whole has failed. */
  async reportFailure(error: unknown): Promise<void> {
    this.#progress.enter('failed', markdownText(failureOf(error)?.message ?? ''));
    await this.#notifier.reportFailure(error, this.#state);
  }

  /** Starts the next item that needs a run; false when the next line needs none, or there is none. */
  async #startNext(): Promise<boolean> {
    const state = this.#openState();
    const [repeat] = state.data.again;
    if (repeat !== undefined) {
      const { page } = await this.#steps().readManifest({ batchId: this.#batchId, at: repeat.at, items: 1 });
      const [item] = page;
      if (item === undefined) throw shortenedManifest();
      state.data.again.shift();
      this.#start(item);
      return true;
    }
    const item = await this.#nextItem();
    if (item === undefined) {
      state.data.position = null;
      return false;
    }
    state.took(item);
    if (item.isDuplicate) return false;
    this.#start(item);
    return true;
  }

  async #nextItem(): Promise<PageItem | undefined> {
    const { position, totals } = this.#openState().data;
    if (this.#page.length === 0) {
      const items = Math.min(PAGE_ITEMS, this.#input.page_items ?? PAGE_ITEMS);
      this.#page = (await this.#steps().readManifest({ batchId: this.#batchId, at: position ?? 0, items })).page;
      const { total, invalid } = totals.counts;
      // Without this check a manifest that became shorter would be waited for without end.
      if (this.#page.length === 0 && this.#openState().data.taken < total - invalid) throw shortenedManifest();
    }
    return this.#page.shift();
  }

  /** Starts the run of an item. It reports its end by a signal, which reaches later runs of the batch as well. */
  #start(item: PageItem): void {
    const state = this.#openState();
    const { itemId } = item;
    const { receiver } = this.#input;
    const request = receiver == null ? item.request : { receiver, ...item.request };
    const workflowId = batchItemWorkflowId(this.#batchId, itemId);
    const startedAtMs = Date.now();
    state.started(item); // before the start: a fast item reports its end before its start is confirmed
    const { attributes } = state.data;
    // Not cancellable: a cancelled start would count as an end, although the item may run.
    const started: Promise<void> = wf.CancellationScope.nonCancellable(() =>
      wf.startChild<VideoGenerate>(WorkflowType.videoGenerate, {
        workflowId,
        args: [request],
        parentClosePolicy: 'ABANDON',
        staticSummary: item.summary,
        // An item that has failed may run again under its id; one that has its video, or still runs, may not.
        workflowIdReusePolicy: 'ALLOW_DUPLICATE_FAILED_ONLY',
        cancellationType: wf.ChildWorkflowCancellationType.ABANDON,
        memo: { [BATCH_MEMO]: this.#batchId, [ITEM_MEMO]: itemId, search_attributes: attributes },
        ...(attributes && {
          searchAttributes: { VideoBatchId: [this.#batchId], ...callerAttributes(request, state.data.labelsHidden) },
        }),
      }),
    )
      .then(
        (child) => {
          // A terminated run reports nothing: the sweep finds its end.
          const sweepIfAwaited = () => {
            this.#sweepDue ||= state.isAwaited(itemId);
          };
          child.result().then(sweepIfAwaited, sweepIfAwaited);
        },
        (error: unknown) => {
          if (isAlreadyStarted(error)) this.#sweepDue = true;
          else {
            const head = { item_id: itemId, run: workflowId, started_at_ms: startedAtMs };
            const failure = failureOrUnexpected(error);
            this.#itemEnded(failedEnd(head, failure, request, Date.now()));
          }
        },
      )
      .finally(() => {
        this.#starting.delete(started);
      });
    this.#starting.add(started);
    this.#progress.show();
  }

  /** Takes an end that a signal brings. Any program may send one, and one that a sweep has found comes late. */
  #itemReported(end: BatchItemEnd): void {
    const { item_id: itemId, run } = end;
    const isOurs = run === batchItemWorkflowId(this.#batchId, itemId) && this.#state?.isAwaited(itemId) === true;
    if (isOurs) this.#itemEnded(end);
    else ignoreMessage(itemSignal.name, 'unexpected');
  }

  #itemEnded(end: BatchItemEnd): void {
    this.#state?.ended(end, Date.now());
    if (this.#state !== undefined) {
      this.#notifier.reportPause(this.#state);
      if (end.outcome === 'budget_reached') this.#notifier.reportBudget(this.#state, end);
    }
    this.#progress.show();
  }

  /** Waits, and sweeps when a run has closed without a report, or when nothing has happened for long. */
  async #until(ready: () => boolean): Promise<void> {
    const { batchSweepMs } = this.#openState().data.times;
    while (!ready()) {
      const inTime = await wf.condition(() => ready() || this.#sweepDue, batchSweepMs, {
        summary: 'next search for missed ends',
      });
      if (!inTime || this.#sweepDue) await this.#sweep();
    }
  }

  /** Finds the ends that no signal has brought. */
  async #sweep(): Promise<void> {
    this.#sweepDue = false;
    const state = this.#openState();
    await Promise.all(this.#starting); // a run that does not exist yet would count as lost
    const awaited = [
      ...[...state.inFlight.keys()].map((itemId) => ({ itemId, parked: false })),
      ...[...state.parked.keys()].map((itemId) => ({ itemId, parked: true })),
    ];
    if (awaited.length === 0) return;
    try {
      const { ends } = await this.#steps().findEndedItems({ batchId: this.#batchId, awaited });
      for (const end of ends)
        this.#itemEnded({ ...end, ended_at_ms: end.ended_at_ms === 0 ? Date.now() : end.ended_at_ms });
    } catch (error) {
      if (wf.isCancellation(error)) throw error;
      wf.log.warn('the sweep for ended items failed', { error: String(error) });
    }
  }

  /** Writes the ends that are not written yet; not cancellable, so that pages are written in order. */
  async #writeResults(): Promise<void> {
    const state = this.#openState();
    await wf.CancellationScope.nonCancellable(async () => {
      while (state.unwritten.length > 0) {
        const ends = state.unwritten.splice(0, RESULTS_MAX);
        await this.#steps().writeResults({ batchId: this.#batchId, page: state.data.pages, ends });
        state.data.pages += 1;
      }
    });
  }

  #mustContinueAsNew(): boolean {
    return wf.workflowInfo().continueAsNewSuggested || newVersionAvailable(this.#input.upgrade_from);
  }

  async #continueAsNew(): Promise<never> {
    const state = this.#openState();
    await Promise.all(this.#starting); // a start that is not confirmed would be lost
    await this.#writeResults();
    await wf.condition(wf.allHandlersFinished);
    await this.#notifier.allStarted();
    // The store has a copy of inline items by now.
    const { carried: _, upgrade_from: __, items: ___, ...input } = this.#input;
    const next = {
      ...input,
      carried: this.#notifier.carried(state),
      ...upgradeAttempted(this.#input.upgrade_from),
    };
    return wf.makeContinueAsNewFunc<typeof videoBatch>(continueOnNewVersion)(next);
  }

  async #finish(outcome: 'completed' | 'cancelled'): Promise<BatchSummary> {
    this.#progress.enter('reporting');
    await this.#writeResults();
    const { times, totals } = this.#openState().data;
    // A cancelled batch proves nothing about its items, and a person is there already.
    const pause = outcome === 'completed' ? await pauseScheduleOf(this.#input, this.#batchId, totals, times) : null;
    return this.#report(outcome, times, pause);
  }

  async #report(
    outcome: BatchSummary['outcome'],
    times: StepTimes,
    schedulePause: BatchSchedulePause | null = null,
  ): Promise<BatchSummary> {
    const { inFlight: _, waiting: __, startedAtMs, ...totals } = numbersOf(this.#state);
    const ended: BatchSummary = {
      batch_id: this.#batchId,
      outcome,
      retry_of: this.#input.retry_of ?? null,
      ...totals,
      started_at_ms: startedAtMs,
      ended_at_ms: Date.now(),
      ...(schedulePause !== null && { schedule_pause: schedulePause }),
    };
    const summary = await this.#deliver(ended, times);
    const writing = wf.CancellationScope.nonCancellable(() => steps(times).writeReport({ summary }));
    const report: WrittenReport | undefined = await writing; // a worker of an earlier version returned nothing
    await this.#notifier.reportEnd(summary);
    const note = report && `report: ${markdownLink(report.address, report.address)}`;
    this.#progress.enter(outcome === 'cancelled' ? 'cancelled' : 'done', note);
    return summary;
  }

  /** Delivers what the batch has made, also when it was cancelled; one that is cancelled at this goes no further. */
  async #deliver(summary: BatchSummary, times: StepTimes): Promise<BatchSummary> {
    const plan = this.#state?.data.delivery;
    if (plan === undefined) return summary;
    if (this.#delivery === undefined) {
      this.#progress.enter('delivering', `to ${markdownCode(plan.pattern)}`);
      this.#delivery = undelivered(plan, 'the batch was cancelled before all was delivered'); // until it is
      this.#delivery = await deliverBatch(summary, plan, times);
    }
    return { ...summary, delivery: this.#delivery };
  }

  #watch(state: BatchState): void {
    this.#state = state;
    this.#progress.watch(state);
  }

  #steps() {
    return steps(this.#state?.data.times ?? STEP_TIMES);
  }

  #openState(): BatchState {
    if (this.#state === undefined) throw new Error('the batch is not open yet');
    return this.#state;
  }
}

/** Fails the batch; an error of another kind would fail the workflow task, again and again. */
const shortenedManifest = () =>
  wf.ApplicationFailure.nonRetryable('the manifest of the batch has become shorter', 'RecordDamaged');
