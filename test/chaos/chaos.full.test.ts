import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { ROOT } from '../support/stack.js';

const run = promisify(execFile);

/** What `npm run chaos` runs; the seed is fixed, so that what the plan brings is the same each time. */
async function chaos(...args: string[]): Promise<{ code: number; out: string }> {
  const command = ['scripts/chaos.mjs', '--seed', '8', '--minutes', '6', ...args];
  try {
    return { code: 0, out: (await run(process.execPath, command, { cwd: ROOT })).stdout };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, out: `${stdout}\n${stderr}` };
  }
}

test('under chaos thirty generations are bought once each, within budgets that bind, and nothing is lost, parked or left open', async () => {
  const { code, out } = await chaos('--generations', '30');
  expect(out).toMatch(/^hostile +[1-9]/m);
  expect(out).toMatch(/^duplicates +0$/m);
  expect(out).toMatch(/^overspent +0 budgets; refused by (day|tenant|batch) [1-9]/m);
  expect(out).toMatch(/^losses +0$/m);
  expect(out).toMatch(/^parked runs +0$/m);
  expect(out).toMatch(/^delivered +[1-9]\d* named files of 2 batches; [1-9]\d* messages taken$/m);
  expect(out).toMatch(/^audited +[1-9]\d* tasks explained, 0 wrongly$/m);
  expect({ code, out }).toMatchObject({ code: 0 });
}, 420_000);

test.each(['retry-on-502', 'skip-intent'])(
  'the judge catches a build that is broken on purpose: %s',
  async (broken) => {
    const { code, out } = await chaos('--generations', '200', '--broken', broken);
    expect(out).toMatch(/^VIOLATION +bought 2 times: chaos/m);
    expect({ code, out }).toMatchObject({ code: 0 });
  },
  420_000,
);

test.each([
  ['no-reservations', /^VIOLATION +the budget of the \w+ is overspent/m],
  ['refuse-early', /^VIOLATION +refused although the \w+ had/m],
])(
  'the judge catches budgets that are broken on purpose: %s',
  async (broken, violation) => {
    const { code, out } = await chaos('--generations', '60', '--broken', broken);
    expect(out).toMatch(violation);
    expect({ code, out }).toMatchObject({ code: 0 });
  },
  420_000,
);

test('a breakage that nobody knows is refused', async () => {
  const { code, out } = await chaos('--broken', 'unknown');
  expect(code).toBe(2);
  expect(out).toMatch(/--broken must be one of retry-on-502,skip-intent,no-reservations,refuse-early/);
});
