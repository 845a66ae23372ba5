import { readFileSync } from 'node:fs';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import type { DriftRule, EmulatorFault } from '../../src/emulator/index.js';
import { startOnClock } from '../support/emulator-calls.js';

const document = readFileSync(new URL('../../docs/emulator.md', import.meta.url), 'utf8');

/** Cells of the table rows below a heading, up to the next one. */
function rowsUnder(heading: string): string[][] {
  const section = document.split(`\n### ${heading}\n`)[1]?.split(/\n##/)[0] ?? '';
  return [...section.matchAll(/^\| (`.*) \|$/gm)].map(([, row = '']) => row.split(' | '));
}

test('the document names every setting with its default', async () => {
  const { emulator } = await startOnClock();
  const named = rowsUnder('Settings').map(([name, value]) => [name, value]);
  const real = Object.entries(emulator.changeSettings({})).map(([name, value]) => [
    `\`${name}\``,
    `\`${JSON.stringify(value)}\``,
  ]);
  expect(named).toEqual(real);
});

test('the document names every fault and its examples are accepted', async () => {
  const { emulator } = await startOnClock();
  const examples = [...document.matchAll(/```json\n([\s\S]*?)```/g)].flatMap(
    ([, text = '']) => [JSON.parse(text)].flat() as EmulatorFault[],
  );
  emulator.queueFaults(examples);
  const named = rowsUnder('Faults').map(([name]) => name);
  expect(new Set(examples.map(({ fault }) => `\`${fault}\``))).toEqual(new Set(named));
  // The refusal of an unknown kind lists all that there are.
  let refusal = '';
  try {
    emulator.queueFaults({ on: 'submit', fault: 'x' } as unknown as EmulatorFault);
  } catch (error) {
    refusal = String(error);
  }
  const real = [...refusal.matchAll(/"([a-z0-9-]+)"/g)].map(([, name]) => `\`${name}\``);
  expect(real.length).toBeGreaterThan(0);
  expect(new Set(named)).toEqual(new Set(real));
});

test('the document names every kind of change, and its example of the setting drift is accepted', async () => {
  const { emulator } = await startOnClock();
  const example = /```js\n(\[[\s\S]*?)```/.exec(document)?.[1] ?? '';
  const drift = runInNewContext(example) as DriftRule[];
  // The settings are those of another realm until they are JSON.
  emulator.changeSettings({ drift: JSON.parse(JSON.stringify(drift)) });
  expect(emulator.changeSettings({}).drift).toHaveLength(drift.length);
  const named = rowsUnder('Drift').map(([kind = '']) => kind.replaceAll('`', ''));
  const source = readFileSync(new URL('../../src/emulator/drift-change.ts', import.meta.url), 'utf8');
  const declared = new Set([...source.matchAll(/^ {2}\| \{ kind: '([a-z]+)'/gm)].map(([, kind]) => kind));
  expect(new Set(named)).toEqual(declared);
});
