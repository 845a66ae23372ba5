import type { Bill, Billable, BudgetTerms } from '../../src/contract/budget.js';
import type { SlotReleaseMessage, SlotRequestMessage, SlotWithdrawalMessage } from '../../src/contract/slots.js';

// What signals bring is from anybody who may signal; an error in a handler would stop the account's slots. Unknown fields do no harm.

type Fields = Readonly<Record<string, unknown>>;

/** A request for a slot that can be kept and priced. */
export function isSlotRequest(message: unknown): message is SlotRequestMessage {
  const { key, afterPurchase, requesterId, tenant, batch, priority, cost } = fieldsOf(message);
  return (
    [key, requesterId].every(isText) &&
    isAmount(afterPurchase) &&
    [tenant, batch].every(isName) &&
    (priority === 'interactive' || priority === 'batch') &&
    (cost === undefined || isBillable(cost))
  );
}

/** A return whose bill, if it has one, can be counted. */
export function isSlotRelease(message: unknown): message is SlotReleaseMessage {
  const { key, n, settled } = fieldsOf(message);
  if (!isText(key) || !isAmount(n)) return false;
  if (settled === undefined) return true;
  const { billed } = fieldsOf(settled);
  return billed === null || isPaid(billed);
}

/** A run that leaves. */
export function isSlotWithdrawal(message: unknown): message is SlotWithdrawalMessage {
  const { key, requesterId } = fieldsOf(message);
  return isText(key) && isText(requesterId);
}

/** Budgets that everything can be priced by. */
export function isBudgetTerms(budget: unknown): budget is BudgetTerms {
  const { currency, prices, limits } = fieldsOf(budget);
  const { day, tenants, batches } = fieldsOf(limits);
  const isLimit = (limit: unknown): boolean => limit === null || isAmount(limit);
  const areLimits = (all: unknown): boolean => isObject(all) && Object.values(all).every(isLimit);
  const arePrices = (tier: unknown): boolean => {
    const { silent, sound } = fieldsOf(tier);
    return isAmount(silent) && isAmount(sound);
  };
  const tiers = fieldsOf(prices);
  return (
    isText(currency) &&
    ['720P', '1080P'].every((tier) => arePrices(tiers[tier])) &&
    isLimit(day) &&
    [tenants, batches].every(areLimits)
  );
}

/** The fields of a message; none of what is no object. */
export const fieldsOf = (message: unknown): Fields => (isObject(message) ? message : {});

function isPaid(billed: unknown): billed is Bill {
  const { day, tenant, batch } = fieldsOf(billed);
  return isBillable(billed) && isText(day) && [tenant, batch].every(isName);
}

function isBillable(cost: unknown): cost is Billable {
  const { seconds, resolution, audio } = fieldsOf(cost);
  return isAmount(seconds) && (resolution === '720P' || resolution === '1080P') && typeof audio === 'boolean';
}

const isObject = (value: unknown): value is Fields => typeof value === 'object' && value !== null;
const isText = (value: unknown): boolean => typeof value === 'string';
const isName = (value: unknown): boolean => value === null || typeof value === 'string';
const isAmount = (value: unknown): boolean => typeof value === 'number' && Number.isFinite(value) && value >= 0;
