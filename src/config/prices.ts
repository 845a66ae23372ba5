import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import type { BilledSeconds } from '../contract/batch.js';
import { FailureType } from '../contract/failure-type.js';
import type { Resolution } from '../contract/model.js';
import { type Issue, VideoError } from '../contract/video-error.js';
import { repeatedFields } from './repeated-fields.js';

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
/** What a silent second at 720P costs where no price list is configured; by region, image-to-video price pages, November 2026. */
export const LIST_PRICES: Readonly<Record<string, { readonly currency: string; readonly perSecond: number }>> = {
  'cn-beijing': { currency: 'CNY', perSecond: CNY_PER_SECOND },
  'ap-southeast-1': { currency: 'USD', perSecond: 0.025 },
};
/** An amount of money. */
export interface Money {
  readonly amount: number;
  /** ISO 4217, such as `CNY`. */
  readonly currency: string;
}

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

/** The text for a value of the wrong shape; unknown fields are told one by one. */
function unlessUnknown(text: string) {
  return (issue: { code?: string | undefined }) => (issue.code === 'invalid_type' ? text : undefined);
}

/**
 * Reads the price list that `WAN_VIDEO_PRICES` names.
 * @throws {@link VideoError} `ConfigurationInvalid` with every fault at once, each with its field.
 */
export async function readPrices(file: string): Promise<Prices> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code === 'ENOENT' ? 'does not exist' : 'cannot be read';
    throw unusable(file, [{ path: 'WAN_VIDEO_PRICES', message: `names ${file}, which ${why}` }]);
  }
  return parsePrices(text, file);
}

/**
 * Reads the text of a price list; pure.
 * @param file - Its name, for messages.
 * @throws {@link VideoError} as {@link readPrices}.
 */
export function parsePrices(text: string, file: string): Prices {
  let value: unknown;
  try {
    value = JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch {
    throw unusable(file, [{ path: 'WAN_VIDEO_PRICES', message: `names ${file}, which is not JSON` }]);
  }
  const parsed = pricesFile.safeParse(value);
  const repeated = repeatedFields(text);
  if (parsed.success && repeated.length === 0) return parsed.data;
  const issues = (parsed.error?.issues ?? []).flatMap((issue): Issue[] =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => ({ path: [...issue.path, key].join('.'), message: 'is not a field of a price list' }))
      : [{ path: issue.path.join('.') || 'WAN_VIDEO_PRICES', message: issue.message }],
  );
  throw unusable(file, [...issues, ...repeated]);
}

/** What `seconds` of one kind cost; exact to a millionth of the currency. */
export function amountOf(prices: Prices, seconds: number, resolution: Resolution, audio: boolean): number {
  const perSecond = prices.per_second[resolution][audio ? 'sound' : 'silent'];
  return (Math.round(perSecond * MICRO) * seconds) / MICRO;
}

/** What all of it costs together. */
export function totalAmount(prices: Prices, billed: readonly BilledSeconds[]): Money {
  const amounts = billed.map(({ seconds, resolution, audio }) => amountOf(prices, seconds, resolution, audio));
  const sum = amounts.reduce((total, amount) => total + amount, 0);
  return { amount: Math.round(sum * MICRO) / MICRO, currency: prices.currency };
}

/** Finer than any price, and integers of it add up exactly. */
const MICRO = 1_000_000;

function unusable(file: string, issues: readonly Issue[]): VideoError {
  const text = issues.map(({ path, message }) => `${path} ${message}`).join('; ');
  return new VideoError(FailureType.ConfigurationInvalid, `The price list ${file} is not usable: ${text}`, {
    issues,
    billed: false,
    nextStep:
      'Write it as {"currency":"CNY","per_second":{"720P":{"silent":0.15,"sound":0.3},"1080P":{"silent":0.25,"sound":0.5}}}, or unset WAN_VIDEO_PRICES.',
  });
}
