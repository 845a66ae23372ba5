import { errorObject } from '../../text/result.js';

/** One line of the doctor's report; published as an element of `checks` with `--json`. */
export interface Check {
  readonly name: string;
  /** `skipped`: it depends on a check that failed. */
  readonly status: 'ok' | 'fault' | 'skipped';
  /** What was found, or what the problem is. */
  readonly message: string;
  /** How to fix it. */
  readonly next_step?: string;
}

/** Thrown by a check that depends on another one which failed. */
export class Skipped extends Error {}

/**
 * Makes one check.
 * @param probe - Resolves to what it found, and throws the problem.
 * @param secrets - Blanked in every message.
 */
export async function check(name: string, probe: () => Promise<string>, secrets: readonly string[]): Promise<Check> {
  try {
    return { name, status: 'ok', message: await probe() };
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
  const verdict = faults === 0 ? 'All checks passed.' : `${faults} ${faults === 1 ? 'problem' : 'problems'}.`;
  return [...lines, verdict].join('\n');
}
