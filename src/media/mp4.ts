import { open } from 'node:fs/promises';
import { CustomSource, Input, MP4 } from 'mediabunny';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';

/** What was measured from a video file. */
export interface MeasuredMp4 {
  /** Length of the video track, in seconds; sound may last a little longer. */
  readonly durationSeconds: number;
  /** Frames per second, averaged. */
  readonly fps: number;
  readonly frames: number;
  /** Pixels as shown. */
  readonly width: number;
  readonly height: number;
  /** Codec of the video track, such as `avc`. */
  readonly codec: string;
  readonly hasAudio: boolean;
}

/**
 * Measures an MP4 file, reading a few hundred kilobytes of it whatever its size.
 * @throws {@link VideoError} `ResultRejected` when it is not a playable H.264 MP4.
 */
export async function measureMp4(file: string): Promise<MeasuredMp4> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    const input = new Input({
      formats: [MP4],
      source: new CustomSource({
        getSize: () => size,
        prefetchProfile: 'fileSystem',
        read: async (start, end) => {
          const bytes = new Uint8Array(end - start);
          return bytes.subarray(0, (await handle.read(bytes, 0, end - start, start)).bytesRead);
        },
      }),
    });
    try {
      const video = await input.getPrimaryVideoTrack();
      if (video === null) throw new Error('it has no video track');
      const stats = await video.computePacketStats();
      return {
        durationSeconds: await video.computeDuration(),
        fps: stats.averagePacketRate,
        frames: stats.packetCount,
        width: video.displayWidth,
        height: video.displayHeight,
        codec: video.codec ?? 'unknown',
        hasAudio: (await input.getPrimaryAudioTrack()) !== null,
      };
    } catch (cause) {
      throw new VideoError(
        FailureType.ResultRejected,
        `The result is not a playable MP4: ${(cause as Error).message}`,
        {
          cause,
        },
      );
    } finally {
      input.dispose();
    }
  } finally {
    await handle.close();
  }
}
