import type { Attention } from './result.js';

/** Puts a foreign text on one line, without control characters that a terminal would interpret. */
export const plainText = (text: string): string => text.replace(/\p{Cc}+/gu, ' ');

/** Shortens a text to `max` characters; one that was cut ends with `…`. */
export const truncate = (text: string, max: number): string =>
  text.length <= max ? text : `${text.slice(0, max - 1)}…`;

/** Quotes a text as one word of a POSIX shell. */
export const shellWord = (text: string): string =>
  /^[\w./:@%+=,-]+$/.test(text) ? text : `'${plainText(text).replaceAll("'", `'\\''`)}'`;

/** The commands that decide a run that waits for a person, ready to be copied. */
export function resolveCommands(id: string, candidates: Attention['candidates']): string[] {
  const run = `wan-video resolve ${shellWord(id)}`;
  return [
    ...candidates.map(({ task_id }) => `${run} --task ${shellWord(task_id)}`),
    ...(candidates.length === 0 ? [`${run} --task TASK_ID`] : []),
    `${run} --buy`,
  ];
}
