import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { type BudgetLimits, type BudgetTerms, MICRO } from '../contract/budget.js';
import { FailureType } from '../contract/failure-type.js';
import { type Issue, VideoError } from '../contract/video-error.js';
import type { Prices } from './prices.js';
import { repeatedFields } from './repeated-fields.js';

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

/** The text for a value of the wrong shape; unknown fields are told one by one. */
function unlessUnknown(text: string) {
  return (issue: { code?: string | undefined }) => (issue.code === 'invalid_type' ? text : undefined);
}

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
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code === 'ENOENT' ? 'does not exist' : 'cannot be read';
    throw unusable(file, [{ path: 'WAN_VIDEO_BUDGETS', message: `names ${file}, which ${why}` }]);
  }
  return parseBudgets(text, file);
}

/**
 * Reads the text of a budget file; pure.
 * @param file - Its name, for messages.
 * @throws {@link VideoError} as {@link readBudgets}.
 */
export function parseBudgets(text: string, file: string): BudgetLimits {
  let value: unknown;
  try {
    value = JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch {
    throw unusable(file, [{ path: 'WAN_VIDEO_BUDGETS', message: `names ${file}, which is not JSON` }]);
  }
  const repeated = repeatedFields(text);
  const parsed = budgetsFile.safeParse(value);
  if (!parsed.success || repeated.length > 0) {
    const wrong = (parsed.error?.issues ?? []).flatMap((issue): Issue[] =>
      issue.code === 'unrecognized_keys'
        ? issue.keys.map((key) => ({
            path: [...issue.path, key].join('.'),
            message: 'is not a field of a budget file',
          }))
        : [{ path: issue.path.join('.') || 'WAN_VIDEO_BUDGETS', message: messageOf(issue) }],
    );
    throw unusable(file, [...wrong, ...repeated]);
  }
  const { day = null, tenants = {}, batches = {} } = parsed.data;
  const limits: BudgetLimits = {
    ...{ day, batches },
    tenants: Object.fromEntries(Object.entries(tenants).map(([one, limit]) => [one, limit.day])),
  };
  const all = [day, ...Object.values(limits.tenants), ...Object.values(batches)];
  if (all.every((limit) => limit === null)) {
    const message = 'has no limit; give at least one of day, tenants and batches an amount';
    throw unusable(file, [{ path: 'WAN_VIDEO_BUDGETS', message }]);
  }
  return limits;
}

/** A name of the wrong form is told by the issue inside. */
function messageOf(issue: z.core.$ZodIssue): string {
  return issue.code === 'invalid_key' ? (issue.issues[0]?.message ?? issue.message) : issue.message;
}

/** The fault of budgets whose prices are not known. */
export function withoutPrices(): VideoError {
  const message = 'needs WAN_VIDEO_PRICES: without prices nobody can tell what is spent';
  return new VideoError(FailureType.ConfigurationInvalid, `WAN_VIDEO_BUDGETS ${message}`, {
    issues: [{ path: 'WAN_VIDEO_BUDGETS', message }],
    ...{ billed: false, nextStep: 'Set WAN_VIDEO_PRICES as well (docs/configuration.md), or unset WAN_VIDEO_BUDGETS.' },
  });
}

function unusable(file: string, issues: readonly Issue[]): VideoError {
  const text = issues.map(({ path, message }) => `${path} ${message}`).join('; ');
  return new VideoError(FailureType.ConfigurationInvalid, `The budget file ${file} is not usable: ${text}`, {
    ...{ issues, billed: false },
    nextStep:
      'Write it as {"day":"20.00","tenants":{"acme":{"day":"5.00"},"*":{"day":"2.00"}},"batches":{"*":"10.00"}}, or unset WAN_VIDEO_BUDGETS.',
  });
}
