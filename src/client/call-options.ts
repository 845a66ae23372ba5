import {
  A_FLAG,
  A_FUNCTION,
  A_SIGNAL,
  A_STRING,
  A_TEXT,
  AN_OBJECT,
  ANYTHING,
  checkOptions,
  type OptionRule,
  type OptionRules,
  required,
} from '../contract/options.js';
import { checkDelivery } from './batch-delivery.js';
import { checkWindow, WAIT_OPTIONS } from './batch-options.js';
import type { StartBatchOptions } from './batch-start.js';
import type { RunOptions } from './video-start.js';

// What a call must be given, by its kind. What a range or a pattern decides is checked where it is known (`ANYTHING`).

const DELIVERY: OptionRules = { deliver: ANYTHING, deliverReports: ANYTHING, receiver: ANYTHING };
const BATCH: OptionRules = { id: A_TEXT, window: ANYTHING, allowInvalid: A_FLAG, signal: A_SIGNAL, ...DELIVERY };
const START: OptionRules = { ...BATCH, retryOf: A_TEXT, pageItems: ANYTHING };
export const RETRY_OPTIONS: OptionRules = { ...BATCH, pageItems: ANYTHING, causes: ANYTHING };
export const ESTIMATE_OPTIONS: OptionRules = { account: required(AN_OBJECT), signal: A_SIGNAL };

export const FOLLOW_OPTIONS: OptionRules = { onProgress: required(A_FUNCTION), runId: A_TEXT, signal: A_SIGNAL };

const ID: OptionRules = { id: required(A_TEXT) };
const RUN: OptionRules = { runId: A_TEXT };
export const RESULT_OPTIONS: OptionRules = { ...RUN, ...WAIT_OPTIONS };
export const DESCRIBE_OPTIONS: OptionRules = { ...RUN, progress: A_FLAG };
const ARGUMENT: OptionRules = { reason: A_STRING, window: ANYTHING, task_id: A_TEXT, buy_again: A_FLAG };

/**
 * Checks a call that is for one run: its id, its options and what is requested of the run, each by its own rules, so
 * that none of them passes for another.
 * @throws VideoError `ConfigurationInvalid` by the option's name.
 */
export function checkRunCall(
  name: string,
  id: unknown,
  options: unknown,
  rules: OptionRules,
  argument: object = {},
): void {
  checkOptions(name, { id }, ID);
  checkOptions(name, options, rules);
  checkOptions(name, argument, ARGUMENT);
}

/**
 * The run that a call is for.
 * @param argument - What is requested of it.
 * @throws VideoError `ConfigurationInvalid` by the option's name.
 */
export function runIdOf(name: string, id: string, options: RunOptions, argument?: object): string | undefined {
  checkRunCall(name, id, options, RUN, argument);
  return options.runId;
}

/** Checks a call that reads a manifest. @throws VideoError `ConfigurationInvalid` or `InvalidRequest`, by names. */
export function checkBatchCall(
  name: 'start' | 'estimate',
  source: unknown,
  options: Pick<StartBatchOptions, 'window' | 'deliver'>,
): void {
  checkOptions(name, options, name === 'start' ? START : { ...BATCH, ...ESTIMATE_OPTIONS });
  checkWindow(options.window);
  checkDelivery(options);
  const rules =
    typeof source === 'object' && source !== null && 'lines' in source
      ? { lines: required(LINES), folder: A_TEXT }
      : { file: required(A_TEXT) };
  checkOptions("a batch's manifest", source, rules);
}

const LINES: OptionRule = {
  must: 'must be a list of lines, each an object',
  isValid: (value) => typeof value === 'object' && value !== null && Symbol.iterator in value,
};
