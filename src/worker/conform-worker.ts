import { availableParallelism } from 'node:os';
import { Runtime, Worker, type WorkerOptions } from '@temporalio/worker';
import type { VideoActivities } from '../../activities/index.js';
import type { Config } from '../config/config.js';
import { findFfmpeg } from '../media/ffmpeg.js';
import { redactText } from '../net/redact.js';

/** The ffmpeg of this machine; undefined without a usable one: its queue is left to other workers. */
export async function usableFfmpeg({ ffmpeg }: Config): Promise<string | undefined> {
  if (ffmpeg === undefined) return undefined;
  const found = await findFfmpeg(ffmpeg);
  const { logger } = Runtime.instance();
  if (typeof found === 'string') {
    logger.info(`This worker conforms no videos and makes no posters: ${redactText(found)}`);
    return undefined;
  }
  logger.debug(`ffmpeg ${found.version} conforms videos`);
  return found.program;
}

/** Each ffmpeg uses two threads, at the lowest priority: half of the machine's cores at a time. */
const CONFORMS_MAX = Math.max(1, Math.floor(availableParallelism() / 2));

/** The worker of the queue that needs ffmpeg; none without it. */
export async function conformWorkers(
  ffmpeg: string | undefined,
  { taskQueues, times }: Config,
  {
    activities,
    ...common
  }: Omit<WorkerOptions, 'taskQueue' | 'activities'> & {
    readonly activities: Pick<VideoActivities, 'conformVideo'>;
  },
): Promise<Worker[]> {
  if (ffmpeg === undefined) return [];
  const worker = await Worker.create({
    ...common,
    taskQueue: taskQueues.conform,
    activities: { conformVideo: activities.conformVideo },
    maxConcurrentActivityTaskExecutions: CONFORMS_MAX,
    // ffmpeg is killed at once, and another worker begins again.
    shutdownGraceTime: times.mainGraceMs,
    shutdownForceTime: times.mainForceMs,
  });
  return [worker];
}
