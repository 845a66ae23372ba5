import { setTimeout as sleep } from 'node:timers/promises';
import { VideoRunError } from '../client/run-error.js';
import { WanVideoClient } from '../client/video-client.js';
import type { SubmitDecision, VideoProgress } from '../contract/result.js';
import { invalidRequest } from '../contract/validate.js';
import { ExitCode } from '../text/exit-code.js';
import type { CommandContext } from './context.js';

/** Flags of `wan-video resolve`; exactly one of the two decides. */
export interface ResolveFlags {
  readonly task?: string;
  readonly buy?: boolean;
}

/** A decision takes one query and a few records; beyond this a step is failing and is tried again. */
const WAIT_MS = 30_000;
/** Between two looks at the run's history, which cost no Action. */
const LOOK_EVERY_MS = 300;

/** Sends a decision and waits until it shows what became of it. */
export async function runResolve(id: string, { task, buy }: ResolveFlags, context: CommandContext): Promise<number> {
  if ((task === undefined) === (buy === undefined)) {
    throw invalidRequest([{ path: '--task', message: 'or --buy is needed, and only one of the two' }]);
  }
  if (task !== undefined && task.trim() === '') {
    throw invalidRequest([{ path: '--task', message: 'is empty: give the id of a task' }]);
  }
  const decision: SubmitDecision = task === undefined ? { buy_again: true } : { task_id: task };
  return context.temporal(async ({ client }) => {
    const videos = new WanVideoClient({ client });
    const { run_id: runId, status, progress, trouble } = await videos.describe(id);
    const notTaken = (message: string, next_step: string) =>
      new VideoRunError(id, { type: 'NotResolved', message, next_step });
    const look = `See "wan-video status ${id}".`;
    if (progress === null) {
      const why = trouble ?? 'no worker answers for it';
      throw notTaken(`The run ${id} cannot take a decision now: ${why}`, 'Start one with "wan-video worker".');
    }
    // A decision that comes early would be kept, and taken for the answer to a question that nobody has asked yet.
    if (status !== 'running' || progress.stage !== 'needs_attention') {
      throw notTaken(`The run ${id} waits for no decision: it is ${status}, stage ${progress.stage}`, look);
    }
    await videos.resolve(id, decision, { runId });
    const after = await answered(videos, id, runId, progress);
    if (after === undefined) {
      throw notTaken(`The decision was sent to ${id}, and nothing shows yet that it was taken`, look);
    }
    const refused = after.attention?.refused;
    if (refused != null) {
      throw notTaken(`The decision was refused: ${refused}`, `Decide again; ${look.replace('See', 'see')}`);
    }
    if (task !== undefined && after.task_id !== null && after.task_id !== task) {
      throw notTaken(`The run ${id} had been decided otherwise before: it goes on with task ${after.task_id}`, look);
    }
    const { stage, task_id } = after;
    const goesOn = ['done', 'failed', 'cancelled', 'budget_reached'].includes(stage)
      ? `has ended: ${stage}`
      : `goes on: ${stage}`;
    const what = task === undefined ? 'another task is bought where one is wanted' : `task ${task} is its own`;
    context.result(
      { id, run_id: runId, decision, stage, task_id },
      `The decision was taken: ${what}. The run ${goesOn}.`,
    );
    return ExitCode.done;
  });
}

/** Progress once it is no longer that of `before`; undefined when that takes too long. */
async function answered(
  videos: WanVideoClient,
  id: string,
  runId: string,
  before: VideoProgress,
): Promise<VideoProgress | undefined> {
  let events = 0;
  for (const untilMs = Date.now() + WAIT_MS; Date.now() < untilMs; await sleep(LOOK_EVERY_MS)) {
    const status = await videos.describe(id, { runId, progress: false });
    if (status.events === events) continue;
    events = status.events;
    const progress = await videos.progress(id, { runId }).catch(() => undefined);
    if (progress === undefined) events = 0;
    // A refusal begins the stage anew.
    else if (progress.stage !== before.stage || progress.since_ms !== before.since_ms) return progress;
  }
  return undefined;
}
