import { plainText, resolveCommands } from '../contract/command-lines.js';
import type { Attention } from '../contract/result.js';

/** What a person can do for a run that waits for one: the evidence, and the commands that decide, ready to be copied. */
export function attentionText(id: string, { reason, candidates, refused }: Attention): string {
  return [
    `The run waits for a person: ${plainText(reason)}`,
    ...candidates.map(
      ({ task_id, evidence, archived }) =>
        `  task ${task_id}: ${plainText(evidence)}; ${archived === null ? 'no video' : `its video: ${archived}`}`,
    ),
    ...(refused === null ? [] : [`The last decision was refused: ${plainText(refused)}`]),
    'Decide with one of these; the run goes on by itself then:',
    ...resolveCommands(id, candidates).map((line) => `  ${line}`),
  ].join('\n');
}
