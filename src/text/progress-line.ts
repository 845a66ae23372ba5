import type { VideoProgress } from '../contract/result.js';
import { cleanText } from '../contract/safe-text.js';
import { placeText } from '../contract/slots.js';
import { utcTime } from '../contract/utc.js';
import { barText, LiveLine, type ProgressStream } from './live-line.js';

/** Progress of one run, and why it is stuck if it is. */
export type ShownProgress = VideoProgress & { readonly problem?: string | null };

/** Shows progress: one live line on a terminal, else one line per change without control characters. */
export function progressLine(stream: ProgressStream, env: Readonly<Record<string, string | undefined>>) {
  const line = new LiveLine(stream, env);
  let last = '';
  let shownTask: string | null = null;
  let startedMs: number | undefined;
  return {
    /** @param nowMs - Milliseconds since the epoch. */
    show(progress: ShownProgress, nowMs: number): void {
      startedMs ??= nowMs;
      const { stage, problem, attempt, task_id } = progress;
      const again = attempt > 1 ? `, attempt ${attempt}` : '';
      const why = problem ?? progress.attention?.reason ?? waitingText(progress);
      // A message from outside must not control the terminal.
      const reason = cleanText(why === null ? '' : `: ${why}`);
      if (line.isLive) {
        // A line of its own, because the live line is cut at the edge of the terminal.
        if (task_id !== null && task_id !== shownTask) line.keep(cleanText(`task      ${task_id}`));
        shownTask = task_id;
        const stageFor = `${seconds(nowMs - startedMs)}  ${stage} for ${seconds(nowMs - progress.since_ms)}`;
        line.show(`${stageFor}${etaBar(progress, nowMs)}${again}${reason}`);
        return;
      }
      const rest = `${again}${task_id === null ? '' : cleanText(`, task ${task_id}`)}${reason}`;
      if (stage + rest !== last) line.keep(`${stage}${rest}${facts(progress)}`);
      last = stage + rest;
    },
    /** Removes the live line, so that other text can follow. */
    end(): void {
      line.end();
    },
  };
}

/** What the run waits for, and its place in the queue of the slots; null for a run that has ended. */
function waitingText({ waiting_for, slot }: ShownProgress): string | null {
  if (waiting_for === 'nothing') return null;
  return `waiting for ${waiting_for}${slot === null ? '' : `, ${placeText(slot)}`}`;
}

/** The forecast of a render as a bar that is full at its latest end; before anything was learned, by the documents. */
function etaBar({ stage, eta, rendering_since_ms: sinceMs }: ShownProgress, nowMs: number): string {
  if (stage !== 'rendering' || sinceMs === null || eta === null) return '';
  const bar = barText((nowMs - sinceMs) / Math.max(1, eta.latest_ms - sinceMs));
  const [from, to] = [eta.earliest_ms, eta.latest_ms].map((ms) => Math.max(0, Math.round((ms - nowMs) / 1000)));
  const left = nowMs > eta.latest_ms ? `${seconds(nowMs - eta.latest_ms)} late` : `${from} to ${to} s left`;
  return ` ${bar} ${left}${forecastBasis(eta)}`;
}

/** What is known when rendering begins, for a line that is written once. */
function facts({ stage, eta, queued_seconds: queued }: ShownProgress): string {
  if (stage !== 'rendering') return '';
  const expected = eta === null ? '' : `, expected ${utcTime(eta.earliest_ms)} to ${utcTime(eta.latest_ms)} UTC`;
  return [
    queued === null || queued < 1 ? '' : `, after ${Math.round(queued)} s in the provider's queue`,
    eta === null ? '' : `${expected}${forecastBasis(eta)}`,
  ].join('');
}

/** Says of a forecast that rests on no render of this kind that it is a guess. */
const forecastBasis = ({ samples }: NonNullable<VideoProgress['eta']>): string =>
  samples > 0 ? '' : " by the provider's documents";

const seconds = (ms: number): string => `${Math.max(0, Math.round(ms / 1000))} s`;
