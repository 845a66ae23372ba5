import { setTimeout as sleep } from 'node:timers/promises';
import type { VideoProgress, VideoResult } from '../contract/result.js';
import type { WanVideoClient } from './video-client.js';

/** Progress, and what a person should know when the run is stuck. */
export interface FollowedProgress extends VideoProgress {
  /**
   * Such as "no worker takes it up …" or the failure of a step that is tried again; null when the run makes progress.
   */
  readonly trouble: string | null;
}

/** Once a second is as often as a person reads, and no Action on Temporal Cloud: only a query is one. */
const LOOK_EVERY_MS = 1_000;

/**
 * Waits for a run's video and reports its progress. Temporal is looked at once a second, and a worker is asked only
 * when the history has grown since, so that following a run costs a handful of queries, however long it renders.
 * @param options.runId - Default: the latest run of the id.
 * @param options.signal - Ends the following with its reason; the run goes on.
 * @throws VideoRunError as `WanVideoClient.result`.
 * @example
 * ```ts
 * const video = await followVideo(videos, 'video/4f2a', ({ stage }) => console.log(stage));
 * ```
 */
export async function followVideo(
  client: WanVideoClient,
  id: string,
  onProgress: (progress: FollowedProgress) => void,
  options: { readonly runId?: string | undefined; readonly signal?: AbortSignal | undefined } = {},
): Promise<VideoResult> {
  const { runId, signal } = options;
  let ended = false;
  const result = client.result(id, { runId }).finally(() => {
    ended = true;
  });
  const settled = result.then(
    () => undefined,
    () => undefined,
  );
  const aborted = new Promise<void>((resolve) => signal?.addEventListener('abort', () => resolve(), { once: true }));
  let progress: VideoProgress = {
    stage: 'preparing',
    waiting_for: 'a worker to take it up',
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
  while (!ended && !signal?.aborted) {
    // Neither call may end the wait: Temporal may be restarted, and the result still comes.
    const status = await client.describe(id, { runId, progress: false }).catch(() => undefined);
    if (status !== undefined && status.events !== events && status.trouble === null && !ended) {
      const answer = await client.progress(id, { runId: status.run_id }).catch(() => undefined);
      if (answer !== undefined) [progress, events] = [answer, status.events];
    }
    if (!ended && !signal?.aborted) onProgress({ ...progress, trouble: status?.trouble ?? null });
    const pause = new AbortController();
    await Promise.race([settled, aborted, sleep(LOOK_EVERY_MS, undefined, pause).catch(() => undefined)]);
    pause.abort();
  }
  if (signal?.aborted && !ended) throw signal.reason;
  return result;
}
