import { bytesOf } from '../../src/contract/bounds.js';
import type { Bill, Billable, BudgetQuestion, BudgetTerms } from '../../src/contract/budget.js';
import {
  SLOT_REQUESTS_BYTES_MAX,
  SLOT_REQUESTS_MAX,
  type SlotReleaseMessage,
  type SlotRequestMessage,
  type SlotsPage,
  type SlotWithdrawalMessage,
} from '../../src/contract/slots.js';
import {
  fieldsOf,
  isAmount,
  isCount,
  isName,
  isObject,
  isPurchaseKey,
  isText,
  isTextOrNull,
} from '../shared/message-checks.js';

// Any program that may signal the workflow decides what its messages hold, and an error in a handler, or a command that
// the server refuses, stops the slots of the whole account. So each message is checked before it is used. Unknown
// fields are harmless and pass: later versions may add some.

/** Bytes of budgets: well below the 2 MB of one payload, in which they are carried on together with the requests. */
const BUDGET_BYTES_MAX = 1_000_000;
/** Bytes of a message to the slots: its budgets, and everything else. */
export const SLOT_MESSAGE_BYTES_MAX = BUDGET_BYTES_MAX + 16_384;
/** Bytes of a message with the requests of several runs; one that is longer than others by itself is sent alone. */
export const SLOT_REQUESTS_MESSAGE_BYTES_MAX = SLOT_MESSAGE_BYTES_MAX + SLOT_REQUESTS_BYTES_MAX;
/** Longer than any video; an amount of money that is computed from it is exact. */
const SECONDS_MAX = 86_400;

/**
 * Whether a message is a request that can be queued, answered and priced. Its limit and its budgets have own guards.
 */
export function isSlotRequest(message: unknown): message is SlotRequestMessage {
  const { key, afterPurchase, requesterId, tenant, batch, priority, cost } = fieldsOf(message);
  return (
    isPurchaseKey(key) &&
    isName(requesterId) &&
    isCount(afterPurchase) &&
    [tenant, batch].every(isTextOrNull) &&
    (priority === 'interactive' || priority === 'batch') &&
    (cost === undefined || isBillable(cost))
  );
}

/** The requests of a message as single ones, and how many of them are malformed. */
export interface SingleRequests {
  readonly requests: readonly SlotRequestMessage[];
  readonly malformed: number;
}

/**
 * Reads the requests of several runs. The sender's limit and budgets go with the first one: the others leave both
 * unchanged, as a request without them does. A message of more requests than a worker sends is malformed as a whole:
 * each malformed request is reported by itself, and a message has room for hundreds of thousands.
 */
export function readSlotRequests(message: unknown): SingleRequests | undefined {
  const { requests, limit, budget } = fieldsOf(message);
  if (!Array.isArray(requests) || requests.length > SLOT_REQUESTS_MAX) return undefined;
  const [first, ...others] = requests.filter(isSlotRequest);
  const terms = { ...(limit !== undefined && { limit }), ...(budget !== undefined && { budget }) };
  const single = first === undefined ? [] : [{ ...first, ...terms } as SlotRequestMessage, ...others];
  return { requests: single, malformed: requests.length - single.length };
}

/** Whether a message is a release whose bill, if it has one, can be counted. */
export function isSlotRelease(message: unknown): message is SlotReleaseMessage {
  const { key, n, settled } = fieldsOf(message);
  if (!isPurchaseKey(key) || !isCount(n)) return false;
  if (settled === undefined) return true;
  const { billed } = fieldsOf(settled);
  return billed === null || isBill(billed);
}

/** Whether a message is a withdrawal of a request. */
export function isSlotWithdrawal(message: unknown): message is SlotWithdrawalMessage {
  const { key, requesterId, nothingBought } = fieldsOf(message);
  return (
    isPurchaseKey(key) && isName(requesterId) && (nothingBought === undefined || typeof nothingBought === 'boolean')
  );
}

/**
 * Whether a message may hold a limit and budgets; each of them has its own guard, so that one is used without the
 * other.
 */
export const isSlotLimit = (message: unknown): message is { readonly limit?: unknown; readonly budget?: unknown } =>
  isObject(message);

/** Whether a value is a number of slots. */
export const isLimit = (limit: unknown): limit is number => isCount(limit) && limit > 0;

/** Whether a value is budgets by which everything can be priced. */
export function isBudgetTerms(budget: unknown): budget is BudgetTerms {
  const { currency, prices, limits } = fieldsOf(budget);
  const { day, tenants, batches } = fieldsOf(limits);
  const areLimits = (all: unknown): boolean => isObject(all) && Object.values(all).every(isAmountOrNull);
  const arePrices = (tier: unknown): boolean => {
    const { silent, sound } = fieldsOf(tier);
    return isAmount(silent) && isAmount(sound);
  };
  const tiers = fieldsOf(prices);
  return (
    isText(currency) &&
    ['720P', '1080P'].every((tier) => arePrices(tiers[tier])) &&
    isAmountOrNull(day) &&
    [tenants, batches].every(areLimits) &&
    bytesOf(JSON.stringify(budget)) <= BUDGET_BYTES_MAX
  );
}

/** Whether the argument of the query `slots` is a page, or absent. */
export function isSlotsPage(page: unknown): page is SlotsPage | undefined {
  const { offset, count } = fieldsOf(page);
  return page === undefined || (isObject(page) && [offset, count].every((one) => one === undefined || isCount(one)));
}

/** Whether the argument of the query `budget` can be answered. */
export function isBudgetQuestion(question: unknown): question is BudgetQuestion {
  const { key, tenant, batch, cost } = fieldsOf(question);
  return [key, tenant, batch].every(isTextOrNull) && isBillable(cost);
}

function isBill(billed: unknown): billed is Bill {
  const { day, tenant, batch } = fieldsOf(billed);
  return (
    isBillable(billed) &&
    typeof day === 'string' &&
    /^\d{4}-\d{2}-\d{2}$/.test(day) &&
    [tenant, batch].every(isTextOrNull)
  );
}

function isBillable(cost: unknown): cost is Billable {
  const { seconds, resolution, audio } = fieldsOf(cost);
  return (
    isAmount(seconds) &&
    seconds <= SECONDS_MAX &&
    (resolution === '720P' || resolution === '1080P') &&
    typeof audio === 'boolean'
  );
}

const isAmountOrNull = (value: unknown): value is number | null => value === null || isAmount(value);
