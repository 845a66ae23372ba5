import type { Writable } from 'node:stream';
import type { VideoProgress } from '../contract/result.js';

/** Where progress goes; `columns` of a terminal. */
export type ProgressStream = Writable & { readonly isTTY?: boolean; readonly columns?: number };

/** Progress of one run, and why it does not get on when it does not. */
export type ShownProgress = VideoProgress & { readonly trouble?: string | null };

/** Where a terminal does not say how wide it is, or says 0. */
const COLUMNS = 80;
/** Back to the start of the line, and empty it. */
const CLEAR = '\r\x1b[2K';

/** Shows progress: one live line on a terminal, else one line per change and no control characters. */
export function progressLine(stream: ProgressStream, env: Readonly<Record<string, string | undefined>>) {
  const live = stream.isTTY === true && env['CI'] === undefined && env['TERM'] !== 'dumb';
  let last = '';
  let startedMs: number | undefined;
  return {
    /** @param nowMs - Milliseconds since the epoch. */
    show(progress: ShownProgress, nowMs: number): void {
      startedMs ??= nowMs;
      const { stage, waiting_for, trouble } = progress;
      const task = progress.task_id === null ? '' : `, task ${progress.task_id}`;
      const rest = plain(`${task}: ${trouble ?? progress.attention?.reason ?? `waiting for ${waiting_for}`}`);
      if (live) {
        const text = `${seconds(nowMs - startedMs)}  ${stage} for ${seconds(nowMs - progress.since_ms)}${rest}`;
        // One column stays free: a full line would wrap, and the next clearing would miss its first half.
        stream.write(`${CLEAR}${text.slice(0, (stream.columns || COLUMNS) - 1)}`);
      } else if (stage + rest !== last) stream.write(`${stage}${rest}\n`);
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

/** A message from elsewhere must not steer the terminal. */
const plain = (text: string): string => text.replace(/\p{Cc}+/gu, ' ');

const seconds = (ms: number): string => `${Math.max(0, Math.round(ms / 1000))} s`;
