import type { Attention } from '../contract/result.js';

/** What a person can do for a run that waits for one: the evidence, and the commands that decide, ready to be copied. */
export function attentionText(id: string, { reason, candidates, refused }: Attention): string {
  const run = `wan-video resolve ${shellWord(id)}`;
  return [
    `The run waits for a person: ${plain(reason)}`,
    ...candidates.map(
      ({ task_id, evidence, archived }) =>
        `  task ${task_id}: ${plain(evidence)}; ${archived === null ? 'no video' : `its video: ${archived}`}`,
    ),
    ...(refused === null ? [] : [`The last decision was refused: ${plain(refused)}`]),
    'Decide with one of these; the run goes on by itself then:',
    ...candidates.map(({ task_id }) => `  ${run} --task ${shellWord(task_id)}`),
    ...(candidates.length === 0 ? [`  ${run} --task TASK_ID`] : []),
    `  ${run} --buy`,
  ].join('\n');
}

/** A message from elsewhere must not steer the terminal. */
const plain = (text: string): string => text.replace(/\p{Cc}+/gu, ' ');

/** As one word of a POSIX shell. */
const shellWord = (text: string): string =>
  /^[\w./:@%+=,-]+$/.test(text) ? text : `'${plain(text).replaceAll("'", `'\\''`)}'`;
