import { errorObject } from '../../text/result.js';

/** One line of the doctor's report; published as an element of `checks` with `--json`. */
export interface Check {
  readonly name: string;
  /** `skipped`: it rests on something that is not well. */
  readonly status: 'ok' | 'fault' | 'skipped';
  /** What was found, or what is wrong. */
  readonly message: string;
  /** How to mend it. */
  readonly next_step?: string;
}

/** Thrown by a check that cannot be made because another one has failed. */
export class Skipped extends Error {}

/**
 * Makes one check.
 * @param look - Resolves to what was found when all is well, and throws what is wrong.
 * @param secrets - Blanked in whatever is said.
 */
export async function check(name: string, look: () => Promise<string>, secrets: readonly string[]): Promise<Check> {
  try {
    return { name, status: 'ok', message: await look() };
  } catch (error) {
    if (error instanceof Skipped) return { name, status: 'skipped', message: error.message };
    const { message, next_step } = errorObject(error, secrets);
    return { name, status: 'fault', message, ...(next_step !== undefined && { next_step }) };
  }
}

/** The report for people. */
export function reportText(checks: readonly Check[]): string {
  const width = Math.max(...checks.map(({ name }) => name.length));
  const mark = { ok: 'ok     ', fault: 'FAULT  ', skipped: 'skipped' } as const;
  const indent = ' '.repeat(width + 11);
  const lines = checks.flatMap(({ name, status, message, next_step }) => [
    `${mark[status]}  ${name.padEnd(width)}  ${message}`,
    ...(next_step === undefined ? [] : next_step.split('\n').map((line) => `${indent}${line}`)),
  ]);
  const faults = checks.filter(({ status }) => status === 'fault').length;
  return [...lines, faults === 0 ? 'All is well.' : `${faults} to mend.`].join('\n');
}
