import { cleanText } from '../../src/contract/safe-text.js';
import { isObject } from './message-checks.js';

/** Characters of a reason: it goes into details, reports, webhooks and terminals. */
const REASON_MAX = 500;

/** The argument of `cancel`, `pause` and `resume`. */
export interface Reason {
  /** In the sender's words; null when none was given. */
  readonly reason: string | null;
}

/** What the argument of such a message is. */
export const EXPECTED_REASON = 'The argument is an object with "reason" as a text, or nothing';

/** Reads the argument of a message that may carry a reason, or none. */
export function readReason(message: unknown): Reason | undefined {
  if (message === undefined || message === null) return { reason: null };
  if (!isObject(message)) return undefined;
  const { reason } = message;
  if (reason === undefined || reason === null) return { reason: null };
  return typeof reason === 'string' ? { reason: cleanText(reason, REASON_MAX) } : undefined;
}
