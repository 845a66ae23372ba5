import type { VideoFailure } from './failure.js';
import type { Resolution } from './model.js';

/** An amount of money. */
export interface Money {
  readonly amount: number;
  /** ISO 4217, such as `CNY`. */
  readonly currency: string;
}

/** What the provider bills a video by. */
export interface Billable {
  readonly seconds: number;
  readonly resolution: Resolution;
  readonly audio: boolean;
}

/** The tenant and the batch whose budgets a purchase counts against. */
export interface Payer {
  readonly tenant: string | null;
  readonly batch: string | null;
}

/** What a purchase was billed, as it is in the ledger's day record. */
export interface Bill extends Billable, Payer {
  /** UTC day of the task's end, `YYYY-MM-DD`. */
  readonly day: string;
}

/** Limits in millionths of the currency; null: none. A name that ends with `*` limits each name with that beginning. */
export interface BudgetLimits {
  readonly day: number | null;
  /** By tenant, per UTC day; `""` is for requests without a tenant. */
  readonly tenants: Readonly<Record<string, number | null>>;
  /** By batch, over its whole life. */
  readonly batches: Readonly<Record<string, number | null>>;
}

/** Prices and limits that `accountSlots` keeps to; plain numbers, so that a replay decides the same. */
export interface BudgetTerms {
  readonly currency: string;
  /** Millionths of the currency per billed second. */
  readonly prices: Readonly<Record<Resolution, { readonly silent: number; readonly sound: number }>>;
  readonly limits: BudgetLimits;
}

/**
 * Billed seconds by resolution and sound, such as `720P silent`. They are priced when they are compared, as
 * `wan-video cost` does, so that a new price applies to everything.
 */
export type SecondsByKind = Readonly<Record<string, number>>;

/** Billed seconds by the name of a tenant or a batch. */
export type SecondsByName = Readonly<Record<string, SecondsByKind>>;

/** A budget that has no room for a purchase, even if nothing that is under way is billed. */
export interface BudgetReached {
  readonly scope: 'day' | 'tenant' | 'batch';
  /** Tenant or batch; null for the day, and for requests without a tenant. */
  readonly name: string | null;
  readonly currency: string;
  /** Amounts in the currency. */
  readonly limit: number;
  readonly spent: number;
  /** The most that the purchase can cost. */
  readonly price: number;
}

/** Argument of the query `budget` of `accountSlots`. */
export interface BudgetQuestion extends Payer {
  /** The purchase key; null to ask for the room only. */
  readonly key: string | null;
  readonly cost: Billable;
}

/** Answer of the query `budget`. */
export interface BudgetAnswer {
  /** Whether the key holds a slot, and with it a reservation. */
  readonly held: boolean;
  /** Null when there is room, or may be once purchases under way are settled. */
  readonly reached: BudgetReached | null;
}

/** The state of one budget; amounts in the currency. */
export interface BudgetView {
  readonly scope: BudgetReached['scope'];
  readonly name: string | null;
  readonly limit: number;
  /** Null until the ledger has been read. */
  readonly spent: number | null;
  /** The most that purchases under way can cost. */
  readonly reserved: number;
}

/** Names the kind of seconds under which they are added up; {@link billableOf} reads it back. */
export const kindOf = ({ resolution, audio }: Omit<Billable, 'seconds'>): string =>
  `${resolution} ${audio ? 'sound' : 'silent'}`;

/** Reads seconds of a kind as what they are priced by. */
export function billableOf(kind: string, seconds: number): Billable {
  const [resolution, sound] = kind.split(' ');
  return { seconds, resolution: resolution as Resolution, audio: sound === 'sound' };
}

/** Units of an amount per unit of the currency: finer than any price, and integers add up exactly. */
export const MICRO = 1_000_000;

/** Prices billed seconds, or the most that a purchase can cost, in millionths of the currency; rounded up. */
export function microsOf({ prices }: BudgetTerms, { seconds, resolution, audio }: Billable): number {
  return Math.ceil(prices[resolution][audio ? 'sound' : 'silent'] * seconds);
}

/** Finds the limit of a name: its own, else that of the longest beginning with `*`, else none. */
export function limitOf(limits: BudgetLimits['tenants'], name: string): number | null {
  const own = Object.hasOwn(limits, name) ? limits[name] : undefined;
  if (own !== undefined) return own;
  const [longest] = Object.keys(limits)
    .filter((pattern) => pattern.endsWith('*') && name.startsWith(pattern.slice(0, -1)))
    .sort((a, b) => b.length - a.length);
  return longest === undefined ? null : (limits[longest] ?? null);
}

/** An amount of money with two to six decimals: prices per second may be fractions of the smallest coin. */
export const amountText = (amount: number): string => amount.toFixed(6).replace(/0{1,4}$/, '');

/** What is billed, for people: `8 s at 720P, silent`. */
export const billableText = ({ seconds, resolution, audio }: Billable): string =>
  `${seconds} s at ${resolution}, ${audio ? 'with sound' : 'silent'}`;

/** Which part of a bill is not the provider's word, for people. */
export const estimatedText = (seconds: number): string =>
  `${seconds} s of it: the provider did not say all of what it bills`;

/** The outcome of a run whose video a budget has no room for; nothing was bought. */
export function budgetReachedFailure({ scope, name, currency, limit, spent, price }: BudgetReached): VideoFailure {
  const budget = {
    day: 'of the day (UTC)',
    tenant: name === null ? 'of runs without a tenant for the day (UTC)' : `of tenant ${name} for the day (UTC)`,
    batch: `of batch ${name}`,
  };
  const tomorrow = scope === 'batch' ? '' : 'start the request again on the next day (UTC), or ';
  // Waiting for the next day does not help when the video costs more than the whole limit.
  const advice = price > limit ? 'the limit is below the price of this video alone; ' : tomorrow;
  return {
    type: 'BudgetReached',
    message:
      `The budget ${budget[scope]} is reached: ${amountText(spent)} of ${amountText(limit)} ${currency} are spent, ` +
      `and this video may cost ${amountText(price)}`,
    billed: false,
    next_step:
      `Nothing was bought: ${advice}raise the limit in the file of WAN_VIDEO_BUDGETS, restart the workers, and ` +
      'start the request again.',
  };
}
