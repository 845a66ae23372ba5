import * as wf from '@temporalio/workflow';
import type { Purchase, PurchaseStep, WatchedTask } from '../../activities/types.js';
import type { VideoFailure } from '../../src/contract/failure.js';
import type { Attention, SubmitDecision, VideoResult } from '../../src/contract/result.js';
import type { StepTimes } from '../../src/contract/times.js';
import type { WebhookEvents } from '../../src/contract/webhook.js';
import { steps } from '../shared/activities.js';
import { failure, failureOf } from '../shared/failures.js';
import { resolveSignal } from '../shared/messages.js';
import { notifyAttention } from '../shared/notify-webhook.js';
import type { Progress } from './progress.js';

/** Where a purchase leads when nothing of it is open to question any more. */
export type Settled = Extract<PurchaseStep, { kind: 'task' | 'archived' | 'restore' | 'failed' | 'buy' }>;

type Undecided = Extract<PurchaseStep, { kind: 'undecided' }>;

/** How a bought task ended for the run that watched it. */
export type WatchOutcome =
  | { readonly kind: 'archived'; readonly result: VideoResult }
  /** Without a video and free of charge, for no fault of the request. */
  | { readonly kind: 'free'; readonly failure: VideoFailure }
  /** Forgotten by the provider before anybody archived it. */
  | { readonly kind: 'gone'; readonly failure: VideoFailure }
  /** For what was asked: the same request fails again. */
  | { readonly kind: 'failed'; readonly failure: VideoFailure };

/** What a run knows of the purchase it is after; its end needs it when the run is cancelled. */
export class PurchaseTracker {
  /** Set from the moment at which it is known under which purchase something may have been bought. */
  purchase: Purchase | undefined;
  task: WatchedTask | undefined;
  readonly #progress: Progress;
  readonly #decisions: SubmitDecision[] = [];
  #asking = false;
  /** What is told to the webhook, once that is known. */
  webhookEvents: WebhookEvents | undefined;
  /** The question that was told of last, and how many were. */
  #told: { readonly question: string; readonly count: number } = { question: '', count: 0 };

  constructor(progress: Progress) {
    this.#progress = progress;
    wf.setHandler(resolveSignal, (decision) => {
      // A decision answers the question that is asked now; one that nobody asked for would answer a later one.
      if (this.#asking) this.#decisions.push(decision);
    });
  }

  /** Follows, reconciles and, where only a person can tell, waits, until it is clear what the purchase is. */
  async settle(first: PurchaseStep, times: StepTimes): Promise<Settled> {
    const { awaitPurchase, reconcileSubmit } = steps(times);
    let next = first;
    for (;;) {
      this.update(next);
      switch (next.kind) {
        case 'follow':
          this.#progress.enter('following');
          next = await awaitPurchase({ purchase: next.purchase, parked: false });
          break;
        case 'unknown':
          this.#progress.enter('reconciling');
          next = await reconcileSubmit({ purchase: next.purchase });
          break;
        case 'undecided':
          next = await this.#decided(next, times);
          break;
        default:
          return next;
      }
    }
  }

  /** Watches a bought task to its end and archives its video; a failure that was free and may pass is handed back. */
  async watchToEnd(task: WatchedTask, times: StepTimes): Promise<WatchOutcome> {
    this.task = task;
    this.purchase = task.purchase;
    this.#progress.bought(task.taskId);
    const { pollTask, archiveVideo } = steps(times, task.taskId);
    this.#progress.enter('queued');
    let end = await pollTask({ task, until: 'started' });
    if (end.kind === 'started') {
      this.#progress.rendering(end.render);
      end = await pollTask({ task, until: 'ended' });
    }
    if (end.kind === 'started')
      throw failure({ type: 'UnexpectedError', message: 'a watch to the end told of the start' });
    if (end.kind !== 'succeeded') {
      this.#clear();
      return end;
    }
    this.#progress.enter('archiving');
    const result = await archiveVideo({ task: end.task });
    this.#clear();
    return { kind: 'archived', result: boughtByThisRun(task) ? result : { ...result, source: 'adopted' } };
  }

  #clear(): void {
    this.task = undefined;
    this.purchase = undefined;
  }

  /** Notes what a step says of the purchase. */
  update(step: PurchaseStep): void {
    // What is archived needs nobody, also when the store has lost it.
    const nobodys = !['task', 'follow', 'unknown', 'undecided'].includes(step.kind);
    this.task = step.kind === 'task' ? step.task : undefined;
    this.purchase = nobodys ? undefined : (this.task?.purchase ?? ('purchase' in step ? step.purchase : undefined));
  }

  /** Parks until a person decides, or until the ledger shows that any other run, salvage or person has. */
  async #decided({ purchase, attention, mayPass }: Undecided, times: StepTimes): Promise<PurchaseStep> {
    const { awaitPurchase, resolvePurchase } = steps(times);
    const elsewhere = new wf.CancellationScope({ cancellable: true });
    let decided: PurchaseStep | undefined;
    let fault: unknown;
    let told: Promise<void> | undefined;
    const following = elsewhere
      .run(() => awaitPurchase({ purchase, parked: true }))
      .then(
        (step) => {
          decided = step;
        },
        (error: unknown) => {
          fault = error;
        },
      );
    try {
      this.#asking = true;
      this.#progress.attention(attention);
      told = this.#tell(attention);
      for (;;) {
        const isOver = () => decided !== undefined || fault !== undefined || this.#decisions.length > 0;
        if (!mayPass) await wf.condition(isOver);
        else if (!(await wf.condition(isOver, times.parkedRetryMs, { summary: 'before another look' }))) {
          return { kind: 'unknown', purchase, why: 'What stood in the way may be mended.' };
        }
        if (decided !== undefined) return decided;
        if (fault !== undefined) throw fault;
        const decision = this.#decisions.shift();
        if (decision === undefined) continue;
        try {
          return await resolvePurchase({ purchase, decision });
        } catch (error) {
          if (wf.isCancellation(error)) throw error;
          this.#progress.attention({ ...attention, refused: failureOf(error)?.message ?? String(error) });
        }
      }
    } finally {
      this.#asking = false;
      this.#decisions.length = 0;
      elsewhere.cancel();
      await following;
      await told; // that it is on its way: with the run it would end otherwise
    }
  }

  /** Tells the webhook what a person is asked; the same question, asked again after another look, is not told again. */
  async #tell(attention: Attention): Promise<void> {
    const question = JSON.stringify([attention.purchase, attention.reason, attention.candidates]);
    if (question === this.#told.question) return;
    this.#told = { question, count: this.#told.count + 1 };
    await notifyAttention(this.webhookEvents, attention, this.#told.count);
  }
}

/** Whether this run submitted the task; only then may it cancel it at the provider. */
export function boughtByThisRun({ boughtBy }: WatchedTask): boolean {
  const { workflowId, firstExecutionRunId } = wf.workflowInfo();
  return boughtBy.workflowId === workflowId && boughtBy.firstRunId === firstExecutionRunId;
}
