import type { VideoFailure } from './failure.js';
import type { Resolution } from './model.js';

/** What a purchase is billed by. */
export interface Billable {
  readonly seconds: number;
  readonly resolution: Resolution;
  readonly audio: boolean;
}

/** Whose money a purchase is. */
export interface Payer {
  readonly tenant: string | null;
  readonly batch: string | null;
}

/** A purchase that was billed, as the ledger's day record tells it. */
export interface Bill extends Billable, Payer {
  /** UTC day of the task's end, `YYYY-MM-DD`. */
  readonly day: string;
}

/** Limits in millionths of the currency; null: none. A name that ends with `*` is for each name that begins like it. */
export interface BudgetLimits {
  readonly day: number | null;
  /** By tenant, per UTC day; `""` is what has no tenant. */
  readonly tenants: Readonly<Record<string, number | null>>;
  /** By batch, over its whole life. */
  readonly batches: Readonly<Record<string, number | null>>;
}

/** What `accountSlots` needs to keep to the budgets; plain numbers, so that a replay decides the same. */
export interface BudgetTerms {
  readonly currency: string;
  /** Millionths of the currency per billed second. */
  readonly prices: Readonly<Record<Resolution, { readonly silent: number; readonly sound: number }>>;
  readonly limits: BudgetLimits;
}

/** Billed seconds by tier and sound, such as `720P silent`; priced when they are compared, as `wan-video cost` does. */
export type SecondsByKind = Readonly<Record<string, number>>;

/** A budget that has no room for a purchase, even if nothing that is under way were billed. */
export interface BudgetReached {
  readonly scope: 'day' | 'tenant' | 'batch';
  /** Tenant or batch; null for the day, and for what has no tenant. */
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
  /** The purchase key; null where only the room is asked about. */
  readonly key: string | null;
  readonly cost: Billable;
}

/** Answer of the query `budget`. */
export interface BudgetAnswer {
  /** Whether the key holds a slot, and with it a reservation. */
  readonly held: boolean;
  /** Null when there is room, or when there may be once what is under way is settled. */
  readonly reached: BudgetReached | null;
}

/** One budget as it stands; amounts in the currency. */
export interface BudgetView {
  readonly scope: BudgetReached['scope'];
  readonly name: string | null;
  readonly limit: number;
  /** Null while the ledger is being read. */
  readonly spent: number | null;
  /** The most that purchases under way can cost. */
  readonly reserved: number;
}

/** Name of a kind of seconds, by which they are added up; {@link billableOf} reads it. */
export const kindOf = ({ resolution, audio }: Omit<Billable, 'seconds'>): string =>
  `${resolution} ${audio ? 'sound' : 'silent'}`;

/** Seconds of a kind, as they are priced. */
export function billableOf(kind: string, seconds: number): Billable {
  const [resolution, sound] = kind.split(' ');
  return { seconds, resolution: resolution as Resolution, audio: sound === 'sound' };
}

/** Finer than any price, and integers of it add up exactly. */
export const MICRO = 1_000_000;

/** The most that a purchase can cost, or what billed seconds cost, in millionths of the currency; rounded up. */
export function microsOf({ prices }: BudgetTerms, { seconds, resolution, audio }: Billable): number {
  return Math.ceil(prices[resolution][audio ? 'sound' : 'silent'] * seconds);
}

/** The limit of a name: its own, else that of the longest beginning with `*`, else none. */
export function limitOf(limits: BudgetLimits['tenants'], name: string): number | null {
  const own = Object.hasOwn(limits, name) ? limits[name] : undefined;
  if (own !== undefined) return own;
  const [longest] = Object.keys(limits)
    .filter((pattern) => pattern.endsWith('*') && name.startsWith(pattern.slice(0, -1)))
    .sort((a, b) => b.length - a.length);
  return longest === undefined ? null : (limits[longest] ?? null);
}

/** An amount with two to six decimals. */
const amountText = (amount: number): string => amount.toFixed(6).replace(/0{1,4}$/, '');

/** A run's outcome when a budget has no room for its video; nothing was bought. */
export function budgetReachedFailure({ scope, name, currency, limit, spent, price }: BudgetReached): VideoFailure {
  const whose = {
    day: 'of the day (UTC)',
    tenant: name === null ? 'of runs without a tenant for the day (UTC)' : `of tenant ${name} for the day (UTC)`,
    batch: `of batch ${name}`,
  };
  const tomorrow = scope === 'batch' ? '' : 'start the request again on the next day (UTC), or ';
  // No day has room for a video that costs more than the whole limit.
  const left = price > limit ? 'the limit is below the price of this video alone; ' : tomorrow;
  return {
    type: 'BudgetReached',
    message: `The budget ${whose[scope]} is reached: ${amountText(spent)} of ${amountText(limit)} ${currency} are spent, and this video may cost ${amountText(price)}`,
    billed: false,
    next_step: `Nothing was bought: ${left}raise the limit in the file of WAN_VIDEO_BUDGETS, restart the workers, and start the request again.`,
  };
}
