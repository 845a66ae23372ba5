import { expect, test } from 'vitest';
import { listParallel } from '../../src/storage/list-parallel.js';
import { MemoryStore } from '../property/memory-store.js';
import { CountingStore } from '../support/counting-store.js';

/** Names of every beginning: hashes, and what sorts before, between and behind them. */
function namesOf(count: number): string[] {
  const beginnings = [...'0123456789abcdef', '-', '_', 'g', '~', 'z', '.x'];
  return Array.from({ length: count }, (_, index) => `${beginnings[index % beginnings.length]}${index}`);
}

test.each([0, 1, 999, 1_000, 1_001, 5_000])('%i names are listed completely, once and in order', async (count) => {
  const store = new MemoryStore();
  for (const name of namesOf(count)) store.set(`a/${name}`, Buffer.from(''));
  for (const key of ['a-/x', 'a0/x', 'b/x']) store.set(key, Buffer.from(''));
  const counting = new CountingStore(store);
  const keys: string[] = [];
  for await (const { key } of listParallel(counting, 'a/')) keys.push(key);
  expect(keys).toEqual(
    namesOf(count)
      .map((name) => `a/${name}`)
      .sort(),
  );
  expect(counting.take().all).toBeLessThanOrEqual(count < 1_000 ? 1 : 18 + Math.ceil(count / 1_000));
});
