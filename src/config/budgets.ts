import { z } from 'zod';
import { type BudgetLimits, type BudgetTerms, MICRO } from '../contract/budget.js';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import { type NamedFile, parseNamedFile, readNamedFile, unlessUnknown, unusable } from './named-file.js';
import type { Prices } from './prices.js';

const FILE: NamedFile = {
  variable: 'WAN_VIDEO_BUDGETS',
  title: 'budget file',
  nextStep:
    'Write it as {"day":"20.00","tenants":{"acme":{"day":"5.00"},"*":{"day":"2.00"}},"batches":{"*":"10.00"}}, ' +
    'or unset WAN_VIDEO_BUDGETS.',
};
const AMOUNT = 'must be an amount such as "20.00", with at most six decimals, or null for no limit';

/** In millionths, by its digits: a decimal fraction is none of a computer's own. */
const amount = z.union([z.string(), z.number(), z.null()], { error: AMOUNT }).transform((value, context) => {
  if (value === null) return null;
  const match = /^(\d{1,9})(?:\.(\d{1,6}))?$/.exec(String(value));
  if (match !== null) return Number(match[1]) * MICRO + Number((match[2] ?? '').padEnd(6, '0'));
  context.addIssue({ code: 'custom', message: AMOUNT });
  return z.NEVER;
});
const name = z.string().regex(/^[^*]*\*?$/, { error: 'must be a name, or the beginning of names and a * at its end' });
const tenant = z.strictObject({ day: amount }, { error: unlessUnknown('must be {"day": amount}') });
const budgetsFile = z.strictObject(
  {
    day: amount.optional(),
    tenants: z.record(name, tenant, { error: unlessUnknown('must be {"<tenant>": {"day": amount}}') }).optional(),
    batches: z.record(name, amount, { error: unlessUnknown('must be {"<batch>": amount}') }).optional(),
  },
  { error: unlessUnknown('must be one JSON object with day, tenants or batches') },
);

/** Budgets with the prices that they are counted in. */
export function termsOf({ currency, per_second }: Prices, limits: BudgetLimits): BudgetTerms {
  const micros = ({ silent, sound }: Prices['per_second']['720P']) => ({
    silent: Math.round(silent * MICRO),
    sound: Math.round(sound * MICRO),
  });
  return { currency, prices: { '720P': micros(per_second['720P']), '1080P': micros(per_second['1080P']) }, limits };
}

/**
 * Reads the budgets that `WAN_VIDEO_BUDGETS` names; amounts become millionths of the currency.
 * @throws {@link VideoError} `ConfigurationInvalid` with every fault at once, each with its field.
 */
export async function readBudgets(file: string): Promise<BudgetLimits> {
  return parseBudgets(await readNamedFile(FILE, file), file);
}

/**
 * Reads the text of a budget file; pure.
 * @param file - Its name, for messages.
 * @throws {@link VideoError} as {@link readBudgets}.
 */
export function parseBudgets(text: string, file: string): BudgetLimits {
  const { data, issues } = parseNamedFile(FILE, file, text, budgetsFile);
  if (data === undefined || issues.length > 0) throw unusable(FILE, file, issues);
  const { day = null, tenants = {}, batches = {} } = data;
  const limits: BudgetLimits = {
    day,
    batches,
    tenants: Object.fromEntries(Object.entries(tenants).map(([one, limit]) => [one, limit.day])),
  };
  const all = [day, ...Object.values(limits.tenants), ...Object.values(batches)];
  if (all.every((limit) => limit === null)) {
    const message = 'has no limit; give at least one of day, tenants and batches an amount';
    throw unusable(FILE, file, [{ path: FILE.variable, message }]);
  }
  return limits;
}

/** The fault of budgets whose prices are not known. */
export function withoutPrices(): VideoError {
  const message = 'needs WAN_VIDEO_PRICES: without prices the spending is not known';
  return new VideoError(FailureType.ConfigurationInvalid, `WAN_VIDEO_BUDGETS ${message}`, {
    issues: [{ path: 'WAN_VIDEO_BUDGETS', message }],
    billed: false,
    nextStep: 'Set WAN_VIDEO_PRICES as well (docs/configuration.md), or unset WAN_VIDEO_BUDGETS.',
  });
}
