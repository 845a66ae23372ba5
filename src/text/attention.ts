import { resolveCommands } from '../contract/command-lines.js';
import type { Attention } from '../contract/result.js';
import { cleanText } from '../contract/safe-text.js';

/** What a person can do for a run that waits for a decision: the evidence, and the commands to copy. */
export function attentionText(id: string, { reason, next_step, candidates, refused }: Attention): string {
  return [
    `The run waits for your decision: ${cleanText(reason)}`,
    ...candidates.map(
      ({ task_id, evidence, archived }) =>
        `  task ${task_id}: ${cleanText(evidence)}; ${archived === null ? 'no video' : `its video: ${archived}`}`,
    ),
    ...(refused === null ? [] : [`The last decision was refused: ${cleanText(refused)}`]),
    cleanText(next_step),
    'Decide with one of these commands; the run then continues by itself:',
    ...resolveCommands(id, candidates).map((line) => `  ${line}`),
  ].join('\n');
}
