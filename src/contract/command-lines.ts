import type { Attention } from './result.js';

/** A text from elsewhere on one line, without what could steer a terminal. */
export const plainText = (text: string): string => text.replace(/\p{Cc}+/gu, ' ');

/** As one word of a POSIX shell. */
export const shellWord = (text: string): string =>
  /^[\w./:@%+=,-]+$/.test(text) ? text : `'${plainText(text).replaceAll("'", `'\\''`)}'`;

/** The commands that decide a run which waits for a person, ready to be copied. */
export function resolveCommands(id: string, candidates: Attention['candidates']): string[] {
  const run = `wan-video resolve ${shellWord(id)}`;
  return [
    ...candidates.map(({ task_id }) => `${run} --task ${shellWord(task_id)}`),
    ...(candidates.length === 0 ? [`${run} --task TASK_ID`] : []),
    `${run} --buy`,
  ];
}
