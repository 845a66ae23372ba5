import * as wf from '@temporalio/workflow';
import type { VideoActivities } from '../../activities/index.js';
import type { BudgetAnswer } from '../../src/contract/budget.js';
import type { SlotReleaseMessage, SlotRequestMessage, SlotWithdrawalMessage } from '../../src/contract/slots.js';
import { utcDay } from '../../src/contract/utc.js';
import { steps } from '../shared/activities.js';
import { checkedBy, ignoreMessage, onQuery, onSignal } from '../shared/message-handlers.js';
import {
  budgetQuery,
  releaseSlotSignal,
  requestSlotSignal,
  setSlotLimitSignal,
  slotsQuery,
  withdrawSlotRequestSignal,
} from '../shared/messages.js';
import { newVersionAvailable, upgradeAttempted } from '../shared/version-upgrade.js';
import { workerSinks } from '../shared/worker-sinks.js';
import { limitedBatches, unknownBatches } from './budgets.js';
import { CARRIED_BYTES_MAX, fitToBytes, type SchedulerInput } from './carried-slots.js';
import {
  isBudgetQuestion,
  isBudgetTerms,
  isLimit,
  isSlotLimit,
  isSlotRelease,
  isSlotRequest,
  isSlotWithdrawal,
  SLOT_MESSAGE_BYTES_MAX,
} from './message-guards.js';
import { Notifier } from './notifier.js';
import {
  addRequest,
  adoptOpenPurchases,
  grantSlots,
  releaseDeadHolders,
  releaseSlot,
  removeRequester,
  roomForAnotherPayer,
} from './slot-queue.js';
import { budgetsOf, emptySlotState, heldEntries, payersIn, type SlotEntry, type SlotState } from './slot-state.js';
import { toDetails, toSlotsView } from './slots-view.js';
import { applySpending } from './spending.js';

/** Holders are audited as many times less often while nothing waits for them. */
const IDLE_FACTOR = 10;
/**
 * All spending is read again after this time, which counts settlements that were lost, at some thousand small reads.
 */
const SPENDING_MAX_AGE_MS = 3_600_000;

/**
 * The state of an account's slots, and everything that changes it: messages, the audit of holders, and what is read
 * from the ledger. The decisions are pure functions (slot-queue.ts, spending.ts); this class knows when they are due.
 */
export class SlotScheduler {
  readonly #input: SchedulerInput;
  readonly #steps: Pick<VideoActivities, 'findOpenSlots' | 'findDeadSlots' | 'findSpending'>;
  readonly #notifier: Notifier;
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
  #ignoredSignals: number;

  constructor(input: SchedulerInput) {
    const { limit, budget, times, carried } = input;
    this.#input = input;
    this.#steps = steps(times);
    this.#state = carried?.state ?? emptySlotState(limit, budget);
    this.#notifier = new Notifier(carried?.sentPlaces, (requesterId, key) => this.#removeUnreachable(requesterId, key));
    this.#earlyReleases = carried === undefined ? [] : undefined;
    this.#auditedAtMs = carried?.auditedAtMs ?? 0;
    this.#spendingReadAtMs = carried?.spendingReadAtMs ?? 0;
    this.#ignoredSignals = carried?.ignoredSignals ?? 0;
  }

  registerHandlers(): void {
    this.#onSignal(requestSlotSignal, isSlotRequest, (message) => this.#request(message));
    this.#onSignal(releaseSlotSignal, isSlotRelease, (message) => this.#release(message));
    this.#onSignal(withdrawSlotRequestSignal, isSlotWithdrawal, (message) => this.#withdraw(message));
    this.#onSignal(setSlotLimitSignal, isSlotLimit, ({ limit, budget }) => {
      this.#setLimit(limit);
      this.#setBudget(budget);
    });
    onQuery(slotsQuery, () => toSlotsView(this.#state, Date.now()));
    onQuery(budgetQuery, (question) => this.#answerBudget(question));
  }

  /** Counts the purchases that are open in the ledger as held. */
  async adoptOpenPurchases(): Promise<void> {
    const { open } = await this.#steps.findOpenSlots();
    this.#state = adoptOpenPurchases(this.#state, open, Date.now());
    for (const release of this.#earlyReleases ?? []) this.#state = releaseSlot(this.#state, release, Date.now());
    this.#earlyReleases = undefined;
  }

  get hasWork(): boolean {
    return this.#changed || this.auditDue || this.spendingDue || this.mayContinueAsNew;
  }

  get auditDue(): boolean {
    return this.#auditDue && !this.#auditing && !this.#shouldContinueAsNew;
  }

  get spendingDue(): boolean {
    return this.#spendingDue && !this.#readingSpending && !this.#auditing && !this.#shouldContinueAsNew;
  }

  get mayContinueAsNew(): boolean {
    const isIdle = !this.#changed && !this.#auditing && !this.#readingSpending && this.#notifier.isDone;
    return isIdle && this.#shouldContinueAsNew;
  }

  /** Argument of the next run. */
  nextInput(): SchedulerInput {
    const { upgrade_from: upgradeFrom, ...input } = this.#input;
    const state = fitToBytes(this.#state, CARRIED_BYTES_MAX);
    return {
      ...input,
      limit: state.limit,
      ...upgradeAttempted(upgradeFrom),
      carried: {
        state,
        sentPlaces: this.#notifier.sentPlaces(new Set(state.waiters.map(({ key }) => key))),
        auditedAtMs: this.#auditedAtMs,
        spendingReadAtMs: this.#spendingReadAtMs,
        ignoredSignals: this.#ignoredSignals,
      },
    };
  }

  /** Grants free slots, sends the answers that are due, and schedules the next audit and reading. */
  grantAndNotify(): void {
    if (!this.#changed) return;
    this.#changed = false;
    const step = grantSlots(this.#state, Date.now());
    this.#state = step.state;
    this.#notifier.sendAnswers(step, Date.now());
    const { limit, holders } = this.#state;
    workerSinks.slots(limit, holders.length, step.order.length, Date.now());
    wf.setCurrentDetails(toDetails(this.#state, step.order, this.#ignoredSignals, Date.now()));
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

  get #shouldContinueAsNew(): boolean {
    const { continueAsNewSuggested, historyLength } = wf.workflowInfo();
    const { eventsMax = Number.POSITIVE_INFINITY, upgrade_from: upgradeFrom } = this.#input;
    return continueAsNewSuggested || historyLength >= eventsMax || newVersionAvailable(upgradeFrom);
  }

  #change(next: SlotState): void {
    this.#state = next;
    this.#changed = true;
  }

  #onSignal<Message>(
    signal: wf.SignalDefinition<[Message]>,
    isWellFormed: (message: unknown) => message is Message,
    handle: (message: Message) => void,
  ): void {
    onSignal(signal, checkedBy(isWellFormed), handle, {
      bytesMax: SLOT_MESSAGE_BYTES_MAX,
      onMalformed: () => this.#countIgnored(),
    });
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

  #request(request: SlotRequestMessage): void {
    this.#setLimit(request.limit);
    this.#setBudget(request.budget);
    this.#changed = true;
    if (roomForAnotherPayer(this.#state, request, Date.now()) === 'fits') {
      this.#state = addRequest(this.#state, request, Date.now());
      this.#notifier.expectReply(request.requesterId);
    } else this.#notifier.addPendingShare(request);
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

  /**
   * Removes a requester whose run is gone. If it holds a slot, its purchase may still be under way, which the audit
   * finds out.
   */
  #removeUnreachable(requesterId: string, key: string): void {
    if (this.#state.holders.some((held) => held.key === key)) this.#auditDue = true;
    else this.#change(removeRequester(this.#state, key, requesterId, true, Date.now()));
  }

  #scheduleAudits(): void {
    const { slotCheckMs } = this.#input.times;
    if (this.#state.waiters.length > 0) {
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
      const isNeeded = why === 'no run waits' || this.#state.waiters.length > 0;
      if (isNeeded && heldEntries(this.#state).length > 0) this.#auditDue = true;
      this.#changed = true; // schedules the next one
    };
    wf.sleep(ms, { summary: `next audit of the holders (${why})` }).then(onTimer, () => undefined);
  }

  async #auditHolders(): Promise<void> {
    this.#auditing = true;
    this.#auditedAtMs = Date.now();
    const { holders, unsettled } = this.#state;
    const nameOf = ({ key, afterPurchase, requesters, sinceMs }: SlotEntry) => ({
      key,
      afterPurchase,
      requesters,
      sinceMs,
    });
    try {
      const { dead } = await this.#steps.findDeadSlots({
        holders: [...holders.map(nameOf), ...unsettled.map((entry) => ({ ...nameOf(entry), slotIsFree: true }))],
      });
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
    const { budget, spending, waiters } = this.#state;
    if (budget === null) return;
    const isOld = this.#isSpendingOld && heldEntries(this.#state).length + waiters.length > 0;
    const isUnknown = spending === null || unknownBatches(budget, spending, payersIn(this.#state)).length > 0;
    if (isOld || isUnknown) this.#spendingDue = true;
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
    const payers = payersIn(this.#state);
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
