import type { BudgetReached } from '../../src/contract/budget.js';
import type { SlotAnswer, SlotPlace } from '../../src/contract/slots.js';
import { fieldsOf, isAmount, isCount, isName, isText, isTextOrNull } from '../shared/message-checks.js';

/** The last moment that a date can hold, in milliseconds since the epoch. */
const TIME_MS_MAX = 8_640_000_000_000_000;

/** Whether a message is an answer of the slots that can be shown and acted on. */
export function isSlotAnswer(message: unknown): message is SlotAnswer {
  const { key, afterPurchase, waiting, reached } = fieldsOf(message);
  return (
    isName(key) &&
    isCount(afterPurchase) &&
    (waiting === null || isPlace(waiting)) &&
    (reached === undefined || isReached(reached))
  );
}

function isPlace(value: unknown): value is SlotPlace {
  const { position, ahead_interactive, ahead_batch, running, limit, as_of_ms, budget } = fieldsOf(value);
  return (
    [position, ahead_interactive, ahead_batch, running, limit, as_of_ms].every(isCount) &&
    (as_of_ms as number) <= TIME_MS_MAX &&
    (budget === undefined || isScope(budget))
  );
}

function isReached(value: unknown): value is BudgetReached {
  const { scope, name, currency, limit, spent, price } = fieldsOf(value);
  return isScope(scope) && isTextOrNull(name) && isText(currency) && [limit, spent, price].every(isAmount);
}

const isScope = (value: unknown): value is BudgetReached['scope'] =>
  value === 'day' || value === 'tenant' || value === 'batch';

/** Whether an answer ends the waiting: the slot is granted, or a budget refuses it. */
export const isDecision = ({ waiting, reached }: SlotAnswer): boolean => waiting === null || reached !== undefined;

/**
 * Which of two answers to one request counts. They come by two ways, a signal and the reply to an Update, and may
 * overtake each other: a decision counts before a place, and of two places the later one.
 */
export function furtherAnswer(known: SlotAnswer | undefined, other: SlotAnswer): SlotAnswer {
  if (known === undefined) return other;
  if (isDecision(known)) return known;
  if (isDecision(other)) return other;
  return (other.waiting?.as_of_ms ?? 0) > (known.waiting?.as_of_ms ?? 0) ? other : known;
}
