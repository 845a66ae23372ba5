import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Disturbance, Step } from './cells.js';
import {
  type ArrangedRun,
  arrange,
  disturb,
  expectSettled,
  outcomeOf,
  reached,
  releaseRuns,
  start,
  waitFor,
} from './run-cells.js';
import { HOLDING_TIMES, startWorld, TENANT_OF_ONE, type World } from './world.js';

let world: World;
beforeAll(async () => {
  world = await startWorld({ times: HOLDING_TIMES });
});
afterAll(() => world?.close());

/** Where a run has its tenant's only money: from the submit that is on its way on. */
type Holding = 'reserve' | Exclude<Step, 'prepare' | 'upload'>;
const HOLDING: readonly Holding[] = ['reconcile', 'reserve', 'submit', 'follow', 'poll', 'archive', 'cancel'];

interface Rivals {
  readonly at: Holding;
  readonly arranged: Pick<ArrangedRun, 'id' | 'prompt' | 'buyer'>;
  readonly rival: { readonly id: string; readonly prompt: string };
}

/**
 * A run that is held where its money is reserved, or just spent, and another one of its tenant that wants the same
 * money.
 */
async function rivals(at: Holding): Promise<Rivals> {
  const tenant = `${TENANT_OF_ONE}${randomUUID()}`;
  const arranged = at === 'reserve' ? await reserve(tenant) : await arrange(world, at, tenant);
  const prompt = `the rival at ${at} ${randomUUID()}`;
  const id = await start(world, prompt, { tenant });
  // What is archived is spent, and what is cancelled perhaps, by its salvage: there is nothing to wait for.
  const stages = ['waiting_for_slot', ...(at === 'archive' || at === 'cancel' ? ['budget_reached'] : [])];
  await waitFor(`the rival at ${at}`, async () => stages.includes((await world.videos.progress(id)).stage));
  return { at, arranged, rival: { id, prompt } };
}

/** The announcement is written, and the POST not at the provider yet. */
async function reserve(tenant: string): Promise<Rivals['arranged']> {
  const prompt = `reserve ${randomUUID()}`;
  const hold = world.gate.hold('before', ({ url, body }) => url.endsWith('/video-synthesis') && body.includes(prompt));
  const id = await start(world, prompt, { tenant });
  await reached(hold, 'submit');
  return { id, prompt };
}

/** What is done while the money is reserved; both at once: nobody is left who knows. */
const DISTURBANCES: readonly (readonly Disturbance[])[] = [
  ['slots-terminated'],
  ['worker-sigterm'],
  ['worker-sigkill'],
  ['temporal-down'],
  ['slots-terminated', 'worker-sigkill'],
];

test.each(DISTURBANCES.map((what) => [what.join(' and '), what] as const))(
  '%s while money for one video is reserved, at every step at once: one of two is bought, the other one refused',
  async (_, what) => {
    // The first one needs the longest to come into its step; a cancel cannot be held for long.
    const all = [await rivals('reconcile')];
    const others = HOLDING.filter((at) => at !== 'reconcile' && at !== 'cancel');
    all.push(...(await Promise.all(others.map(rivals))), await rivals('cancel'));
    try {
      for (const one of what) await disturb(world, one, []);
    } finally {
      releaseRuns(world);
    }
    const wrong = all.map(async ({ at, arranged, rival }) => {
      const [came, rivals] = await Promise.all([outcomeOf(world, arranged), outcomeOf(world, rival)]);
      const bought = { end: at === 'cancel' ? 'cancelled' : 'completed', tasks: 1, billedSeconds: 4, archived: true };
      const refused = { end: 'failed BudgetReached', tasks: 0, billedSeconds: 0, archived: true };
      const orders = [[bought, refused]];
      // A submit that never arrived gives its money back, and the run that waits for it is the next.
      if (at === 'reserve') orders.push([refused, bought]);
      const isExpected = orders.some((order) => isDeepStrictEqual([came, rivals], order));
      return isExpected ? [] : [`${at}: ${JSON.stringify([came, rivals])}`];
    });
    expect((await Promise.all(wrong)).flat()).toEqual([]);
    await expectSettled(world);
  },
  300_000,
);
