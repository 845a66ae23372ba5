import * as wf from '@temporalio/workflow';
import { type BudgetTerms, type BudgetView, limitOf, type Payer } from '../../src/contract/budget.js';
import type {
  AccountSlotsView,
  SlotAnswer,
  SlotPlace,
  SlotReleaseMessage,
  SlotRequestMessage,
} from '../../src/contract/slots.js';
import type { StepTimes } from '../../src/contract/times.js';
import { utcDay } from '../../src/contract/utc.js';
import { steps } from '../shared/activities.js';
import {
  budgetQuery,
  releaseSlotSignal,
  requestSlotSignal,
  setSlotLimitSignal,
  slotSignal,
  slotsQuery,
  withdrawSlotRequestSignal,
} from '../shared/messages.js';
import { continueOnNewVersion, newVersionAvailable, upgradeAttempted } from '../shared/version-upgrade.js';
import { workerSinks } from '../shared/worker-sinks.js';
import { unknownBatches } from './budgets.js';
import { fieldsOf, isBudgetTerms, isSlotRelease, isSlotRequest, isSlotWithdrawal } from './message-guards.js';
import {
  addRequest,
  adoptOpenPurchases,
  budgetsOf,
  emptySlotState,
  grantOrder,
  grantSlots,
  heldEntries,
  payersOf,
  releaseDeadHolders,
  releaseSlot,
  removeRequester,
  roomForAnotherPayer,
  type SlotEntry,
  type SlotState,
  slotView,
  withinBytes,
} from './slot-queue.js';
import { applySpending } from './spending.js';

/** What a run of `accountSlots` begins with. */
export interface AccountSlotsInput {
  /** Slots until a worker or a request says otherwise. */
  readonly limit: number;
  /** Budgets until a worker or a request says otherwise; absent: none. */
  readonly budget?: BudgetTerms;
  readonly times: StepTimes;
  /** Events after which it continues as new; by default when Temporal suggests it. */
  readonly eventsMax?: number;
  /** What the run before handed on; none: the first one, which looks in the ledger. */
  readonly carried?: Carried;
  /** The build that the run before tried to leave. */
  readonly upgrade_from?: string;
}

interface Carried {
  readonly state: SlotState;
  readonly told: Readonly<Record<string, number>>;
  readonly lookedAtMs: number;
  /** When what was spent was read in whole; absent: never. */
  readonly readAtMs?: number;
}

/** Below Temporal's 2000 signals under way per workflow: a thousand runs may wait for their first answer. */
const LETTERS_UNDER_WAY_MAX = 500;
/**
 * What one run hands on to the next of who waits, some 3800 runs: below Temporal's 2 MB for one payload, beside the places they were told
 * (70 bytes each) and the day's spending. Those beyond ask again within ten minutes.
 */
const CARRIED_BYTES_MAX = 1_500_000;
/** Holders are looked after so much more rarely while nobody waits for them. */
const IDLE_FACTOR = 10;
/** The day records are read again so often: a settlement that got lost is counted by then, at some thousand reads of small objects. */
const READ_EVERY_MS = 3_600_000;

/**
 * Says who may submit next on one provider account: one run per account, for all workers and batches. A scheduler, not a lock: nothing
 * that is paid or lost depends on it (docs/slots.md). Never ends by itself.
 */
export async function accountSlots(input: AccountSlotsInput): Promise<void> {
  const { times, eventsMax = Number.POSITIVE_INFINITY, carried } = input;
  let state = carried?.state ?? {
    ...emptySlotState(input.limit),
    ...(input.budget !== undefined && { budget: input.budget }),
  };
  let lookedAtMs = carried?.lookedAtMs ?? 0;
  let readAtMs = carried?.readAtMs ?? 0;
  /** The position that who waits for a key was told last. */
  const told = new Map(Object.entries(carried?.told ?? {}));
  /** Whose runs were told a place while it was not known what is spent: they are told again. */
  const guessed = new Set<string>();
  /** Runs whose request was not answered yet. */
  const unanswered = new Set<string>();
  const early: SlotReleaseMessage[] = [];
  /** Requests for a slot that is held, by runs whose own budget has no room beside it. */
  const beside: SlotRequestMessage[] = [];
  /** Returns since the ledger is being read: it may have seen them or not. */
  let returnedMeanwhile: SlotReleaseMessage[] = [];
  let ready = carried !== undefined;
  let changed = true;
  let lookDue = false;
  let looking = false;
  let readDue = false;
  let reading = false;
  const change = (next: SlotState): void => {
    state = next;
    changed = true;
  };

  const letters = new Outbox((requesterId, key) => {
    // The run is gone. What it waited for is free; what it holds may be a purchase that goes on without it: the ledger knows.
    if (state.holders.some((held) => held.key === key)) lookDue = true;
    else change(removeRequester(state, key, requesterId, true, Date.now()));
  });
  const limited = (limit: unknown): void => {
    if (typeof limit === 'number' && Number.isInteger(limit) && limit > 0) change({ ...state, limit });
  };
  /** Undefined says nothing. A budget that is new is spent from before it was: the ledger tells how much. */
  const budgeted = (budget: unknown): void => {
    if (budget === undefined) return;
    if (budget !== null && !isBudgetTerms(budget)) {
      notUnderstood('budgets');
      return;
    }
    if (JSON.stringify(budget) === JSON.stringify(state.budget ?? null)) return;
    const spending = budget === null || state.budget == null ? null : (state.spending ?? null);
    change({ ...state, budget, spending, parked: budget === null ? [] : (state.parked ?? []) });
  };
  // A signal that is none of ours must not stop the run: an error here would.
  const notUnderstood = (signal: string): void => wf.log.warn('a signal was not understood', { signal });
  wf.setHandler(requestSlotSignal, (ask) => {
    if (!isSlotRequest(ask)) return notUnderstood('requestSlot');
    limited(ask.limit);
    budgeted(ask.budget);
    if (roomForAnotherPayer(state, ask, Date.now()) === 'fits') {
      change(addRequest(state, ask, Date.now()));
      unanswered.add(ask.requesterId);
    } else {
      beside.push(ask);
      changed = true;
    }
  });
  wf.setHandler(releaseSlotSignal, (given) => {
    if (!isSlotRelease(given)) return notUnderstood('releaseSlot');
    if (!ready) early.push(given);
    if (reading) returnedMeanwhile.push(given);
    change(releaseSlot(state, given, Date.now()));
  });
  wf.setHandler(withdrawSlotRequestSignal, (message) => {
    if (!isSlotWithdrawal(message)) return notUnderstood('withdrawSlotRequest');
    const { key, requesterId, nothingBought = false } = message;
    const before = state.parked?.length;
    change(removeRequester(state, key, requesterId, nothingBought, Date.now()));
    if (state.parked?.length !== before) lookDue = true;
  });
  wf.setHandler(setSlotLimitSignal, (message) => {
    const { limit, budget } = fieldsOf(message);
    limited(limit);
    budgeted(budget);
  });
  wf.setHandler(slotsQuery, () => viewOf(state, Date.now()));
  wf.setHandler(budgetQuery, ({ key, tenant, batch, cost }) => {
    const held = state.holders.some((holder) => holder.key === key);
    const room =
      state.budget == null ? 'fits' : budgetsOf(state, state.budget, Date.now()).room({ tenant, batch }, cost);
    return { held, reached: typeof room === 'string' ? null : room };
  });

  const settle = (): void => {
    const step = grantSlots(state, Date.now());
    state = step.state;
    for (const { key, afterPurchase, requesterId, reached } of step.refusals) {
      letters.send(requesterId, { key, afterPurchase, waiting: placeOf(state, [], 1), reached });
    }
    const budgets = state.budget == null ? undefined : budgetsOf(state, state.budget, Date.now());
    for (const ask of beside.splice(0)) {
      const room = roomForAnotherPayer(state, ask, Date.now());
      // Who waits for its budget beside a purchase of others asks again, and finds the video.
      const reached = typeof room === 'string' ? undefined : room;
      const { key, afterPurchase, requesterId } = ask;
      const waiting = placeOf(
        state,
        [],
        1,
        ask.cost !== undefined ? budgets?.blockingBudget(ask, ask.cost) : undefined,
      );
      letters.send(requesterId, { key, afterPurchase, waiting, ...(reached !== undefined && { reached }) });
    }
    const grant = ({ key, afterPurchase }: SlotEntry, requesters: readonly string[]): void => {
      told.delete(key);
      for (const requesterId of requesters) letters.send(requesterId, { key, afterPurchase, waiting: null });
    };
    for (const held of state.holders) {
      const isNew = step.grants.includes(held);
      grant(held, isNew ? held.requesters : held.requesters.filter((requesterId) => unanswered.has(requesterId)));
    }
    const order = grantOrder(state);
    for (const [at, waiter] of order.entries()) {
      const { key, afterPurchase, requesters, cost } = waiter;
      const position = at + 1;
      // Told again when it has halved: a place that moves up costs a few signals, however long the queue is.
      const moved = position <= (told.get(key) ?? Number.POSITIVE_INFINITY) / 2;
      if (moved) told.set(key, position);
      const isRead = guessed.has(key) && state.spending != null;
      const toTell = moved || isRead ? requesters : requesters.filter((requesterId) => unanswered.has(requesterId));
      if (toTell.length === 0) continue;
      const tight = cost == null ? [] : payersOf(waiter).flatMap((payer) => budgets?.blockingBudget(payer, cost) ?? []);
      const waiting = placeOf(state, order, position, tight[0]);
      for (const requesterId of toTell) letters.send(requesterId, { key, afterPurchase, waiting });
      if (budgets !== undefined && state.spending == null) guessed.add(key);
      else guessed.delete(key);
    }
    const waits = new Set(order.map(({ key }) => key));
    for (const key of [...told.keys(), ...guessed]) {
      if (waits.has(key)) continue;
      told.delete(key);
      guessed.delete(key);
    }
    unanswered.clear();
    workerSinks.slots(state.limit, state.holders.length, order.length, Date.now());
    wf.setCurrentDetails(detailsOf(state, Date.now()));
  };

  const timers = new Set<string>();
  const remind = (name: 'waited for' | 'idle', ms: number): void => {
    if (timers.has(name)) return;
    timers.add(name);
    const due = (): void => {
      timers.delete(name);
      lookDue ||= heldEntries(state).length > 0 && (name === 'idle' || state.waiters.length > 0);
      changed = true; // sets the next reminder
    };
    wf.sleep(ms, { summary: `look after the holders (${name})` }).then(due, () => undefined);
  };
  const setReminders = (): void => {
    if (state.waiters.length > 0) {
      if (Date.now() - lookedAtMs >= times.slotCheckMs) lookDue = true;
      remind('waited for', times.slotCheckMs);
    }
    if (heldEntries(state).length > 0) remind('idle', IDLE_FACTOR * times.slotCheckMs);
    if (state.budget == null) return;
    const isOld = Date.now() - readAtMs >= READ_EVERY_MS && heldEntries(state).length + state.waiters.length > 0;
    if (isOld || state.spending == null || unknownBatches(state.budget, state.spending, payersIn(state)).length > 0) {
      readDue = true;
    }
  };

  const { findOpenSlots, findDeadSlots, findSpending } = steps(times);
  /** Reads what was spent, in whole or of batches that are new; until then nothing is granted that would need to know. */
  const read = async (whole: boolean): Promise<void> => {
    const { budget } = state;
    if (budget == null) return;
    const payers = payersIn(state).filter(
      ({ batch }) => batch !== null && limitOf(budget.limits.batches, batch) !== null,
    );
    const limited = [...new Set(payers.flatMap(({ batch }) => (batch === null ? [] : [batch])))];
    const batches = whole ? limited : unknownBatches(budget, state.spending ?? null, payers);
    const reserved = heldEntries(state).map(({ key, afterPurchase }) => ({ key, afterPurchase }));
    const startedAtMs = Date.now();
    returnedMeanwhile = [];
    reading = true;
    try {
      const found = await findSpending({ day: utcDay(startedAtMs), whole, batches, reserved });
      change(applySpending(state, found, returnedMeanwhile, Date.now()));
      if (whole) readAtMs = startedAtMs;
    } finally {
      reading = false;
    }
  };
  const readAgain = async (): Promise<void> => {
    readDue = false;
    try {
      await read(state.spending == null || Date.now() - readAtMs >= READ_EVERY_MS);
    } catch (error) {
      wf.log.warn('what was spent could not be read; nothing is granted that needs it', { error: String(error) });
      // Not at once: a damaged record stays damaged until somebody mends it.
      reading = true;
      await wf.sleep(times.slotCheckMs, { summary: 'before the day records are read again' });
      reading = false;
      changed = true;
    }
  };
  const look = async (): Promise<void> => {
    looking = true;
    lookDue = false;
    lookedAtMs = Date.now();
    const of = ({ key, afterPurchase, requesters, sinceMs }: SlotEntry) => ({
      key,
      afterPurchase,
      requesters,
      sinceMs,
    });
    const holders = state.holders.map(of);
    const parked = (state.parked ?? []).map((entry) => ({ ...of(entry), parked: true }));
    try {
      const { dead } = await findDeadSlots({ holders: [...holders, ...parked] });
      // Their settlement got lost: it is counted before what was reserved is free.
      if (state.budget != null && dead.some(({ paid }) => paid === true)) {
        await wf.condition(() => !reading);
        await read(true);
      }
      if (dead.length > 0) change(releaseDeadHolders(state, dead, Date.now()));
    } catch (error) {
      wf.log.warn('the holders could not be looked after', { error: String(error) });
    } finally {
      looking = false;
    }
  };

  if (!ready) {
    const { open } = await findOpenSlots();
    state = adoptOpenPurchases(state, open, Date.now());
    for (const given of early) state = releaseSlot(state, given, Date.now());
    ready = true;
  }
  const full = (): boolean =>
    wf.workflowInfo().continueAsNewSuggested ||
    wf.workflowInfo().historyLength >= eventsMax ||
    newVersionAvailable(input.upgrade_from);
  const mayLook = (): boolean => lookDue && !looking && !full();
  const mayRead = (): boolean => readDue && !reading && !looking && !full();
  const mayContinue = (): boolean => full() && letters.areDelivered && !looking && !reading;
  for (;;) {
    await wf.condition(() => changed || mayLook() || mayRead() || mayContinue());
    if (changed) {
      changed = false;
      settle();
      setReminders();
    }
    if (mayLook()) {
      if (heldEntries(state).length > 0) void look();
      else lookDue = false;
    }
    if (mayRead()) void readAgain();
    if (mayContinue() && !changed) {
      const { limit } = state;
      const { upgrade_from: triedFrom, ...given } = input;
      const handedOn = withinBytes(state, CARRIED_BYTES_MAX);
      const waits = new Set(handedOn.waiters.map(({ key }) => key));
      return wf.makeContinueAsNewFunc<typeof accountSlots>(continueOnNewVersion)({
        ...{ ...given, limit, ...upgradeAttempted(triedFrom) },
        carried: {
          ...{ state: handedOn, lookedAtMs, readAtMs },
          told: Object.fromEntries([...told].filter(([key]) => waits.has(key))),
        },
      });
    }
  }
}

/** Answers on their way to runs; so many at a time. */
class Outbox {
  readonly #queue: { readonly requesterId: string; readonly answer: SlotAnswer }[] = [];
  readonly #lost: (requesterId: string, key: string) => void;
  #underWay = 0;

  constructor(lost: (requesterId: string, key: string) => void) {
    this.#lost = lost;
  }

  get areDelivered(): boolean {
    return this.#underWay === 0 && this.#queue.length === 0;
  }

  send(requesterId: string, answer: SlotAnswer): void {
    this.#queue.push({ requesterId, answer });
    this.#pump();
  }

  #pump(): void {
    while (this.#underWay < LETTERS_UNDER_WAY_MAX) {
      const letter = this.#queue.shift();
      if (letter === undefined) return;
      this.#underWay += 1;
      const { requesterId, answer } = letter;
      wf.getExternalWorkflowHandle(requesterId)
        .signal(slotSignal, answer)
        .catch(() => this.#lost(requesterId, answer.key))
        .finally(() => {
          this.#underWay -= 1;
          this.#pump();
        });
    }
  }
}

const payersIn = (state: SlotState): readonly Payer[] => [...heldEntries(state), ...state.waiters].flatMap(payersOf);

function viewOf(state: SlotState, nowMs: number): AccountSlotsView {
  const { limit, holders, budget } = state;
  const view = { limit, holders: holders.map(slotView), waiting: grantOrder(state).map(slotView) };
  return budget == null ? view : { ...view, currency: budget.currency, budgets: budgetViews(state, budget, nowMs) };
}

/** The budgets that somebody spends from: the day's, and those of whoever spent, reserves or waits. */
function budgetViews(state: SlotState, budget: BudgetTerms, nowMs: number): BudgetView[] {
  const { days = {}, batches = {} } = state.spending ?? {};
  const tenants = Object.keys(days[utcDay(nowMs)] ?? {}).map((tenant) => ({ tenant: tenant || null, batch: null }));
  const known = Object.keys(batches).map((batch) => ({ tenant: null, batch }));
  const limited = Object.keys(budget.limits.tenants).filter((tenant) => !tenant.endsWith('*'));
  const named = limited.map((tenant) => ({ tenant: tenant || null, batch: null }));
  return budgetsOf(state, budget, nowMs).views([...payersIn(state), ...named, ...tenants, ...known]);
}

function placeOf(
  { holders, limit }: SlotState,
  order: readonly SlotEntry[],
  position: number,
  budget?: SlotPlace['budget'],
): SlotPlace {
  const ahead = order.slice(0, position - 1);
  const interactive = ahead.filter(({ priority }) => priority === 'interactive').length;
  return {
    position,
    ahead_interactive: interactive,
    ahead_batch: ahead.length - interactive,
    running: holders.length,
    limit,
    as_of_ms: Date.now(),
    ...(budget !== undefined && { budget }),
  };
}

/** Rows of each kind that the Web UI shows; the query has them all. */
const ROWS_MAX = 20;

/** The Web UI's markdown: who holds a slot and who waits, since when. */
function detailsOf(state: SlotState, nowMs: number): string {
  const { holders, limit } = state;
  const waiting = grantOrder(state);
  const rows = [
    ...holders.slice(0, ROWS_MAX).map((entry) => row('holds', entry)),
    ...waiting.slice(0, ROWS_MAX).map((entry, at) => row(`waits, ${at + 1}`, entry)),
  ];
  const head = ['| slot | run | tenant | batch | since (UTC) |', '| --- | --- | --- | --- | --- |'];
  return [
    `**${holders.length} of ${limit} slots are held, ${waiting.length} wait**`,
    '',
    ...(rows.length === 0 ? [] : [...head, ...rows]),
    ...(state.budget == null ? [] : ['', ...budgetLines(state, state.budget, nowMs)]),
  ].join('\n');
}

function budgetLines(state: SlotState, budget: BudgetTerms, nowMs: number): string[] {
  const rows = budgetViews(state, budget, nowMs).slice(0, ROWS_MAX);
  return [
    `| budget (${budget.currency}) | of | limit | spent | reserved |`,
    '| --- | --- | --- | --- | --- |',
    ...rows.map(
      ({ scope, name, limit, spent, reserved }) =>
        `| ${scope} | ${name ?? ''} | ${limit} | ${spent ?? '?'} | ${reserved} |`,
    ),
  ];
}

function row(what: string, { requesters, tenant, batch, sinceMs }: SlotEntry): string {
  const [first = '', ...others] = requesters;
  const runs = others.length === 0 ? `\`${first}\`` : `\`${first}\` and ${others.length} more`;
  return `| ${[what, runs, tenant ?? '', batch ?? '', new Date(sinceMs).toISOString().slice(0, 19)].join(' | ')} |`;
}
