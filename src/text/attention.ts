import { plainText, resolveCommands } from '../contract/command-lines.js';
import type { Attention } from '../contract/result.js';

/** What a person can do for a run that waits for a decision: the evidence, and the commands to copy. */
export function attentionText(id: string, { reason, candidates, refused }: Attention): string {
  return [
    `The run waits for your decision: ${plainText(reason)}`,
    ...candidates.map(
      ({ task_id, evidence, archived }) =>
        `  task ${task_id}: ${plainText(evidence)}; ${archived === null ? 'no video' : `its video: ${archived}`}`,
    ),
    ...(refused === null ? [] : [`The last decision was refused: ${plainText(refused)}`]),
    'Decide with one of these commands; the run then continues by itself:',
    ...resolveCommands(id, candidates).map((line) => `  ${line}`),
  ].join('\n');
}
