import * as wf from '@temporalio/workflow';
import type { PollOutcome } from '../../activities/poll-task.js';
import type { PurchaseStep, WatchedTask } from '../../activities/purchase-step.js';
import type { Purchase } from '../../src/contract/purchase.js';
import type { Attention, SubmitDecision, VideoResult } from '../../src/contract/result.js';
import { sharedResult } from '../../src/contract/shared-result.js';
import type { StepTimes } from '../../src/contract/times.js';
import type { WebhookEvents } from '../../src/contract/webhook.js';
import { steps } from '../shared/activities.js';
import { notifyAttention } from '../shared/deliver-webhook.js';
import { failure, failureOf } from '../shared/failures.js';
import { ignoreMessage, onSignal } from '../shared/message-handlers.js';
import { resolveSignal } from '../shared/messages.js';
import type { Progress } from './progress.js';
import { readDecision } from './read-decision.js';

/** What a purchase is once nothing about it is open to question. */
export type SettledStep = Extract<PurchaseStep, { kind: 'task' | 'archived' | 'restore' | 'failed' | 'buy' }>;

type UndecidedStep = Extract<PurchaseStep, { kind: 'undecided' }>;

/** How a bought task ended for the run that watched it. */
export type WatchOutcome =
  | { readonly kind: 'archived'; readonly result: VideoResult }
  | Exclude<PollOutcome, { readonly kind: 'started' | 'succeeded' }>;

const NO_DECISION = 'The decision names no task and does not say to buy again';

/** Brings the purchase of a run to its end, and knows what of it is open when the run itself ends early. */
export class PurchaseTracker {
  /** The purchase under which something may have been bought; undefined before, and once it has ended. */
  purchase: Purchase | undefined;
  task: WatchedTask | undefined;
  /** Events that the webhook is subscribed to, once they are known. */
  webhookEvents: WebhookEvents | undefined;
  readonly #progress: Progress;
  readonly #decisions: SubmitDecision[] = [];
  /** What a person is asked now. */
  #question: Attention | undefined;
  /** The last question that was reported, and how many were. */
  #reported: { readonly question: string; readonly count: number } = { question: '', count: 0 };

  constructor(progress: Progress) {
    this.#progress = progress;
    // A decision answers the current question; one without a question would answer a later one.
    const onDecision = (decision: SubmitDecision): void => {
      if (this.#question === undefined) ignoreMessage(resolveSignal.name, 'unexpected');
      else this.#decisions.push(decision);
    };
    onSignal(resolveSignal, readDecision, onDecision, { onMalformed: () => this.#refuse(NO_DECISION) });
  }

  /** Follows, reconciles and, if necessary, waits for a person, until it is clear what the purchase is. */
  async settle(first: PurchaseStep, times: StepTimes): Promise<SettledStep> {
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
          next = await this.#decide(next, times);
          break;
        default:
          return next;
      }
    }
  }

  /** Watches a bought task to its end and archives its video; returns a failure that was free or may pass. */
  async watchToEnd(task: WatchedTask, times: StepTimes): Promise<WatchOutcome> {
    this.task = task;
    this.purchase = task.purchase;
    this.#progress.bought(task.taskId);
    const { pollTask, archiveVideo } = steps(times);
    this.#progress.enter('queued');
    let end = await pollTask({ task, until: 'started' });
    if (end.kind === 'started') {
      this.#progress.rendering(end.render);
      end = await pollTask({ task, until: 'ended' });
    }
    if (end.kind === 'started')
      throw failure({ type: 'UnexpectedError', message: 'pollTask returned before the task ended' });
    if (end.kind !== 'succeeded') {
      this.#clear();
      return end;
    }
    this.#progress.enter('archiving');
    this.#progress.noteOddities(end.task.oddities);
    const result = await archiveVideo({ task: end.task });
    this.#clear();
    return { kind: 'archived', result: boughtByThisRun(task) ? result : sharedResult(result, 'adopted') };
  }

  /** Takes over what a step says of the purchase. */
  update(step: PurchaseStep): void {
    this.#clear();
    switch (step.kind) {
      case 'task':
        this.task = step.task;
        this.purchase = step.task.purchase;
        return;
      case 'follow':
      case 'unknown':
      case 'undecided':
        this.purchase = step.purchase;
    }
  }

  #clear(): void {
    this.task = undefined;
    this.purchase = undefined;
  }

  /** Waits until a person decides, or until the ledger shows that another run, a salvage or a person has decided. */
  async #decide({ purchase, attention, mayPass }: UndecidedStep, times: StepTimes): Promise<PurchaseStep> {
    const { awaitPurchase, resolvePurchase } = steps(times);
    const following = new wf.CancellationScope({ cancellable: true });
    let decided: PurchaseStep | undefined;
    let fault: unknown;
    let reported: Promise<void> | undefined;
    const followed = following
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
      this.#question = attention;
      this.#progress.needsAttention(attention);
      reported = this.#report(attention);
      for (;;) {
        const isComplete = () => decided !== undefined || fault !== undefined || this.#decisions.length > 0;
        if (!mayPass) await wf.condition(isComplete);
        else if (!(await wf.condition(isComplete, times.parkedRetryMs, { summary: 'until the next look' }))) {
          return { kind: 'unknown', purchase, why: 'The cause may be fixed by now.' };
        }
        if (decided !== undefined) return decided;
        if (fault !== undefined) throw fault;
        const decision = this.#decisions.shift();
        if (decision === undefined) continue;
        try {
          return await resolvePurchase({ purchase, decision });
        } catch (error) {
          if (wf.isCancellation(error)) throw error;
          this.#refuse(failureOf(error)?.message ?? String(error));
        }
      }
    } finally {
      this.#question = undefined;
      this.#decisions.length = 0;
      following.cancel();
      await followed;
      await reported; // a run that ends earlier takes the delivery with it
    }
  }

  /** Shows the person who is asked why their decision has no effect. */
  #refuse(refused: string): void {
    if (this.#question !== undefined) this.#progress.needsAttention({ ...this.#question, refused });
  }

  /** Sends the question to the webhook; the same question after another look is not sent again. */
  async #report(attention: Attention): Promise<void> {
    const question = JSON.stringify([attention.purchase, attention.reason, attention.candidates]);
    if (question === this.#reported.question) return;
    this.#reported = { question, count: this.#reported.count + 1 };
    await notifyAttention(this.webhookEvents, attention, this.#reported.count);
  }
}

/** Whether this run submitted the task; only then may it cancel the task at the provider. */
export function boughtByThisRun({ boughtBy }: WatchedTask): boolean {
  const { workflowId, firstExecutionRunId } = wf.workflowInfo();
  return boughtBy.workflowId === workflowId && boughtBy.firstRunId === firstExecutionRunId;
}
