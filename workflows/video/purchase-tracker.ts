import * as wf from '@temporalio/workflow';
import type { ArchiveOutcome } from '../../activities/archive-video.js';
import type { PollInput, PollOutcome } from '../../activities/poll-task.js';
import type { PurchaseStep, SubmitRefusal, WatchedTask } from '../../activities/purchase-step.js';
import type { Purchase } from '../../src/contract/purchase.js';
import type { Attention, DecisionOutcome, SubmitDecision } from '../../src/contract/result.js';
import { sharedResult } from '../../src/contract/shared-result.js';
import type { StepTimes } from '../../src/contract/times.js';
import type { WebhookEvents } from '../../src/contract/webhook.js';
import { steps } from '../shared/activities.js';
import { notifyAttention } from '../shared/deliver-webhook.js';
import { failure, failureOf } from '../shared/failures.js';
import { onRequest, refusal } from '../shared/message-handlers.js';
import { resolveSignal } from '../shared/messages.js';
import type { Progress } from './progress.js';
import { EXPECTED_DECISION, readDecision } from './read-decision.js';
import { lateText, unendedTask, unreachableResult } from './result-attention.js';

/** What a purchase is once nothing about it is open to question. */
export type SettledStep = Extract<PurchaseStep, { kind: 'task' | 'archived' | 'restore' | 'failed' | 'buy' }>;

type UndecidedStep = Extract<PurchaseStep, { kind: 'undecided' }>;

/** How a bought task ended for the run that watched it. */
export type WatchOutcome =
  | Exclude<PollOutcome, { readonly kind: 'started' | 'succeeded' }>
  /** Paid, and a person has decided to buy another one instead. */
  | { readonly kind: 'abandoned' };

type SucceededTask = Extract<PollOutcome, { kind: 'succeeded' }>;

/** A paid result that is no longer in question. */
type DecidedResult = Extract<WatchOutcome, { kind: 'archived' | 'abandoned' }>;

/** What is known of a purchase or of a result that a person has decided on. */
type Answered = PurchaseStep | PollOutcome | ArchiveOutcome | DecidedResult;

/** A decision, and those who wait for what becomes of it. */
interface GivenDecision {
  readonly decision: SubmitDecision;
  readonly accept: (outcome: DecisionOutcome) => void;
  readonly refuse: (why: string) => void;
}

/** What a run waits for a person with. */
interface Question<T extends Answered> {
  readonly attention: Attention;
  /** Waits for an answer that comes without a person; cancelled once there is a decision. */
  readonly follow: () => Promise<T>;
  /** Applies a decision, undefined to look again; what it throws refuses the decision. */
  readonly decide: (decision: SubmitDecision) => Promise<T | undefined>;
  /** Milliseconds without an answer after which another look is taken; absent: never. */
  readonly lookAgainMs?: number;
}

/** A task that is already too old is polled for so long before it is a person's: longer than UNKNOWN is doubted. */
const POLL_LEAST_MS = 900_000;
const HOUR_MS = 3_600_000;

/** Polls a task until it has the age at which its end is overdue. */
function pollInTime(task: WatchedTask, until: PollInput['until'], times: StepTimes): Promise<PollOutcome> {
  const { pollScheduleToCloseMs: ageMs } = times;
  const leftMs = task.intentAtMs + ageMs - Date.now();
  const boundMs = Math.max(leftMs, Math.min(ageMs, POLL_LEAST_MS));
  return steps({ ...times, pollScheduleToCloseMs: boundMs }).pollTask({ task, until });
}

/** Whether a step's schedule-to-close time is over. */
const isTimeUp = (error: unknown): boolean =>
  error instanceof wf.ActivityFailure &&
  (error.retryState === 'TIMEOUT' ||
    (error.cause instanceof wf.TimeoutFailure && error.cause.timeoutType === 'SCHEDULE_TO_CLOSE'));

/** Brings the purchase of a run to its end, and knows what of it is open when the run itself ends early. */
export class PurchaseTracker {
  /** The purchase under which something may have been bought; undefined before, and once it has ended. */
  purchase: Purchase | undefined;
  task: WatchedTask | undefined;
  /** Events that the webhook is subscribed to, once they are known. */
  webhookEvents: WebhookEvents | undefined;
  readonly #progress: Progress;
  /** Submits of this run in a row that created no task, although nobody had refused them. */
  readonly uncreated: SubmitRefusal[] = [];
  readonly #decisions: GivenDecision[] = [];
  /** What a person is asked now. */
  #question: Attention | undefined;
  /** The last question that was reported, and how many were. */
  #reported: { readonly question: string; readonly count: number } = { question: '', count: 0 };

  constructor(progress: Progress) {
    this.#progress = progress;
    onRequest<SubmitDecision, DecisionOutcome>(resolveSignal, {
      read: readDecision,
      expected: EXPECTED_DECISION,
      description: 'Decides what became of a submit, or of a paid result; answers whether the decision was accepted.',
      // A decision answers the current question; one without a question would answer a later one.
      refuse: () => (this.#question === undefined ? 'The run waits for no decision' : undefined),
      handle: (decision) =>
        new Promise((accept, reject) => {
          this.#decisions.push({ decision, accept, refuse: (why) => reject(refusal(why)) });
        }),
      onMalformed: () => this.#refuse(EXPECTED_DECISION),
    });
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
        case 'unknown': {
          const { purchase, refusal } = next;
          this.#progress.enter('reconciling');
          next = await reconcileSubmit({ purchase });
          if (next.kind === 'buy' && refusal !== undefined) this.uncreated.push(refusal);
          break;
        }
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
    this.uncreated.length = 0;
    this.#progress.bought(task.taskId);
    const polled = await this.#poll(task, times);
    if (polled.kind === 'started')
      throw failure({ type: 'UnexpectedError', message: 'pollTask returned before the task ended' });
    if (polled.kind === 'archived' && 'oddities' in polled) this.#progress.noteOddities(polled.oddities);
    const end = polled.kind === 'succeeded' ? await this.#archive(polled, times).catch(this.#ended) : polled;
    this.#clear();
    if (end.kind !== 'archived' || boughtByThisRun(task)) return end;
    return { kind: 'archived', result: sharedResult(end.result, 'adopted') };
  }

  /** Polls a task to its end. One that shows none becomes a person's in time, and is polled further meanwhile. */
  async #poll(task: WatchedTask, times: StepTimes): Promise<PollOutcome | DecidedResult> {
    this.#progress.enter('queued');
    try {
      const first = await pollInTime(task, 'started', times);
      if (first.kind !== 'started') return first;
      this.#progress.rendering(first.render);
      return await pollInTime(task, 'ended', times);
    } catch (error) {
      if (!isTimeUp(error)) throw error;
    }
    const attention = unendedTask(task, Math.round(times.pollScheduleToCloseMs / HOUR_MS));
    for (;;) {
      try {
        const answer = await this.#waitForPerson<PollOutcome | DecidedResult>({
          attention,
          follow: () => steps(times).pollTask({ task, until: 'ended' }),
          decide: (decision) => this.#decideResult(task, decision, times),
        });
        if (answer !== undefined) return answer;
      } catch (error) {
        if (!isTimeUp(error)) throw error;
      }
    }
  }

  /**
   * Archives a result. One that cannot be had is shown as late, then is a person's before the provider deletes it, and
   * is tried further meanwhile.
   */
  async #archive({ task, attempts }: SucceededTask, times: StepTimes): Promise<DecidedResult> {
    const { archiveVideo } = steps(times);
    this.#progress.enter('archiving');
    this.#progress.noteOddities(task.oddities);
    const alarmAtMs = Math.min(Date.now() + times.archiveAlarmMs, task.intentAtMs + times.resultAlarmAgeMs);
    const lateAtMs = Math.min(Date.now() + times.archiveLateMs, alarmAtMs);
    let end = await archiveVideo({ task, untilMs: lateAtMs, before: attempts });
    if (end.kind === 'late' && Date.now() < alarmAtMs) {
      this.#progress.archivingLate(lateText(end.attempts.faults));
      end = await archiveVideo({ task, untilMs: alarmAtMs, before: end.attempts });
    }
    while (end.kind === 'late') {
      const { attempts: before } = end;
      const answer = await this.#waitForPerson<ArchiveOutcome>({
        attention: unreachableResult(task, before.faults),
        follow: () => archiveVideo({ task, before }),
        decide: (decision) => this.#decideResult(task, decision, times),
      });
      if (answer === undefined) this.#progress.enter('archiving');
      end = answer ?? (await archiveVideo({ task, untilMs: Date.now(), before }));
    }
    return end;
  }

  /** A result that is proved to be no video has closed the purchase: there is nothing to salvage. */
  readonly #ended = (error: unknown): never => {
    if (failureOf(error)?.type === 'ResultRejected') this.#clear();
    throw error;
  };

  /** Applies a decision on a paid result; undefined: it is to be tried again. */
  async #decideResult(
    task: WatchedTask,
    decision: SubmitDecision,
    times: StepTimes,
  ): Promise<DecidedResult | undefined> {
    const step = await steps(times).resolvePurchase({ purchase: task.purchase, decision, task });
    if (step.kind === 'archived') return step;
    if (step.kind === 'failed') throw failure(step.failure);
    return step.kind === 'buy' ? { kind: 'abandoned' } : undefined;
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
    const answer = await this.#waitForPerson<PurchaseStep>({
      attention,
      follow: () => awaitPurchase({ purchase, parked: true }),
      decide: (decision) => resolvePurchase({ purchase, decision }),
      ...(mayPass && { lookAgainMs: times.parkedRetryMs }),
    });
    return answer ?? { kind: 'unknown', purchase, why: 'The cause may be fixed by now.' };
  }

  /**
   * Shows a question, and waits for the first of: an answer that comes by itself, and a person's decision.
   * @returns the answer; undefined when another look is to be taken.
   */
  async #waitForPerson<T extends Answered>({
    attention,
    follow,
    decide,
    lookAgainMs,
  }: Question<T>): Promise<T | undefined> {
    const following = new wf.CancellationScope({ cancellable: true });
    let followed: { readonly answer: T } | undefined;
    let fault: { readonly error: unknown } | undefined;
    let reported: Promise<void> | undefined;
    const ended = following.run(follow).then(
      (answer) => {
        followed = { answer };
      },
      (error: unknown) => {
        fault = { error };
      },
    );
    try {
      this.#question = attention;
      this.#progress.needsAttention(attention);
      reported = this.#report(attention);
      for (;;) {
        const isComplete = () => followed !== undefined || fault !== undefined || this.#decisions.length > 0;
        if (lookAgainMs === undefined) await wf.condition(isComplete);
        else if (!(await wf.condition(isComplete, lookAgainMs, { summary: 'until the next look' }))) return undefined;
        if (followed !== undefined) return followed.answer;
        if (fault !== undefined) throw fault.error;
        const given = this.#decisions.shift();
        if (given === undefined) continue;
        const { decision } = given;
        try {
          const answer = await decide(decision);
          given.accept({ decision, task_id: taskIdOf(answer) });
          return answer;
        } catch (error) {
          const why = wf.isCancellation(error) ? 'The run is being cancelled' : textOf(error);
          given.refuse(why);
          if (wf.isCancellation(error)) throw error;
          this.#refuse(why);
        }
      }
    } finally {
      this.#question = undefined;
      for (const { refuse } of this.#decisions.splice(0)) refuse('The run no longer waits for a decision');
      following.cancel();
      await ended;
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

/** The task that a run continues with after a decision; null: none. */
function taskIdOf(answer: Answered | undefined): string | null {
  if (answer?.kind === 'archived') return answer.result.task_id;
  return answer?.kind === 'task' ? answer.task.taskId : null;
}

const textOf = (error: unknown): string => failureOf(error)?.message ?? String(error);

/** Whether this run submitted the task; only then may it cancel the task at the provider. */
export function boughtByThisRun({ boughtBy }: WatchedTask): boolean {
  const { workflowId, firstExecutionRunId } = wf.workflowInfo();
  return boughtBy.workflowId === workflowId && boughtBy.firstRunId === firstExecutionRunId;
}
