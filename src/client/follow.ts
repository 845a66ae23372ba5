import { aborted } from '../async/aborted.js';
import { checkOptions } from '../contract/options.js';
import type { VideoProgress, VideoResult } from '../contract/result.js';
import { FOLLOW_OPTIONS } from './call-options.js';
import { nextLook } from './next-look.js';
import { nullUnlessUnreadable } from './query-progress.js';
import type { WanVideoClient } from './video-client.js';

/** The progress of a run, and why it is stuck if it is. */
export interface FollowedProgress extends VideoProgress {
  /** Such as "no worker picks it up …" or the failure of a step that is retried; null when the run makes progress. */
  readonly problem: string | null;
}

/**
 * Waits for a run's video and reports its progress. Temporal is read once a second, and a worker is queried only when
 * the history has grown, so that following a run costs a handful of queries, however long it renders.
 * @param options.runId - Default: the latest run of the id.
 * @param options.signal - Stops following, with the signal's reason; the run continues.
 * @throws VideoRunError as `WanVideoClient.result`.
 * @example
 * ```ts
 * const video = await followVideo(videos, 'video/0a1b2c3d', ({ stage, problem }) => console.log(problem ?? stage));
 * ```
 */
export async function followVideo(
  client: WanVideoClient,
  id: string,
  onProgress: (progress: FollowedProgress) => void,
  options: { readonly runId?: string | undefined; readonly signal?: AbortSignal | undefined } = {},
): Promise<VideoResult> {
  checkOptions('followVideo', { onProgress, ...options }, FOLLOW_OPTIONS);
  const { runId, signal } = options;
  let hasEnded = false;
  const result = client.result(id, { runId }).finally(() => {
    hasEnded = true;
  });
  // A failure of the run ends the pause below; it is thrown at the end.
  const settled = result.catch(() => undefined);
  const stopped = signal === undefined ? settled : Promise.race([settled, aborted(signal)]);
  const isOver = (): boolean => hasEnded || signal?.aborted === true;
  let progress: VideoProgress = {
    stage: 'preparing',
    waiting_for: 'a worker to pick it up',
    task_id: null,
    since_ms: Date.now(),
    cancel: null,
    attempt: 1,
    queued_seconds: null,
    rendering_since_ms: null,
    eta: null,
    slot: null,
    notes: [],
    attention: null,
  };
  let events = 0;
  while (!isOver()) {
    // Temporal may be restarting, which does not end the wait. What is unreadable here would be so at its end.
    const status = await client.describe(id, { runId, progress: false }).catch(() => undefined);
    if (status !== undefined && status.events !== events && status.problem === null && !hasEnded) {
      const answer = await client.progress(id, { runId: status.run_id }).catch(nullUnlessUnreadable);
      if (answer !== null) [progress, events] = [answer, status.events];
    }
    if (!isOver()) onProgress({ ...progress, problem: status?.problem ?? null });
    await nextLook(stopped);
  }
  if (signal?.aborted && !hasEnded) throw signal.reason;
  return result;
}
