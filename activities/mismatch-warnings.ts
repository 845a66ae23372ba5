import type { VideoWarning } from '../src/contract/result.js';

/**
 * Rounds to milliseconds, or thousandths of a frame: as fine as the time scale of the container is useful to a caller.
 */
export const round = (value: number): number => Math.round(value * 1000) / 1000;

/** Frames per second: 29.97 counts as 30. */
const FPS_TOLERANCE = 0.5;
/** The provider's clips are some 7 ms longer than requested; a quarter of a second is another length. */
const DURATION_TOLERANCE_SECONDS = 0.25;

interface Requested {
  readonly duration: number;
  readonly fps: number;
  readonly size: string;
  readonly audio: boolean;
}

/** What a file shows of what was requested. */
export interface MeasuredFigures {
  readonly durationSeconds: number;
  readonly fps: number;
  readonly width: number;
  readonly height: number;
  readonly hasAudio: boolean;
}

/** Every difference between the file and the request. */
export function mismatchWarnings(requested: Requested, measured: MeasuredFigures): VideoWarning[] {
  const { durationSeconds, fps, width, height, hasAudio } = measured;
  const warnings: VideoWarning[] = [];
  const warn = (code: VideoWarning['code'], message: string) => void warnings.push({ code, message });
  if (Math.abs(fps - requested.fps) > FPS_TOLERANCE) {
    warn('fps_not_honoured', `The video has ${round(fps)} frames per second, requested ${requested.fps}.`);
  }
  if (Math.abs(durationSeconds - requested.duration) > DURATION_TOLERANCE_SECONDS) {
    warn('duration_not_honoured', `The video lasts ${round(durationSeconds)} s, requested ${requested.duration} s.`);
  }
  if (`${width}*${height}` !== requested.size) {
    warn('size_not_honoured', `The video is ${width}*${height} pixels, requested ${requested.size}.`);
  }
  if (hasAudio !== requested.audio) {
    warn('audio_not_honoured', hasAudio ? 'The video has sound, none was requested.' : 'The video is silent.');
  }
  return warnings;
}
