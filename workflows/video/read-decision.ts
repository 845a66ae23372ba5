import type { SubmitDecision } from '../../src/contract/result.js';
import { fieldsOf, isPlainName } from '../shared/message-checks.js';

/** Characters of a task id; the provider's have 36. */
const TASK_ID_MAX = 200;

/** What is said of an argument that decides nothing. */
export const EXPECTED_DECISION = 'The decision names no task and does not say to buy again';

/** Reads the argument of `resolveSubmit`. One that says two things, or nothing, decides nothing. */
export function readDecision(message: unknown): SubmitDecision | undefined {
  const { task_id, buy_again } = fieldsOf(message);
  if (buy_again === true && task_id === undefined) return { buy_again };
  const namesTask = isPlainName(task_id) && task_id.length <= TASK_ID_MAX && (buy_again ?? false) === false;
  return namesTask ? { task_id } : undefined;
}
