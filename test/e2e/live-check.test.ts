import { expect, test } from 'vitest';
import { command, onlyJson } from '../support/command.js';
import { behaviourOf, EXPECTED_OF_EMULATOR, liveWorld } from '../support/live-world.js';
import { TEST_KEY } from '../support/stack.js';

test('doctor --live buys one video, and records every answer without a secret', async () => {
  const world = await liveWorld({ speed: 25 });
  const first = await world.check();
  expect(first.code).toBe(0);
  expect(behaviourOf(first)).toEqual(EXPECTED_OF_EMULATOR);
  expect(first.purchase).toMatchObject({ outcome: 'bought', billed_seconds: 2, why: null });
  expect(world.emulator.state().tasks).toHaveLength(1);
  for (const text of await world.records()) {
    expect(text).not.toContain(TEST_KEY);
    expect(text).not.toMatch(/Signature=|Expires=\d|OSSAccessKeyId=\w|sk-/);
    // Of all ids only that of its own task, and that in the purchase alone.
    const ids = text.match(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g) ?? [];
    expect([...new Set(ids)]).toEqual([first.purchase.task_id]);
  }
});

test('doctor --live buys nothing without a terminal and without --yes, and says what it would cost', async () => {
  const world = await liveWorld();
  const end = await world.run('--live', '--json');
  expect(end.code).toBe(2);
  expect(onlyJson(end).error['issues']).toMatchObject([
    {
      path: '--yes',
      message: expect.stringContaining('2 s of silent video at 720P at a price that is not known here'),
    },
  ]);
  const { submits, queries } = world.emulator.state();
  expect({ submits, queries }).toEqual({ submits: 0, queries: 0 });
});

test.each([
  [['--yes'], '--yes'],
  [['--live', '--compare', 'x.json'], '--compare'],
  [['--compare', 'missing.json'], '--compare'],
  [['--compare', 'package.json'], '--compare'],
])('doctor %j is refused with 2, and the flag is named', async (flags, path) => {
  const end = await command(['doctor', ...flags, '--json']);
  expect(end.code).toBe(2);
  expect(onlyJson(end).error['issues']).toMatchObject([{ path }]);
});
