import { createInterface } from 'node:readline/promises';
import type { Readable, Writable } from 'node:stream';

/** Where a question is shown, and where its answer is typed. */
export interface Terminal {
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stderr: Writable & { readonly isTTY?: boolean };
}

/** Whether a person can be asked. */
export const canAsk = ({ stdin, stderr }: Terminal): boolean => stdin.isTTY === true && stderr.isTTY === true;

/**
 * Asks a question that is answered with yes or no.
 * @param signal - Ends the question; it then rejects with an `AbortError`.
 * @returns whether the answer is `y` or `yes`; everything else, the end of the input too, is a no.
 */
export async function confirm(question: string, { stdin, stderr }: Terminal, signal?: AbortSignal): Promise<boolean> {
  const lines = createInterface({ input: stdin, output: stderr });
  try {
    const closed = new Promise<string>((done) => lines.once('close', () => done('')));
    const answer = lines.question(`${question} [y/N] `, signal === undefined ? {} : { signal });
    return /^y(es)?$/i.test((await Promise.race([answer, closed])).trim());
  } finally {
    lines.close();
  }
}
