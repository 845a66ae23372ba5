import { z } from 'zod';
import type { Billable, Money } from '../contract/budget.js';
import type { Resolution } from '../contract/model.js';
import { type NamedFile, parseNamedFile, readNamedFile, unlessUnknown, unusable } from './named-file.js';

/** Price per billed second, in the file's currency. */
export interface TierPrices {
  readonly silent: number;
  readonly sound: number;
}

/** What the file named by `WAN_VIDEO_PRICES` says. */
export interface Prices {
  /** ISO 4217, such as `CNY`. */
  readonly currency: string;
  readonly per_second: Readonly<Record<Resolution, TierPrices>>;
}

/** A silent second at 720P in Beijing; see {@link LIST_PRICES}. */
export const CNY_PER_SECOND = 0.15;
/**
 * What a silent second at 720P costs where no price list is configured; by region, image-to-video price pages, November
 * 2026.
 */
export const LIST_PRICES: Readonly<Record<string, { readonly currency: string; readonly perSecond: number }>> = {
  'cn-beijing': { currency: 'CNY', perSecond: CNY_PER_SECOND },
  'ap-southeast-1': { currency: 'USD', perSecond: 0.025 },
};

const FILE: NamedFile = {
  variable: 'WAN_VIDEO_PRICES',
  title: 'price list',
  nextStep:
    'Write it as {"currency":"CNY","per_second":{"720P":{"silent":0.15,"sound":0.3},' +
    '"1080P":{"silent":0.25,"sound":0.5}}}, or unset WAN_VIDEO_PRICES.',
};
const WHAT = 'must be the price per second, a number from 0';
const price = z.number({ error: WHAT }).min(0, { error: WHAT });
const tier = z.strictObject({ silent: price, sound: price }, { error: unlessUnknown('must be {"silent", "sound"}') });
const pricesFile = z.strictObject(
  {
    currency: z
      .string({ error: 'must be a currency such as CNY' })
      .regex(/^[A-Z]{3}$/, { error: 'must be three capital letters such as CNY' }),
    per_second: z.strictObject({ '720P': tier, '1080P': tier }, { error: unlessUnknown('must have 720P and 1080P') }),
  },
  { error: unlessUnknown('must be one JSON object with currency and per_second') },
);

/**
 * Reads the price list that `WAN_VIDEO_PRICES` names.
 * @throws VideoError `ConfigurationInvalid` with every fault at once, each with its field.
 */
export async function readPrices(file: string): Promise<Prices> {
  return parsePrices(await readNamedFile(FILE, file), file);
}

/**
 * Reads the text of a price list; pure.
 * @param file - Its name, for messages.
 * @throws VideoError as {@link readPrices}.
 */
export function parsePrices(text: string, file: string): Prices {
  const { data, issues } = parseNamedFile(FILE, file, text, pricesFile);
  if (data === undefined || issues.length > 0) throw unusable(FILE, file, issues);
  return data;
}

/** What `seconds` of one kind cost; exact to a millionth of the currency. */
export function amountOf(prices: Prices, seconds: number, resolution: Resolution, audio: boolean): number {
  const perSecond = prices.per_second[resolution][audio ? 'sound' : 'silent'];
  return (Math.round(perSecond * MICRO) * seconds) / MICRO;
}

/** What all of it costs together. */
export function totalAmount(prices: Prices, billed: readonly Billable[]): Money {
  const amounts = billed.map(({ seconds, resolution, audio }) => amountOf(prices, seconds, resolution, audio));
  const sum = amounts.reduce((total, amount) => total + amount, 0);
  return { amount: Math.round(sum * MICRO) / MICRO, currency: prices.currency };
}

/** Finer than any price, and integers of it add up exactly. */
const MICRO = 1_000_000;
