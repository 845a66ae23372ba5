import { expect, test } from 'vitest';
import { amountOf, parsePrices } from '../../src/config/prices.js';

const GOOD = {
  currency: 'CNY',
  per_second: { '720P': { silent: 0.15, sound: 0.3 }, '1080P': { silent: 0.25, sound: 0.5 } },
};
const issuesOf = (value: unknown) => {
  try {
    parsePrices(typeof value === 'string' ? value : JSON.stringify(value), 'prices.json');
  } catch (error) {
    return error;
  }
  return undefined;
};

test('a price list prices each tier with and without sound, exactly', () => {
  const prices = parsePrices(JSON.stringify(GOOD), 'prices.json');
  expect(amountOf(prices, 4, '720P', false)).toBe(0.6);
  expect(amountOf(prices, 3, '720P', true)).toBe(0.9); // 0.3 * 3 is 0.8999999999999999 in floating point
  expect(amountOf(prices, 15, '1080P', true)).toBe(7.5);
});

test('every fault of a price list is reported at once, with its field', () => {
  const error = issuesOf({
    currency: 'yuan',
    per_second: { '720P': { silent: -1, sound: 'much' }, '1080P': 7, '480P': {} },
    vat: 0,
  });
  expect(error).toMatchObject({ type: 'ConfigurationInvalid', billed: false });
  expect((error as { issues: { path: string }[] }).issues.map(({ path }) => path).sort()).toEqual([
    'currency',
    'per_second.1080P',
    'per_second.480P',
    'per_second.720P.silent',
    'per_second.720P.sound',
    'vat',
  ]);
});

test.each([
  ['not JSON', '{', 'WAN_VIDEO_PRICES', /is not JSON/],
  ['a list', '[]', 'WAN_VIDEO_PRICES', /one JSON object/],
  ['without prices', '{"currency":"CNY"}', 'per_second', /720P and 1080P/],
  [
    'with a field that occurs twice',
    '{"currency":"CNY","currency":"USD","per_second":{"720P":{"silent":1,"sound":1},"1080P":{"silent":1,"sound":1}}}',
    'currency',
    /more than once/,
  ],
])('a price list that is %s is refused', (_why, text, path, message) => {
  expect(issuesOf(text)).toMatchObject({ issues: [{ path, message: expect.stringMatching(message) }] });
});
