import * as wf from '@temporalio/workflow';
import type { BatchOpening, PageItem } from '../../activities/batch-types.js';
import type { BatchItemEnd, BatchSchedulePause, BatchSummary, VideoBatchInput } from '../../src/contract/batch.js';
import { batchInputIssues, inlineItems } from '../../src/contract/batch-input.js';
import { cancelledEnd, failedEnd, videoEnd } from '../../src/contract/batch-item.js';
import { noTotals } from '../../src/contract/batch-totals.js';
import { BATCH_MEMO, batchItemWorkflowId, batchWorkflowId, ITEM_MEMO } from '../../src/contract/names.js';
import type { CancelOutcome } from '../../src/contract/result.js';
import { callerAttributes } from '../../src/contract/search-attributes.js';
import { STEP_TIMES, type StepTimes } from '../../src/contract/times.js';
import type { Issue } from '../../src/contract/video-error.js';
import { steps } from '../shared/activities.js';
import { cancellable } from '../shared/cancellation.js';
import { failureOf, isAlreadyStarted } from '../shared/failures.js';
import { itemSignal, pauseSignal, resumeSignal, windowSignal } from '../shared/messages.js';
import { continueOnNewVersion, newVersionAvailable, upgradeAttempted } from '../shared/version-upgrade.js';
import { videoGenerate } from '../video/video-generate.js';
import { BatchNotifier } from './batch-notifications.js';
import { BatchProgressView } from './batch-progress.js';
import { BatchState, type CarriedBatch, isWindow } from './batch-state.js';
import { pauseScheduleOf } from './pause-schedule.js';

/** What a run of `videoBatch` begins with. */
interface BatchRunInput extends VideoBatchInput {
  /** What the run before handed on; none: the first one. */
  readonly carried?: CarriedBatch;
  /** The build that the run before tried to leave. */
  readonly upgrade_from?: string;
}

/** One page, one run: some 1900 events of Temporal's 51 200. */
const PAGE_ITEMS = 250;
/** Ends that are written at once: at 1 kB each far below a payload's 256 kB. */
const RESULTS_MAX = 100;
/** A manifest that is not there yet is looked for so often. */
const MANIFEST_EVERY_MS = 60_000;
/** A cancelled item ends within 2 s, or 20 s while a purchase is being answered; a dead worker is replaced within 40 s. */
const CANCEL_WAIT_MS = 120_000;
/** How often the ends of cancelled items are looked for meanwhile. */
const CANCEL_SWEEP_MS = 10_000;

/**
 * Runs every line of a manifest as a `videoGenerate` of its own, a window of them at a time, and writes a report. An item's failure is
 * data; a failure of the account pauses the batch until it is told to go on.
 */
export async function videoBatch(input: BatchRunInput): Promise<BatchSummary> {
  const batch = new Batch(input);
  try {
    return await cancellable(
      null,
      () => batch.work(),
      () => batch.cancelItems(),
    );
  } catch (error) {
    if (!wf.isCancellation(error) && !(error instanceof wf.ContinueAsNew)) await batch.failed(error);
    throw error;
  }
}

class Batch {
  readonly progress: BatchProgressView;
  readonly #input: BatchRunInput;
  /** Faults of the input; those of its manifest or items are found when it is opened. */
  readonly #issues: readonly Issue[];
  readonly #batchId: string;
  readonly #news: BatchNotifier;
  readonly #starting = new Set<Promise<void>>();
  /** The latest start of each item: the result of an earlier one is not news. */
  readonly #latest = new Map<string, object>();
  /** Items that were read and not taken yet. */
  #page: PageItem[] = [];
  #state: BatchState | undefined;
  #sweepDue = false;
  /** Until there is a state: what was said already. */
  #window: unknown;
  #paused: { reason: string } | undefined;

  constructor(given: BatchRunInput) {
    // Any client may start it, with anything.
    const input = Object(given) === given ? given : {};
    this.#input = input;
    this.#issues = input.carried === undefined ? batchInputIssues(given) : [];
    this.#window = input.window;
    this.#batchId = batchIdOf(wf.workflowInfo().workflowId);
    this.progress = new BatchProgressView(this.#batchId, input.retry_of ?? null);
    this.#news = new BatchNotifier(this.#batchId, input.retry_of ?? null);
    if (input.carried !== undefined) {
      const state = new BatchState(input.carried);
      this.#news.carriedOn(state);
      this.#watch(state);
    }
    // From the first moment: signals to the run before may be waiting. What is none of ours must not stop the run.
    wf.setHandler(itemSignal, (end) => {
      if (typeof end?.item_id === 'string' && typeof end.outcome === 'string') this.#ended(end);
    });
    wf.setHandler(pauseSignal, (said) => this.#pause(String(said?.reason ?? 'somebody asked for it')));
    wf.setHandler(resumeSignal, () => this.#resume());
    wf.setHandler(windowSignal, (said) => this.#setWindow(said?.window));
  }

  /** Starts and awaits every item, run by run; the last run writes the report. */
  async work(): Promise<BatchSummary> {
    if (this.#state === undefined) {
      const opening = await this.#open();
      this.#news.wants(opening.webhookEvents);
      if (opening.kind === 'missing') return this.#report('manifest_missing', opening.times);
      const { times, attributes } = opening;
      if (attributes) wf.upsertSearchAttributes({ VideoBatchId: [this.#batchId] });
      const state = BatchState.first(opening, {
        ...{ times, attributes, window: this.#window, startedAtMs: Date.now() },
        ...(opening.labelsHidden === true && { labelsHidden: true }),
        ...(opening.webhookEvents !== undefined && { webhookEvents: opening.webhookEvents }),
      });
      if (this.#paused !== undefined) state.pause = { ...this.#paused, cause: null, since_ms: Date.now() };
      this.#watch(state);
      this.#news.paused(state);
    }
    const state = this.#stateNow();
    const pageItems = this.#input.page_items ?? PAGE_ITEMS;
    for (let started = 0; ; ) {
      await this.#until(() => state.mayStart || state.isComplete || state.unwritten.length >= RESULTS_MAX);
      if (state.unwritten.length >= RESULTS_MAX) await this.#write();
      else if (state.isComplete) return this.#finish('completed');
      else if (
        started >= pageItems ||
        wf.workflowInfo().continueAsNewSuggested ||
        newVersionAvailable(this.#input.upgrade_from)
      )
        return this.#continue();
      else if (await this.#startNext()) started += 1;
    }
  }

  /** Ends every item of this run and of the runs before, waits for what they say, and reports. */
  async cancelItems(): Promise<Omit<CancelOutcome, 'reason'>> {
    this.progress.enter('cancelling');
    const state = this.#state;
    if (state === undefined) {
      this.progress.enter('cancelled');
      return { outcome: 'Nothing was started.', billed: false };
    }
    await Promise.all(this.#starting); // who starts now could not be reached yet
    const open = () => [...state.inFlight.keys(), ...state.parked.keys()];
    await Promise.all(
      open().map((itemId) =>
        // One that has just ended is not there any more; what it said is on its way.
        wf
          .getExternalWorkflowHandle(batchItemWorkflowId(this.#batchId, itemId))
          .cancel()
          .catch(() => undefined),
      ),
    );
    const untilMs = Date.now() + CANCEL_WAIT_MS;
    while (open().length > 0 && Date.now() < untilMs) {
      if (!(await wf.condition(() => open().length === 0, CANCEL_SWEEP_MS))) await this.#sweep();
    }
    state.settlePending(Date.now());
    const { counts, maybe_billed } = await this.#finish('cancelled');
    const videos = counts.generated + counts.cache + counts.adopted;
    return {
      outcome: `${videos} of ${counts.total} lines have their video, ${counts.cancelled} were cancelled in work.`,
      billed: maybe_billed > 0 ? null : counts.generated > 0,
    };
  }

  /** Shows and tells that the batch as a whole has failed. */
  async failed(error: unknown): Promise<void> {
    this.progress.enter('failed', failureOf(error)?.message);
    await this.#news.failed(error, this.#state);
  }

  async #open(): Promise<BatchOpening> {
    const { manifest_key, allow_invalid, manifest_wait_seconds, timezone } = this.#input;
    const items = inlineItems(this.#input.items);
    const input = {
      ...{ batchId: this.#batchId, timezone: timezone ?? 'UTC', allowInvalid: allow_invalid === true },
      ...(manifest_key != null && { manifestKey: manifest_key }),
      ...(items !== undefined && { items }),
      // Told by the step, which adds the faults of the items and knows who is to be told of them.
      ...(this.#issues.length > 0 && { issues: this.#issues }),
      nominalTime: nominalTimeOf(this.#batchId) ?? wf.workflowInfo().startTime.toISOString(),
    };
    const untilMs = Date.now() + (manifest_wait_seconds ?? 0) * 1000;
    for (;;) {
      const opening = await steps().openBatch(input);
      if (opening.kind === 'open' || Date.now() >= untilMs) return opening;
      this.progress.enter('waiting_for_manifest', `\`${opening.manifestKey}\` is not there yet`);
      await wf.sleep(Math.min(MANIFEST_EVERY_MS, untilMs - Date.now()), {
        summary: 'until the manifest is looked for again',
      });
    }
  }

  /** Starts the next item that needs a run; false when the next line needs none, or there is none. */
  async #startNext(): Promise<boolean> {
    const state = this.#stateNow();
    const [again] = state.again;
    if (again !== undefined) {
      const { page } = await this.#steps().readManifest({ batchId: this.#batchId, at: again.at, items: 1 });
      const [item] = page;
      if (item === undefined) throw new Error(`the manifest ends before ${again.at}`);
      state.again.shift();
      this.#start(item);
      return true;
    }
    const item = await this.#nextItem();
    if (item === undefined) {
      state.position = null;
      return false;
    }
    state.took(item);
    if (item.isDuplicate) return false;
    this.#start(item);
    return true;
  }

  async #nextItem(): Promise<PageItem | undefined> {
    const { position, totals } = this.#stateNow();
    if (this.#page.length === 0) {
      const items = Math.min(PAGE_ITEMS, this.#input.page_items ?? PAGE_ITEMS);
      this.#page = (await this.#steps().readManifest({ batchId: this.#batchId, at: position ?? 0, items })).page;
      const { total, invalid } = totals.counts;
      // A manifest that became shorter would be waited for without end.
      if (this.#page.length === 0 && this.#stateNow().taken < total - invalid) {
        throw wf.ApplicationFailure.nonRetryable('the manifest of the batch has become shorter', 'RecordDamaged');
      }
    }
    return this.#page.shift();
  }

  #start(item: PageItem): void {
    const state = this.#stateNow();
    const { itemId, request } = item;
    const workflowId = batchItemWorkflowId(this.#batchId, itemId);
    state.started(item); // before the start: a fast item tells its end before the start is known
    const { attributes } = state;
    const head = { item_id: itemId, run: workflowId, started_at_ms: Date.now() };
    this.#latest.set(itemId, head);
    // Not cancellable: a cancelled start would count as an end, whatever becomes of the item.
    const started: Promise<void> = wf.CancellationScope.nonCancellable(() =>
      wf.startChild(videoGenerate, {
        ...{ workflowId, args: [request], parentClosePolicy: 'ABANDON', staticSummary: item.summary },
        // One that has failed may run again under its id; one that has its video, or runs, is there already.
        workflowIdReusePolicy: 'ALLOW_DUPLICATE_FAILED_ONLY',
        cancellationType: wf.ChildWorkflowCancellationType.ABANDON,
        memo: { [BATCH_MEMO]: this.#batchId, [ITEM_MEMO]: itemId, search_attributes: attributes },
        ...(attributes && {
          searchAttributes: { VideoBatchId: [this.#batchId], ...callerAttributes(request, state.labelsHidden) },
        }),
      }),
    )
      .then(
        (child) => {
          const isLatest = (): boolean => this.#latest.get(itemId) === head;
          // Beside the signal: one that is terminated does not tell.
          child.result().then(
            (result) => isLatest() && this.#ended(videoEnd(head, result, Date.now())),
            (error: unknown) => isLatest() && this.#ended(endOfFailed(head, error, request)),
          );
        },
        (error: unknown) => {
          if (isAlreadyStarted(error)) this.#sweepDue = true;
          else this.#ended(endOfFailed(head, error, request));
        },
      )
      .finally(() => {
        this.#starting.delete(started);
      });
    this.#starting.add(started);
    this.progress.show();
  }

  #ended(end: BatchItemEnd): void {
    this.#state?.ended(end, Date.now());
    if (this.#state !== undefined) {
      this.#news.paused(this.#state);
      if (end.outcome === 'budget_reached') this.#news.budgetReached(this.#state, end);
    }
    this.progress.show();
  }

  /** Waits; looks after who is silent for long. */
  async #until(ready: () => boolean): Promise<void> {
    const { batchSweepMs } = this.#stateNow().times;
    while (!ready()) {
      const told = await wf.condition(() => ready() || this.#sweepDue, batchSweepMs);
      if (!told || this.#sweepDue) await this.#sweep();
    }
  }

  async #sweep(): Promise<void> {
    this.#sweepDue = false;
    const state = this.#stateNow();
    await Promise.all(this.#starting); // a run that is not there yet would count as lost
    const awaited = [
      ...[...state.inFlight.keys()].map((itemId) => ({ itemId, parked: false })),
      ...[...state.parked.keys()].map((itemId) => ({ itemId, parked: true })),
    ];
    if (awaited.length === 0) return;
    try {
      const { ends } = await this.#steps().findEndedItems({ batchId: this.#batchId, awaited });
      for (const end of ends)
        this.#ended({ ...end, ended_at_ms: end.ended_at_ms === 0 ? Date.now() : end.ended_at_ms });
    } catch (error) {
      if (wf.isCancellation(error)) throw error;
      wf.log.warn('ends that were missed could not be looked for', { error: String(error) });
    }
  }

  /** Keeps the ends that are not kept yet; not cancellable, so that a page is written in order. */
  async #write(): Promise<void> {
    const state = this.#stateNow();
    await wf.CancellationScope.nonCancellable(async () => {
      while (state.unwritten.length > 0) {
        const ends = state.unwritten.splice(0, RESULTS_MAX);
        await this.#steps().writeResults({ batchId: this.#batchId, page: state.pages, ends });
        state.pages += 1;
      }
    });
  }

  async #continue(): Promise<never> {
    const state = this.#stateNow();
    await Promise.all(this.#starting); // a start that is not confirmed would be lost
    await this.#write();
    await wf.condition(wf.allHandlersFinished);
    await this.#news.onTheirWay();
    // Of items that came inline the store has a copy by now.
    const { carried: _, upgrade_from: __, items: ___, ...input } = this.#input;
    const next = { ...input, carried: state.carried(), ...upgradeAttempted(this.#input.upgrade_from) };
    return wf.makeContinueAsNewFunc<typeof videoBatch>(continueOnNewVersion)(next);
  }

  async #finish(outcome: 'completed' | 'cancelled'): Promise<BatchSummary> {
    this.progress.enter('reporting');
    await this.#write();
    const { times, totals } = this.#stateNow();
    // A cancelled batch says nothing of its items, and a person has seen to it.
    const pause = outcome === 'completed' ? await pauseScheduleOf(this.#input, this.#batchId, totals, times) : null;
    return this.#report(outcome, times, pause);
  }

  async #report(
    outcome: BatchSummary['outcome'],
    times: StepTimes,
    schedule_pause: BatchSchedulePause | null = null,
  ): Promise<BatchSummary> {
    const state = this.#state;
    const summary: BatchSummary = {
      ...{ batch_id: this.#batchId, outcome, retry_of: this.#input.retry_of ?? null },
      ...(state?.totals ?? noTotals({ total: 0, duplicate: 0, invalid: 0 })),
      started_at_ms: state?.startedAtMs ?? wf.workflowInfo().startTime.getTime(),
      ended_at_ms: Date.now(),
      ...(schedule_pause !== null && { schedule_pause }),
    };
    await wf.CancellationScope.nonCancellable(() => steps(times).writeReport({ summary }));
    await this.#news.ended(summary);
    this.progress.enter(outcome === 'cancelled' ? 'cancelled' : 'done');
    return summary;
  }

  #watch(state: BatchState): void {
    this.#state = state;
    this.progress.watch(state);
  }

  #pause(reason: string): void {
    const state = this.#state;
    if (state === undefined) this.#paused = { reason };
    else {
      state.pause ??= { reason, cause: null, since_ms: Date.now() };
      this.#news.paused(state);
    }
    this.progress.show();
  }

  #resume(): void {
    this.#paused = undefined;
    if (this.#state !== undefined) this.#state.pause = null;
    this.progress.show();
  }

  #setWindow(window: unknown): void {
    if (!isWindow(window)) {
      wf.log.warn('a window must be a whole number from 1 to 500');
      return;
    }
    this.#window = window;
    if (this.#state !== undefined) this.#state.window = window;
    this.progress.show();
  }

  #steps() {
    return steps(this.#state?.times ?? STEP_TIMES);
  }

  #stateNow(): BatchState {
    if (this.#state === undefined) throw new Error('the batch is not open yet');
    return this.#state;
  }
}

/** `batch/<id>`; a run that somebody started under another id is a batch of that name. */
const batchIdOf = (workflowId: string): string => {
  const prefix = batchWorkflowId('');
  return workflowId.startsWith(prefix) ? workflowId.slice(prefix.length) : workflowId;
};

/** A schedule ends the id of each run with its nominal time. */
const nominalTimeOf = (batchId: string): string | undefined => /-(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)$/.exec(batchId)?.[1];

/** What is known of an item whose run ended without a word: its failure, as Temporal tells it. */
function endOfFailed(
  head: Parameters<typeof failedEnd>[0],
  error: unknown,
  request: PageItem['request'],
): BatchItemEnd {
  if (wf.isCancellation(error))
    return cancelledEnd(head, { outcome: 'Cancelled.', billed: null, taskId: null }, Date.now());
  const cause = error instanceof wf.ChildWorkflowFailure ? error.cause : error;
  const failure = failureOf(cause) ?? {
    type: cause instanceof wf.TerminatedFailure ? 'Terminated' : 'Failed',
    message: String(cause),
  };
  return failedEnd(head, failure, request, Date.now());
}
