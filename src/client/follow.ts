import { setTimeout as sleep } from 'node:timers/promises';
import type { VideoProgress, VideoResult } from '../contract/result.js';
import type { WanVideoClient } from './video-client.js';

/** Waits for a run's video and tells its progress about twice a second, as far as a worker answers. */
export async function followVideo(
  client: WanVideoClient,
  id: string,
  onProgress: (progress: VideoProgress) => void,
): Promise<VideoResult> {
  let done = false;
  const result = client.result(id).finally(() => {
    done = true;
  });
  result.catch(() => undefined);
  while (!done) {
    await client.progress(id).then(onProgress, () => undefined); // no worker answers: the result still will
    await Promise.race([sleep(500), result.catch(() => undefined)]);
  }
  return result;
}
