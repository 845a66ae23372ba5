import * as wf from '@temporalio/workflow';
import type { VideoActivities } from '../../activities/index.js';
import type { BudgetAnswer, BudgetTerms } from '../../src/contract/budget.js';
import type { SlotReleaseMessage, SlotRequestMessage, SlotWithdrawalMessage } from '../../src/contract/slots.js';
import { utcDay } from '../../src/contract/utc.js';
import { steps } from '../shared/activities.js';
import { ignoreMessage, onQuery } from '../shared/message-handlers.js';
import { budgetQuery, slotsQuery } from '../shared/messages.js';
import { startSalvages } from '../shared/start-salvage.js';
import { runLink } from '../shared/web-ui.js';
import { workerSinks } from '../shared/worker-sinks.js';
import { limitedBatches, type Spending, unknownBatches } from './budgets.js';
import type { SchedulerInput } from './carried-slots.js';
import { Handover } from './handover.js';
import { isBudgetQuestion, isBudgetTerms, isLimit, isSlotsPage } from './message-guards.js';
import { Notifier } from './notifier.js';
import { heldSlot, payersOf } from './slot-entry.js';
import {
  addRequest,
  adoptOpenPurchases,
  grantSlots,
  hasRoomForRequester,
  releaseDeadHolders,
  releaseSlot,
  removeRequester,
  removeUnreachable,
  roomForAnotherPayer,
} from './slot-queue.js';
import { budgetsOf, emptySlotState, heldEntries, payersIn, type SlotState } from './slot-state.js';
import { toDetails, toSlotsView } from './slots-view.js';
import { applySpending } from './spending.js';

/** Holders are audited as many times less often while nothing waits for them. */
const IDLE_FACTOR = 10;
/**
 * All spending is read again after this time, which counts settlements that were lost, at some thousand small reads.
 */
const SPENDING_MAX_AGE_MS = 3_600_000;
/** Refusals that may wait to be sent; the other requests that a budget has no room for keep waiting until then. */
const REFUSALS_MAX = 500;

/**
 * The state of an account's slots, and everything that changes it: messages, the audit of holders, and what is read
 * from the ledger. The decisions are functions of their own (slot-queue.ts, spending.ts); this class knows when they
 * are due.
 */
export class SlotScheduler {
  readonly #input: SchedulerInput;
  readonly #steps: Pick<VideoActivities, 'findOpenSlots' | 'findDeadSlots' | 'findSpending' | 'wakeWaitingRuns'>;
  readonly #notifier: Notifier;
  readonly #handover: Handover;
  /** Releases that arrived before the ledger was read; undefined once it has been. */
  #earlyReleases: SlotReleaseMessage[] | undefined;
  /** Releases since spending is being read: the reading may have their bills or not. */
  #releasedMeanwhile: SlotReleaseMessage[] = [];
  readonly #timers = new Set<string>();
  #state: SlotState;
  /** Whether the state has changed since slots were granted last. */
  #changed = true;
  #auditDue = false;
  #auditing = false;
  #auditedAtMs: number;
  #spendingDue = false;
  /** Whether spending is being read, or a reading that failed waits for its next attempt. */
  #readingSpending = false;
  #spendingReadAtMs: number;
  /** Whether the spending of all batches that wait is known, and by what. */
  #knownBatches:
    | {
        readonly budget: BudgetTerms;
        readonly spending: Spending;
        readonly version: number;
        readonly isUnknown: boolean;
      }
    | undefined;
  #ignoredSignals: number;
  /** Whether some requests that a budget has no room for still wait, because there are too many refusals to send. */
  #refusalsLeft = false;
  /** Why the workflow fails. */
  #failure: unknown;

  constructor(input: SchedulerInput) {
    const { limit, budget, times, carried } = input;
    this.#input = input;
    this.#steps = steps(times);
    this.#state = { ...emptySlotState(limit, budget), ...carried?.state };
    this.#notifier = new Notifier(
      () => this.#state,
      carried?.due,
      (requesterId, key) => this.#removeUnreachable(requesterId, key),
    );
    this.#handover = new Handover(input, {
      requestSlot: (message) => this.#request(message),
      answerRequest: (message) => this.#answerRequest(message),
      releaseSlot: (message) => this.#release(message),
      withdrawSlotRequest: (message) => this.#withdraw(message),
      setSlotLimit: ({ limit: newLimit, budget: newBudget }) => {
        this.#setLimit(newLimit);
        this.#setBudget(newBudget);
      },
      malformed: () => this.#countIgnored(),
    });
    const { earlyReleases } = carried ?? { earlyReleases: [] };
    this.#earlyReleases = earlyReleases === undefined ? undefined : [...earlyReleases];
    this.#auditedAtMs = carried?.auditedAtMs ?? 0;
    this.#spendingReadAtMs = carried?.spendingReadAtMs ?? 0;
    this.#ignoredSignals = carried?.ignoredSignals ?? 0;
  }

  registerHandlers(): void {
    this.#handover.registerSignals();
    onQuery(slotsQuery, (page) => {
      if (!isSlotsPage(page)) throw new TypeError('The argument of the query "slots" is malformed.');
      return toSlotsView(this.#state, page ?? {}, Date.now());
    });
    onQuery(budgetQuery, (question) => this.#answerBudget(question));
  }

  /** Takes over the queue of the run that this one continues; the first run counts what the ledger has open as held. */
  async takeOver(page: Uint8Array | undefined): Promise<void> {
    const isComplete = await this.#handover.takeOver(page, this.#state.queue);
    if (!isComplete) void this.#wakeWaitingRuns();
    this.#notifier.resume(this.#state.queue);
    if (this.#earlyReleases !== undefined) void this.#adoptOpenPurchases();
  }

  get hasWork(): boolean {
    const isLedgerRead = this.#earlyReleases === undefined;
    const isSettleDue = this.#changed || (this.#refusalsLeft && this.#notifier.decisionsCount < REFUSALS_MAX / 2);
    const isStepDue = this.auditDue || this.spendingDue || this.endsRun || this.mayContinueAsNew;
    return (isSettleDue && isLedgerRead) || isStepDue || this.#failure !== undefined;
  }

  get auditDue(): boolean {
    return this.#auditDue && !this.#auditing && !this.#handover.isDue;
  }

  get spendingDue(): boolean {
    return this.#spendingDue && !this.#readingSpending && !this.#auditing && !this.#handover.isDue;
  }

  /** Whether to hold answers back from now on: the workflow continues as new once those on their way have arrived. */
  get endsRun(): boolean {
    if (this.#notifier.isHeld) return false;
    const isQuiet = !this.#auditing && !this.#readingSpending && this.#earlyReleases === undefined;
    return (this.#handover.isDue && isQuiet) || this.#handover.isOverdue;
  }

  holdAnswers(): void {
    this.#notifier.hold();
  }

  get mayContinueAsNew(): boolean {
    return this.#notifier.isHeld && this.#notifier.isDelivered;
  }

  /** Hands the state over to the next run; returns that run's arguments. */
  handOver(): Promise<[SchedulerInput, Uint8Array?]> {
    const { limit, holders, queue, budget, spending, unsettled } = this.#state;
    return this.#handover.handOver(queue, {
      state: { limit, holders, budget, spending, unsettled },
      due: this.#notifier.takeDue(),
      ...(this.#earlyReleases !== undefined && { earlyReleases: this.#earlyReleases }),
      auditedAtMs: this.#auditedAtMs,
      spendingReadAtMs: this.#spendingReadAtMs,
      ignoredSignals: this.#ignoredSignals,
    });
  }

  /** Grants free slots, sends the answers that are due, and schedules the next audit and reading. */
  grantAndNotify(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if ((!this.#changed && !this.#refusalsLeft) || this.#earlyReleases !== undefined) return;
    this.#changed = false;
    const step = grantSlots(this.#state, Date.now(), Math.max(0, REFUSALS_MAX - this.#notifier.decisionsCount));
    this.#state = step.state;
    this.#refusalsLeft = step.refusalsLeft;
    this.#notifier.sendAnswers(step, Date.now());
    const { limit, holders, queue } = this.#state;
    workerSinks.slots(limit, holders.length, queue.size, Date.now());
    wf.setCurrentDetails(toDetails(this.#state, this.#ignoredSignals, Date.now(), runLink));
    this.#scheduleAudits();
    this.#scheduleSpendingRefresh();
  }

  /** Looks for holders whose purchase has ended or whose run is gone, and frees their slots. */
  startAudit(): void {
    this.#auditDue = false;
    if (heldEntries(this.#state).length > 0) void this.#auditHolders();
  }

  /** Reads what was spent. Until it is known, nothing is granted that depends on it. */
  startSpendingRefresh(): void {
    this.#spendingDue = false;
    void this.#refreshSpending();
  }

  #change(next: SlotState): void {
    this.#state = next;
    this.#changed = true;
  }

  async #wakeWaitingRuns(): Promise<void> {
    const onError = (error: unknown) =>
      wf.log.warn('waiting runs were not asked to request again', { error: `${error}` });
    await this.#steps.wakeWaitingRuns().catch(onError);
  }

  async #adoptOpenPurchases(): Promise<void> {
    try {
      const { open } = await this.#steps.findOpenSlots();
      this.#state = adoptOpenPurchases(this.#state, open, Date.now());
      for (const release of this.#earlyReleases ?? []) this.#state = releaseSlot(this.#state, release, Date.now());
      this.#earlyReleases = undefined;
    } catch (error) {
      this.#failure = error;
    }
  }

  /** @param field - The field of a signal that is malformed: the others are used. */
  #ignoreMalformedField(field: string): void {
    ignoreMessage(field, 'malformed');
    this.#countIgnored();
  }

  #countIgnored(): void {
    this.#ignoredSignals += 1;
    this.#changed = true; // shows the count
  }

  #request(request: SlotRequestMessage, isDirect = false): void {
    const { key, requesterId } = request;
    this.#notifier.answer(request, isDirect);
    this.#setLimit(request.limit);
    this.#setBudget(request.budget);
    this.#changed = true;
    if (!hasRoomForRequester(this.#state, request)) {
      this.#notifier.answerQueueFull(request, Date.now());
    } else if (roomForAnotherPayer(this.#state, request, Date.now()) === 'fits') {
      this.#state = addRequest(this.#state, request, Date.now());
      this.#notifier.expectReply(requesterId, key);
    } else this.#notifier.addPendingShare(request);
  }

  /** Handles a request, and returns what the next step has to say to it; null: that is sent as a signal. */
  async #answerRequest(request: SlotRequestMessage) {
    const isNow = !this.#notifier.isHeld && this.#earlyReleases === undefined;
    this.#request(request, isNow);
    if (isNow) await wf.condition(() => !this.#changed || this.#failure !== undefined);
    return this.#notifier.takeDirectAnswer(request);
  }

  #release(release: SlotReleaseMessage): void {
    this.#earlyReleases?.push(release);
    if (this.#readingSpending) this.#releasedMeanwhile.push(release);
    this.#change(releaseSlot(this.#state, release, Date.now()));
  }

  #withdraw({ key, requesterId, nothingBought = false }: SlotWithdrawalMessage): void {
    const unsettledBefore = this.#state.unsettled.length;
    this.#change(removeRequester(this.#state, key, requesterId, nothingBought, Date.now()));
    if (this.#state.unsettled.length !== unsettledBefore) this.#auditDue = true;
  }

  /** Sets the limit; `undefined` leaves it unchanged. */
  #setLimit(limit: unknown): void {
    if (limit === undefined) return;
    if (isLimit(limit)) this.#change({ ...this.#state, limit });
    else this.#ignoreMalformedField('limit');
  }

  /**
   * Sets the budgets; `null` removes them, and `undefined` leaves them unchanged. A new budget counts what was spent
   * before it existed, so the ledger is read.
   */
  #setBudget(budget: unknown): void {
    if (budget === undefined || JSON.stringify(budget) === JSON.stringify(this.#state.budget)) return;
    if (budget === null) this.#change({ ...this.#state, budget, spending: null, unsettled: [] });
    else if (!isBudgetTerms(budget)) this.#ignoreMalformedField('budget');
    else this.#change({ ...this.#state, budget, spending: this.#state.budget === null ? null : this.#state.spending });
  }

  #answerBudget(question: unknown): BudgetAnswer {
    if (!isBudgetQuestion(question)) throw new TypeError('The argument of the query "budget" is malformed.');
    const { key, tenant, batch, cost } = question;
    const held = this.#state.holders.some((holder) => holder.key === key);
    const room = budgetsOf(this.#state, Date.now())?.room({ tenant, batch }, cost) ?? 'fits';
    return { held, reached: typeof room === 'string' ? null : room };
  }

  /** Removes a requester whose run is gone. If it holds a slot, the audit finds out what became of its purchase. */
  #removeUnreachable(requesterId: string, key: string): void {
    if (this.#state.holders.some((held) => held.key === key)) this.#auditDue = true;
    this.#change(removeUnreachable(this.#state, key, requesterId, Date.now()));
  }

  #scheduleAudits(): void {
    const { slotCheckMs } = this.#input.times;
    if (this.#state.queue.size > 0) {
      if (Date.now() - this.#auditedAtMs >= slotCheckMs) this.#auditDue = true;
      this.#scheduleAudit('runs wait', slotCheckMs);
    }
    if (heldEntries(this.#state).length > 0) this.#scheduleAudit('no run waits', IDLE_FACTOR * slotCheckMs);
  }

  #scheduleAudit(why: 'runs wait' | 'no run waits', ms: number): void {
    if (this.#timers.has(why)) return;
    this.#timers.add(why);
    const onTimer = (): void => {
      this.#timers.delete(why);
      const isNeeded = why === 'no run waits' || this.#state.queue.size > 0;
      if (isNeeded && heldEntries(this.#state).length > 0) this.#auditDue = true;
      this.#changed = true; // schedules the next one
    };
    wf.sleep(ms, { summary: `next audit of the holders (${why})` }).then(onTimer, () => undefined);
  }

  async #auditHolders(): Promise<void> {
    this.#auditing = true;
    this.#auditedAtMs = Date.now();
    const { holders, unsettled } = this.#state;
    try {
      const { dead, orphans, salvage } = await this.#steps.findDeadSlots({
        holders: [...holders.map(heldSlot), ...unsettled.map((entry) => ({ ...heldSlot(entry), slotIsFree: true }))],
      });
      if (salvage !== undefined) {
        await startSalvages(
          { orphans, ...salvage, times: this.#input.times },
          (workflowId) => `finishes a purchase that holds a slot and whose run ${workflowId} is gone`,
        );
      }
      // Their settlement was lost: it has to be counted before the reservation is freed.
      if (this.#state.budget !== null && dead.some(({ paid }) => paid)) {
        await wf.condition(() => !this.#readingSpending);
        await this.#readSpending(true);
      }
      if (dead.length > 0) this.#change(releaseDeadHolders(this.#state, dead, Date.now()));
    } catch (error) {
      wf.log.warn('the audit of the holders failed', { error: String(error) });
    } finally {
      this.#auditing = false;
    }
  }

  get #isSpendingOld(): boolean {
    return Date.now() - this.#spendingReadAtMs >= SPENDING_MAX_AGE_MS;
  }

  #scheduleSpendingRefresh(): void {
    const { budget, spending, queue } = this.#state;
    if (budget === null) return;
    const isOld = this.#isSpendingOld && heldEntries(this.#state).length + queue.size > 0;
    const isUnknown = spending === null || this.#hasUnknownBatches(budget, spending);
    if (isOld || isUnknown) this.#spendingDue = true;
  }

  /** Whether a batch has a limit and its spending is not known; those that wait are asked about once. */
  #hasUnknownBatches(budget: BudgetTerms, spending: Spending): boolean {
    const { queue } = this.#state;
    const known = this.#knownBatches;
    if (known?.budget !== budget || known.spending !== spending || known.version !== queue.batchesVersion) {
      const isUnknown = unknownBatches(budget, spending, queue.batchPayers()).length > 0;
      this.#knownBatches = { budget, spending, version: queue.batchesVersion, isUnknown };
    }
    const held = heldEntries(this.#state).flatMap(payersOf);
    return this.#knownBatches?.isUnknown === true || unknownBatches(budget, spending, held).length > 0;
  }

  async #refreshSpending(): Promise<void> {
    try {
      await this.#readSpending(this.#state.spending === null || this.#isSpendingOld);
    } catch (error) {
      wf.log.warn('spending could not be read; nothing is granted that depends on it', { error: String(error) });
      // A damaged record stays damaged until somebody fixes it, so the next attempt is not made at once.
      this.#readingSpending = true;
      await wf.sleep(this.#input.times.slotCheckMs, { summary: 'before spending is read again' });
      this.#readingSpending = false;
      this.#changed = true;
    }
  }

  /** @param wholeDay - Whether to read everything, or only the batches whose spending is not known yet. */
  async #readSpending(wholeDay: boolean): Promise<void> {
    const { budget, spending } = this.#state;
    if (budget === null) return;
    const payers = [...payersIn(this.#state)];
    const batches = wholeDay ? limitedBatches(budget, payers) : unknownBatches(budget, spending, payers);
    const reserved = heldEntries(this.#state).map(({ key, afterPurchase }) => ({ key, afterPurchase }));
    const startedAtMs = Date.now();
    this.#releasedMeanwhile = [];
    this.#readingSpending = true;
    try {
      const report = await this.#steps.findSpending({ day: utcDay(startedAtMs), wholeDay, batches, reserved });
      this.#change(applySpending(this.#state, report, this.#releasedMeanwhile, Date.now()));
      if (wholeDay) this.#spendingReadAtMs = startedAtMs;
    } finally {
      this.#readingSpending = false;
    }
  }
}
