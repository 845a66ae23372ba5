import { expect, test } from 'vitest';
import type { SlotAnswer } from '../../src/contract/slots.js';
import { furtherAnswer } from '../../workflows/video/slot-answer.js';

const head = { key: 'a'.repeat(64), afterPurchase: 0 };
const placeAt = (as_of_ms: number): SlotAnswer => ({
  ...head,
  waiting: { position: 1, ahead_interactive: 0, ahead_batch: 0, running: 0, limit: 1, as_of_ms },
});
const granted: SlotAnswer = { ...head, waiting: null };
const refused: SlotAnswer = {
  ...head,
  waiting: null,
  reached: { scope: 'day', name: null, currency: 'CNY', limit: 1, spent: 1, price: 1 },
};

test.each([
  ['a grant by the reply, after a place by a signal', placeAt(5), granted, granted],
  ['a refusal by the reply, after a place by a signal', placeAt(5), refused, refused],
  ['a place by the reply, after a grant by a signal', granted, placeAt(9), granted],
  ['a later place by the reply', placeAt(5), placeAt(6), placeAt(6)],
  ['an earlier place by the reply', placeAt(6), placeAt(5), placeAt(6)],
  ['the first answer', undefined, placeAt(1), placeAt(1)],
])('%s: what is decided is never forgotten', (_, known, other, counts) => {
  expect(furtherAnswer(known, other)).toEqual(counts);
});
