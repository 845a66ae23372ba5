import type { Client } from '@temporalio/client';
import { findPollers } from '../../client/pollers.js';
import type { Config } from '../../config/config.js';
import { FailureType } from '../../contract/failure-type.js';
import { VideoError } from '../../contract/video-error.js';
import { findFfmpeg } from '../../media/ffmpeg.js';

/**
 * Whether anything makes what `conform` and `poster` request: a worker that polls their queue, and an ffmpeg of this
 * machine. Without them runs still have their videos, so only an ffmpeg that was named and cannot be used is a fault.
 * @param isNamed - Whether `WAN_VIDEO_FFMPEG` names it.
 */
export async function checkFfmpeg(
  client: Client,
  { ffmpeg, taskQueues: { conform } }: Pick<Config, 'ffmpeg' | 'taskQueues'>,
  nowMs: number,
  isNamed: boolean,
): Promise<string> {
  const [found, { live }] = await Promise.all([
    ffmpeg === undefined ? undefined : findFfmpeg(ffmpeg),
    findPollers(client, conform, nowMs, 'activities'),
  ]);
  if (typeof found === 'string' && isNamed) {
    throw new VideoError(FailureType.ConfigurationInvalid, `The ffmpeg of WAN_VIDEO_FFMPEG cannot be used: ${found}`, {
      nextStep: 'Name an ffmpeg 5 or newer with libx264 and aac, or set WAN_VIDEO_FFMPEG=off on this machine.',
    });
  }
  const here =
    found === undefined
      ? 'ffmpeg is off on this machine'
      : typeof found === 'string'
        ? `on this machine none can be used: ${found}`
        : `ffmpeg ${found.version} of this machine can be used`;
  const served = live
    ? `${conform} is polled`
    : `no worker polls ${conform}, so conform and poster leave videos as the provider makes them`;
  return `${served}; ${here}`;
}
