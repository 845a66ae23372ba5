import { expect, test } from 'vitest';
import { isSlotAnswer } from '../../workflows/video/slot-answer.js';

const place = {
  position: 3,
  ahead_interactive: 1,
  ahead_batch: 1,
  running: 5,
  limit: 5,
  as_of_ms: Date.UTC(2026, 2, 31),
};
const reached = { scope: 'tenant', name: null, currency: 'CNY', limit: 3, spent: 2.8, price: 0.4 };
const answer = { key: 'k', afterPurchase: 0, waiting: place };

test.each([
  ['a grant', { ...answer, waiting: null }],
  ['a place', answer],
  ['a place that waits for a budget', { ...answer, waiting: { ...place, budget: 'batch' } }],
  ['a refusal', { ...answer, reached }],
  ['a place from a later version, with further fields', { ...answer, waiting: { ...place, expected_ms: 'soon' } }],
])('%s is an answer of the slots', (_what, message) => {
  expect(isSlotAnswer(message)).toBe(true);
});

test.each([
  ['null', null],
  ['text', 'granted'],
  ['nothing', undefined],
  ['no key', { ...answer, key: undefined }],
  ['no place', { ...answer, waiting: undefined }],
  ['a place that is text', { ...answer, waiting: 'third' }],
  ['a position that is text', { ...answer, waiting: { ...place, position: '3' } }],
  ['a moment that is no date', { ...answer, waiting: { ...place, as_of_ms: 8.64e15 + 1 } }],
  ['an unknown budget', { ...answer, waiting: { ...place, budget: 'month' } }],
  ['a refusal without amounts', { ...answer, reached: { scope: 'day' } }],
  ['a refusal that is null', { ...answer, reached: null }],
])('a message of %s is no answer of the slots', (_what, message) => {
  expect(isSlotAnswer(message)).toBe(false);
});
