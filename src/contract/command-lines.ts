import type { Attention } from './result.js';
import { cleanText } from './safe-text.js';

/** Quotes a text as one word of a POSIX shell. */
export const shellWord = (text: string): string =>
  /^[\w./:@%+=,-]+$/.test(text) ? text : `'${cleanText(text).replaceAll("'", `'\\''`)}'`;

/** The commands that decide a run that waits for a person, ready to be copied. */
export function resolveCommands(id: string, candidates: Attention['candidates']): string[] {
  const run = `wan-video resolve ${shellWord(id)}`;
  return [
    ...candidates.map(({ task_id }) => `${run} --task ${shellWord(task_id)}`),
    ...(candidates.length === 0 ? [`${run} --task TASK_ID`] : []),
    `${run} --buy`,
  ];
}
