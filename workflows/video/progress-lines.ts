import * as wf from '@temporalio/workflow';
import { resolveCommands } from '../../src/contract/command-lines.js';
import type { VideoFailure } from '../../src/contract/failure.js';
import { markdownCode, markdownLink, markdownText } from '../../src/contract/markdown.js';
import { batchWorkflowId, RESOLVE_SIGNAL } from '../../src/contract/names.js';
import type { Attention, SubmitDecision, VideoProgress } from '../../src/contract/result.js';
import { placeText } from '../../src/contract/slots.js';
import { utcTime } from '../../src/contract/utc.js';
import type { WebLinks } from '../../src/contract/web-links.js';
import { batchOf } from '../shared/run-context.js';
import { runLink } from '../shared/web-ui.js';

/** The current details of a run as Markdown lines, which the Web UI shows. */
export function progressLines(progress: VideoProgress, links: WebLinks): string[] {
  const { stage, waiting_for, task_id, attempt, eta, slot, attention, cancel } = progress;
  const batch = batchOf();
  const lines = [`**${stage}**`];
  if (waiting_for !== 'nothing') lines.push(`waiting for ${markdownText(waiting_for)}`);
  if (attempt > 1) lines.push(`attempt ${attempt}`);
  if (batch !== null) lines.push(`item of ${runLink(batchWorkflowId(batch))}`);
  if (links.reference !== undefined) lines.push(`reference: ${markdownLink(links.reference, links.reference)}`);
  if (task_id !== null) lines.push(`task ${markdownCode(task_id)}`);
  if (stage === 'rendering' && eta !== null)
    lines.push(`expected ${utcTime(eta.earliest_ms)} to ${utcTime(eta.latest_ms)} UTC`);
  if (slot !== null) lines.push(markdownText(placeText(slot)));
  if (attention !== null) lines.push(...attentionLines(attention, links));
  if (cancel !== null) lines.push(markdownText(cancel.outcome));
  if (cancel?.reason != null) lines.push(`reason: ${markdownText(cancel.reason)}`);
  return lines;
}

export function failureLines({ type, message, billed, next_step }: VideoFailure): string[] {
  return [
    `${type}: ${markdownText(message)}`,
    ...(billed === undefined ? [] : [billed ? 'It is billed.' : 'Nothing is billed.']),
    ...(next_step === undefined ? [] : [`next: ${markdownText(next_step)}`]),
  ];
}

/** The evidence, and each decision as an Update that the Web UI can send, then as a command. */
function attentionLines({ reason, next_step, candidates, refused }: Attention, links: WebLinks): string[] {
  const decisions: SubmitDecision[] = [...candidates.map(({ task_id }) => ({ task_id })), { buy_again: true }];
  const commands = resolveCommands(wf.workflowInfo().workflowId, candidates);
  return [
    markdownText(reason),
    ...candidates.map(
      ({ task_id, evidence, archived }) =>
        `candidate ${markdownCode(task_id)}: ${markdownText(evidence)}; ${keptVideo(archived, links)}`,
    ),
    ...(refused === null ? [] : [`The last decision was refused: ${markdownText(refused)}`]),
    markdownText(next_step),
    ...decisions.map((input) => `decide: Update \`${RESOLVE_SIGNAL}\` with ${markdownCode(JSON.stringify(input))}`),
    ...commands.map((command) => `or: ${markdownCode(command)}`),
    ...(links.runbook === undefined
      ? []
      : [markdownLink('What to do when a run waits for a person', `${links.runbook}#a-run-waits-for-a-person`)]),
  ];
}

const keptVideo = (key: string | null, { assets }: WebLinks): string => {
  if (key === null) return 'no video';
  return assets === undefined ? `video ${markdownCode(key)}` : `video ${markdownLink(key, `${assets}/${key}`)}`;
};
