import { hasVideo, otherKind } from '../client/run-kind.js';
import type { VideoStatus } from '../client/video-run.js';
import type { VideoProgress } from '../contract/result.js';
import { placeText } from '../contract/slots.js';
import { utcTime } from '../contract/utc.js';
import { attentionText } from './attention.js';
import { durationText } from './duration.js';
import { failureText, NO_VIDEO, resultText } from './result.js';

/** A run as Temporal knows it, for people. */
export function statusText(run: VideoStatus, nowMs: number): string {
  const { id, workflow_type, status, started_at, closed_at, progress, problem, result, error, task_id } = run;
  const other = otherKind(id, workflow_type);
  const lines = [
    `run       ${id}`,
    ...(other === undefined ? [] : [`kind      ${other.what}`]),
    `status    ${status}`,
    `started   ${started_at}`,
    ...(closed_at === null ? [] : [`ended     ${closed_at}`]),
  ];
  if (result !== null) return [...lines, resultText(result)].join('\n');
  if (error !== null) return [...lines, failureText(error)].join('\n');
  if (task_id !== null) lines.push(`task      ${task_id}`);
  if (progress !== null && status === 'running') lines.push(...progressLines(progress, nowMs));
  if (problem !== null) lines.push(`problem   ${problem}`);
  if (progress?.attention != null) lines.push(attentionText(id, progress.attention));
  if (hasVideo(workflow_type) && status === 'completed') lines.push(NO_VIDEO);
  else if (hasVideo(workflow_type) && status === 'running' && progress === null && problem === null) {
    lines.push('problem   no worker answers; start one with "wan-video worker"');
  }
  if (other !== undefined && !hasVideo(workflow_type)) lines.push(`next      ${other.instead}`);
  return lines.join('\n');
}

function progressLines(progress: VideoProgress, nowMs: number): string[] {
  const { stage, since_ms, attempt, waiting_for, slot, eta, notes } = progress;
  const again = attempt > 1 ? `, attempt ${attempt}` : '';
  return [
    `stage     ${stage} for ${durationText(Math.max(0, nowMs - since_ms) / 1000)}${again}`,
    ...(waiting_for === 'nothing' ? [] : [`waits     for ${waiting_for}`]),
    ...(slot === null ? [] : [`place     ${placeText(slot)}`]),
    // A range that is based on no render of this kind is a guess.
    ...(stage === 'rendering' && eta !== null && eta.samples > 0
      ? [`expected  ${utcTime(eta.earliest_ms)} to ${utcTime(eta.latest_ms)} UTC`]
      : []),
    ...notes.map((note) => `note      ${note}`),
  ];
}
