import * as wf from '@temporalio/workflow';
import type { AccountSlotsView, SlotAnswer, SlotAsk, SlotPlace, SlotReturn } from '../src/contract/slots.js';
import type { StepTimes } from '../src/contract/times.js';
import {
  askForSlotSignal,
  leaveSlotsSignal,
  returnSlotSignal,
  slotLimitSignal,
  slotSignal,
  slotsQuery,
} from './messages.js';
import {
  asked,
  granted,
  inOrder,
  left,
  noSlots,
  returned,
  type SlotEntry,
  type SlotState,
  slotView,
  takenOver,
} from './slot-queue.js';
import { steps } from './steps.js';
import { triedToUpgrade, UPGRADES, upgradeDue } from './upgrade.js';
import { toWorker } from './worker-sinks.js';

/** What a run of `accountSlots` begins with. */
export interface AccountSlotsInput {
  /** Slots until a worker or a request says otherwise. */
  readonly limit: number;
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
}

/** Below Temporal's 2000 signals under way per workflow: a thousand runs may wait for their first answer. */
const LETTERS_UNDER_WAY_MAX = 500;
/** Holders are looked after so much more rarely while nobody waits for them. */
const IDLE_FACTOR = 10;

/**
 * Says who may submit next on one provider account: one run per account, for all workers and batches. A scheduler, not a lock: nothing
 * that is paid or lost depends on it (docs/slots.md). Never ends by itself.
 */
export async function accountSlots(input: AccountSlotsInput): Promise<void> {
  const { times, eventsMax = Number.POSITIVE_INFINITY, carried } = input;
  let state = carried?.state ?? noSlots(input.limit);
  let lookedAtMs = carried?.lookedAtMs ?? 0;
  /** The position that who waits for a key was told last. */
  const told = new Map(Object.entries(carried?.told ?? {}));
  /** Runs whose request was not answered yet. */
  const unanswered = new Set<string>();
  const early: SlotReturn[] = [];
  let ready = carried !== undefined;
  let changed = true;
  let lookDue = false;
  let looking = false;
  const change = (next: SlotState): void => {
    state = next;
    changed = true;
  };

  const letters = new Letters((asker, key) => {
    // The run is gone. What it waited for is free; what it holds may be a purchase that goes on without it: the ledger knows.
    if (state.holders.some((held) => held.key === key)) lookDue = true;
    else change(left(state, key, asker));
  });
  const limited = (limit: unknown): void => {
    if (typeof limit === 'number' && Number.isInteger(limit) && limit > 0) change({ ...state, limit });
  };
  // A signal that is none of ours must not stop the run: an error here would.
  wf.setHandler(askForSlotSignal, (ask) => {
    if (!isAsk(ask)) return wf.log.warn('a request for a slot was not understood');
    limited(ask.limit);
    change(asked(state, ask, Date.now()));
    unanswered.add(ask.asker);
  });
  wf.setHandler(returnSlotSignal, (given) => {
    if (!ready) early.push(given);
    change(returned(state, given.key, given.n));
  });
  wf.setHandler(leaveSlotsSignal, ({ key, asker }) => change(left(state, key, asker)));
  wf.setHandler(slotLimitSignal, ({ limit }) => limited(limit));
  wf.setHandler(slotsQuery, () => viewOf(state));

  const settle = (): void => {
    const step = granted(state, Date.now());
    state = step.state;
    const grant = ({ key, after }: SlotEntry, askers: readonly string[]): void => {
      told.delete(key);
      for (const asker of askers) letters.send(asker, { key, after, waiting: null });
    };
    for (const held of state.holders) {
      const isNew = step.grants.includes(held);
      grant(held, isNew ? held.askers : held.askers.filter((asker) => unanswered.has(asker)));
    }
    const order = inOrder(state);
    for (const [at, { key, after, askers }] of order.entries()) {
      const position = at + 1;
      // Told again when it has halved: a place that moves up costs a few signals, however long the queue is.
      const moved = position <= (told.get(key) ?? Number.POSITIVE_INFINITY) / 2;
      if (moved) told.set(key, position);
      const toTell = moved ? askers : askers.filter((asker) => unanswered.has(asker));
      if (toTell.length === 0) continue;
      const waiting = placeOf(state, order, position);
      for (const asker of toTell) letters.send(asker, { key, after, waiting });
    }
    const waits = new Set(order.map(({ key }) => key));
    for (const key of told.keys()) if (!waits.has(key)) told.delete(key);
    unanswered.clear();
    toWorker.slots(state.limit, state.holders.length, order.length, Date.now());
    wf.setCurrentDetails(detailsOf(state));
  };

  const timers = new Set<string>();
  const remind = (name: 'waited for' | 'idle', ms: number): void => {
    if (timers.has(name)) return;
    timers.add(name);
    const due = (): void => {
      timers.delete(name);
      lookDue ||= state.holders.length > 0 && (name === 'idle' || state.waiters.length > 0);
      changed = true; // sets the next reminder
    };
    wf.sleep(ms, { summary: `look after the holders (${name})` }).then(due, () => undefined);
  };
  const setReminders = (): void => {
    if (state.waiters.length > 0) {
      if (Date.now() - lookedAtMs >= times.slotCheckMs) lookDue = true;
      remind('waited for', times.slotCheckMs);
    }
    if (state.holders.length > 0) remind('idle', IDLE_FACTOR * times.slotCheckMs);
  };

  const { findOpenSlots, findDeadSlots } = steps(times);
  const look = async (): Promise<void> => {
    looking = true;
    lookDue = false;
    lookedAtMs = Date.now();
    const holders = state.holders.map(({ key, after, askers, sinceMs }) => ({ key, after, askers, sinceMs }));
    try {
      const { dead } = await findDeadSlots({ holders });
      const isDead = (held: SlotEntry) =>
        dead.some(({ key, after, sinceMs }) => key === held.key && after === held.after && sinceMs === held.sinceMs);
      if (dead.length > 0) change({ ...state, holders: state.holders.filter((held) => !isDead(held)) });
    } catch (error) {
      wf.log.warn('the holders could not be looked after', { error: String(error) });
    } finally {
      looking = false;
    }
  };

  if (!ready) {
    const { open } = await findOpenSlots();
    state = takenOver(state, open, Date.now());
    for (const { key, n } of early) state = returned(state, key, n);
    ready = true;
  }
  const full = (): boolean =>
    wf.workflowInfo().continueAsNewSuggested ||
    wf.workflowInfo().historyLength >= eventsMax ||
    upgradeDue(input.upgrade_from);
  const mayLook = (): boolean => lookDue && !looking && !full();
  const mayContinue = (): boolean => full() && letters.areDelivered && !looking;
  for (;;) {
    await wf.condition(() => changed || mayLook() || mayContinue());
    if (changed) {
      changed = false;
      settle();
      setReminders();
    }
    if (mayLook()) {
      if (state.holders.length > 0) void look();
      else lookDue = false;
    }
    if (mayContinue() && !changed) {
      const { limit } = state;
      const { upgrade_from: triedFrom, ...given } = input;
      return wf.makeContinueAsNewFunc<typeof accountSlots>(UPGRADES)({
        ...{ ...given, limit, ...triedToUpgrade(triedFrom) },
        carried: { state, told: Object.fromEntries(told), lookedAtMs },
      });
    }
  }
}

/** Answers on their way to runs; so many at a time. */
class Letters {
  readonly #queue: { readonly asker: string; readonly answer: SlotAnswer }[] = [];
  readonly #lost: (asker: string, key: string) => void;
  #underWay = 0;

  constructor(lost: (asker: string, key: string) => void) {
    this.#lost = lost;
  }

  get areDelivered(): boolean {
    return this.#underWay === 0 && this.#queue.length === 0;
  }

  send(asker: string, answer: SlotAnswer): void {
    this.#queue.push({ asker, answer });
    this.#pump();
  }

  #pump(): void {
    while (this.#underWay < LETTERS_UNDER_WAY_MAX) {
      const letter = this.#queue.shift();
      if (letter === undefined) return;
      this.#underWay += 1;
      const { asker, answer } = letter;
      wf.getExternalWorkflowHandle(asker)
        .signal(slotSignal, answer)
        .catch(() => this.#lost(asker, answer.key))
        .finally(() => {
          this.#underWay -= 1;
          this.#pump();
        });
    }
  }
}

function isAsk(ask: unknown): ask is SlotAsk {
  const { key, after, asker } = (ask ?? {}) as Partial<SlotAsk>;
  return typeof key === 'string' && typeof after === 'number' && typeof asker === 'string';
}

function viewOf(state: SlotState): AccountSlotsView {
  return { limit: state.limit, holders: state.holders.map(slotView), waiting: inOrder(state).map(slotView) };
}

function placeOf({ holders, limit }: SlotState, order: readonly SlotEntry[], position: number): SlotPlace {
  const ahead = order.slice(0, position - 1);
  const interactive = ahead.filter(({ priority }) => priority === 'interactive').length;
  return {
    position,
    ahead_interactive: interactive,
    ahead_batch: ahead.length - interactive,
    running: holders.length,
    limit,
    as_of_ms: Date.now(),
  };
}

/** Rows of each kind that the Web UI shows; the query has them all. */
const ROWS_MAX = 20;

/** The Web UI's markdown: who holds a slot and who waits, since when. */
function detailsOf(state: SlotState): string {
  const { holders, limit } = state;
  const waiting = inOrder(state);
  const rows = [
    ...holders.slice(0, ROWS_MAX).map((entry) => row('holds', entry)),
    ...waiting.slice(0, ROWS_MAX).map((entry, at) => row(`waits, ${at + 1}`, entry)),
  ];
  const head = ['| slot | run | tenant | batch | since (UTC) |', '| --- | --- | --- | --- | --- |'];
  return [
    `**${holders.length} of ${limit} slots are held, ${waiting.length} wait**`,
    '',
    ...(rows.length === 0 ? [] : [...head, ...rows]),
  ].join('\n');
}

function row(what: string, { askers, tenant, batch, sinceMs }: SlotEntry): string {
  const [first = '', ...others] = askers;
  const runs = others.length === 0 ? `\`${first}\`` : `\`${first}\` and ${others.length} more`;
  return `| ${[what, runs, tenant ?? '', batch ?? '', new Date(sinceMs).toISOString().slice(0, 19)].join(' | ')} |`;
}
