import type { VideoProgress } from '../contract/result.js';

/** Shows progress on stderr: one live line on a terminal, else one line per change and no control characters. */
export function progressLine(stream: NodeJS.WriteStream, env: NodeJS.ProcessEnv) {
  const live = stream.isTTY === true && env['CI'] === undefined && env['TERM'] !== 'dumb';
  let last = '';
  return {
    show(progress: VideoProgress, nowMs: number): void {
      const task = progress.task_id === null ? '' : `, task ${progress.task_id}`;
      const text = `${progress.stage}${task}: waiting for ${progress.waiting_for}`;
      if (live) stream.write(`\r\x1b[2K${text} (${Math.round((nowMs - progress.since_ms) / 1000)} s)`);
      else if (text !== last) stream.write(`${text}\n`);
      last = text;
    },
    end(): void {
      if (live && last !== '') stream.write('\r\x1b[2K');
    },
  };
}
