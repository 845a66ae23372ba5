import { FailureType } from '../src/contract/failure-type.js';
import { VideoError } from '../src/contract/video-error.js';
import type { PurchaseView } from '../src/ledger/ledger.js';
import type { Purchase } from '../src/ledger/purchase-key.js';
import type { ActivityDeps } from './deps.js';
import type { HeldSlot, VideoActivities } from './types.js';
import { withSignal } from './with-signal.js';

/**
 * How long a purchase without a claim counts as one that may render: longer than a submit, its reconciliation and most renders. It may
 * also wait for a person, for days, and must not take a slot from the others meanwhile.
 */
const UNCLAIMED_MS = 900_000;

/** Asks the account's slots again for a run that waits; they are started anew when they are gone. */
export function createAskForSlot({ slots }: ActivityDeps): VideoActivities['askForSlot'] {
  return (ask) => slots.ask(ask);
}

/**
 * Gives the slot of a purchase back that is over, was not created, or waits for a person. Never rejects: what gets lost here is found
 * when somebody needs the slot.
 */
export async function giveBackSlot({ slots }: ActivityDeps, { key, n }: Purchase): Promise<void> {
  await slots.giveBack({ key, n }).catch(() => undefined);
}

/** The purchases of the account that may have a task at the provider: what new slots take as held. */
export function createFindOpenSlots({ ledger, clock, times }: ActivityDeps): VideoActivities['findOpenSlots'] {
  return () =>
    withSignal(async (signal) => {
      const { open } = await ledger.listOpen(undefined, { signal });
      return {
        open: open
          .filter((view) => mayRender(view, clock.now(), times.resultLifeMs))
          .map(({ purchase: { key, n }, intent }) => ({
            ...{ key, n, workflowId: intent.workflow_id, tenant: intent.tenant },
          })),
      };
    });
}

/** Of the slots that are held, those whose purchase has ended, or was never made by a run that is gone. */
export function createFindDeadSlots(deps: ActivityDeps): VideoActivities['findDeadSlots'] {
  return ({ holders }) =>
    withSignal(async (signal) => {
      const dead: HeldSlot[] = [];
      for (const holder of holders) if (await isDead(holder, deps, signal)) dead.push(holder);
      return { dead };
    });
}

async function isDead(
  { key, after, askers }: HeldSlot,
  { ledger, clock, times, isRunOpen }: ActivityDeps,
  signal: AbortSignal,
): Promise<boolean> {
  const newest = await ledger.newest(key, { signal }).catch((error: unknown) => {
    if (error instanceof VideoError && error.type === FailureType.RecordDamaged) return undefined;
    throw error;
  });
  if (newest !== undefined && newest.purchase.n > after) {
    if (mayRender(newest, clock.now(), times.resultLifeMs)) return false;
    if (newest.state.kind !== 'not_created') return true;
  }
  // Nothing is bought: held for a run that is about to.
  return !(await Promise.all(askers.map(isRunOpen))).includes(true);
}

function mayRender({ state, intent, late }: PurchaseView, nowMs: number, resultLifeMs: number): boolean {
  const ageMs = nowMs - intent.written_at_ms;
  if (late.some(({ ending }) => ending === undefined)) return ageMs < resultLifeMs;
  if (state.kind === 'claimed') return ageMs < resultLifeMs;
  return state.kind === 'unclaimed' && ageMs < UNCLAIMED_MS;
}
