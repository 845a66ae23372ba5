import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DISTURBANCES, type Disturbance, PROVIDER_CELLS, type Step } from './cells.js';
import { arrangeAll, disturb, expectNotified, expectSettled, outcomeOf, providerOutcome } from './run-cells.js';
import { startWorld, type World } from './world.js';

// Some cells of each kind; all of them are in matrix.full.test.ts, and docs/guarantees.md has the table.
let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world?.close());

const ANSWERS = [
  '400 submit',
  '401 poll query',
  '429 submit',
  '500 archive query',
  '502-after submit',
  'reset archive download',
];

describe.concurrent('an answer of the provider', () => {
  const cells = PROVIDER_CELLS.filter(({ fault, step, on }) =>
    ANSWERS.includes(step === on ? `${fault} ${step}` : `${fault} ${step} ${on}`),
  );
  test.each(cells)('$fault to the $on of $step: $expected.tasks task, the run ends $expected.end', async (cell) => {
    expect(await providerOutcome(world, cell)).toEqual({ ...cell.expected, archived: true });
  });
});

const CELLS: readonly (readonly [Disturbance, Step])[] = [
  ['cancel-signal', 'poll'],
  ['workflow-reset', 'upload'],
  ['store-gone', 'submit'],
  ['provider-down', 'poll'],
  ['slots-terminated', 'poll'],
  ['hostile-messages', 'poll'],
  ['worker-sigkill', 'archive'],
];

test.each(CELLS)('%s in the step %s: one purchase, nothing lost', async (fault, step) => {
  const expected = DISTURBANCES.find((row) => row.fault === fault)?.expected[step];
  const runs = await arrangeAll(world, [step]);
  await disturb(world, fault, runs);
  const [run] = runs;
  expect(await outcomeOf(world, run!)).toEqual({ ...expected, archived: true });
});

test('after all of them nothing is reserved, and what is billed is counted', () => expectSettled(world), 120_000);
test('each end of a run was notified under one id', () => expectNotified(world), 120_000);
