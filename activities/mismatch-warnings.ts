import type { VideoWarning } from '../src/contract/result.js';

/** Milliseconds are as fine as the container's own time scale makes sense for a caller. */
export const round = (value: number): number => Math.round(value * 1000) / 1000;

/** Half a frame per second: 29.97 is 30 to whoever asked for 30. */
const FPS_TOLERANCE = 0.5;
/** The provider's clips are some 7 ms longer than asked for; a quarter of a second is another length. */
const DURATION_TOLERANCE_SECONDS = 0.25;

interface Asked {
  readonly duration: number;
  readonly fps: number;
  readonly size: string;
  readonly audio: boolean;
}

interface Measured {
  readonly durationSeconds: number;
  readonly fps: number;
  readonly width: number;
  readonly height: number;
  readonly hasAudio: boolean;
}

/** What was asked for and is not in the file. */
export function mismatchWarnings(asked: Asked, measured: Measured): VideoWarning[] {
  const warnings: VideoWarning[] = [];
  const warn = (code: VideoWarning['code'], message: string) => void warnings.push({ code, message });
  const { durationSeconds, fps, width, height, hasAudio } = measured;
  if (Math.abs(fps - asked.fps) > FPS_TOLERANCE) {
    warn('fps_not_honoured', `The video has ${round(fps)} frames per second, asked for were ${asked.fps}.`);
  }
  if (Math.abs(durationSeconds - asked.duration) > DURATION_TOLERANCE_SECONDS) {
    warn('duration_not_honoured', `The video lasts ${round(durationSeconds)} s, asked for were ${asked.duration} s.`);
  }
  if (`${width}*${height}` !== asked.size) {
    warn('size_not_honoured', `The video is ${width}*${height} pixels, asked for was ${asked.size}.`);
  }
  if (hasAudio !== asked.audio) {
    warn('audio_not_honoured', hasAudio ? 'The video has sound, none was asked for.' : 'The video is silent.');
  }
  return warnings;
}
