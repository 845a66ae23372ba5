import type { Writable } from 'node:stream';
import type { VideoProgress } from '../contract/result.js';
import { cleanText } from '../contract/safe-text.js';
import { placeText } from '../contract/slots.js';
import { utcTime } from '../contract/utc.js';

/** Where progress goes; `columns` of a terminal. */
export type ProgressStream = Writable & { readonly isTTY?: boolean; readonly columns?: number };

/** Progress of one run, and why it is stuck if it is. */
export type ShownProgress = VideoProgress & { readonly problem?: string | null };

/** Width of a terminal that reports none, or 0. */
const COLUMNS = 80;
/** Cells of the bar: enough to see it move, and most of 80 columns remain for the text. */
const BAR = 20;
/** Moves to the start of the line and clears it. */
const CLEAR = '\r\x1b[2K';

/** Shows progress: one live line on a terminal, else one line per change without control characters. */
export function progressLine(stream: ProgressStream, env: Readonly<Record<string, string | undefined>>) {
  const live = stream.isTTY === true && env['CI'] === undefined && env['TERM'] !== 'dumb';
  let last = '';
  let startedMs: number | undefined;
  return {
    /** @param nowMs - Milliseconds since the epoch. */
    show(progress: ShownProgress, nowMs: number): void {
      startedMs ??= nowMs;
      const { stage, problem, attempt } = progress;
      const again = attempt > 1 ? `, attempt ${attempt}` : '';
      const task = progress.task_id === null ? '' : `, task ${progress.task_id}`;
      const why = problem ?? progress.attention?.reason ?? waitingText(progress);
      // A message from outside must not control the terminal.
      const rest = cleanText(`${again}${task}${why === null ? '' : `: ${why}`}`);
      if (live) {
        const stageFor = `${seconds(nowMs - startedMs)}  ${stage} for ${seconds(nowMs - progress.since_ms)}`;
        const text = `${stageFor}${etaBar(progress, nowMs)}${rest}`;
        // One column stays free: a full line would wrap, and the next clear would miss its first half.
        stream.write(`${CLEAR}${text.slice(0, (stream.columns || COLUMNS) - 1)}`);
      } else if (stage + rest !== last) stream.write(`${stage}${rest}${facts(progress)}\n`);
      last = stage + rest;
    },
    /** Removes the live line, so that other text can follow. */
    end(): void {
      if (!live || last === '') return;
      stream.write(CLEAR);
      last = '';
    },
  };
}

/** What the run waits for, and its place in the queue of the slots; null for a run that has ended. */
function waitingText({ waiting_for, slot }: ShownProgress): string | null {
  if (waiting_for === 'nothing') return null;
  return `waiting for ${waiting_for}${slot === null ? '' : `, ${placeText(slot)}`}`;
}

/** The learned forecast of a render as a bar that is full at its latest end; empty where nothing was learned. */
function etaBar({ stage, eta, rendering_since_ms: sinceMs }: ShownProgress, nowMs: number): string {
  if (stage !== 'rendering' || sinceMs === null || eta === null || eta.samples === 0) return '';
  const part = Math.min(1, Math.max(0, (nowMs - sinceMs) / Math.max(1, eta.latest_ms - sinceMs)));
  const bar = '#'.repeat(Math.floor(part * BAR)).padEnd(BAR, '-');
  const [from, to] = [eta.earliest_ms, eta.latest_ms].map((ms) => Math.max(0, Math.round((ms - nowMs) / 1000)));
  const left = nowMs > eta.latest_ms ? `${seconds(nowMs - eta.latest_ms)} late` : `${from} to ${to} s left`;
  return ` [${bar}] ${left}`;
}

/** What is known when rendering begins, for a line that is written once. */
function facts({ stage, eta, queued_seconds: queued }: ShownProgress): string {
  if (stage !== 'rendering') return '';
  return [
    queued === null || queued < 1 ? '' : `, after ${Math.round(queued)} s in the provider's queue`,
    eta === null || eta.samples === 0 ? '' : `, expected ${utcTime(eta.earliest_ms)} to ${utcTime(eta.latest_ms)} UTC`,
  ].join('');
}

const seconds = (ms: number): string => `${Math.max(0, Math.round(ms / 1000))} s`;
