import { type Client, ScheduleNotFoundError } from '@temporalio/client';
import { isTemporalError, temporalError } from '../../client/connect.js';
import { findPollers } from '../../client/pollers.js';
import { administratorLines, missingSearchAttributes } from '../../client/setup.js';
import { sweepScheduleId } from '../../client/sweep-schedule.js';
import { addressOf, type TemporalTarget } from '../../client/temporal-target.js';
import { FailureType } from '../../contract/failure-type.js';
import { VideoError } from '../../contract/video-error.js';

const SETUP = 'Run "wan-video setup".';
/** Starts a sweep at once. */
export const sweepCommand = (taskQueue: string): string =>
  `temporal schedule trigger --schedule-id ${sweepScheduleId(taskQueue)}`;
/** It is started every hour; a missed start is caught up within the next hour. */
const SWEEP_LATE_MS = 2 * 3_600_000;
const notSetUp = (message: string, nextStep: string): VideoError =>
  new VideoError(FailureType.ConfigurationInvalid, message, { nextStep });

/** Whether Temporal answers and has the namespace. */
export async function checkNamespace(client: Client, target: TemporalTarget): Promise<string> {
  const { namespace } = client.options;
  try {
    await client.workflowService.describeNamespace({ namespace });
    const { serverVersion } = await client.workflowService.getSystemInfo({});
    return `${addressOf(target)}, namespace ${namespace}, server ${serverVersion || 'of unknown version'}`;
  } catch (error) {
    throw isTemporalError(error) ? temporalError(error, target) : error;
  }
}

/** Whether lists can be filtered. */
export async function checkSearchAttributes(client: Client): Promise<string> {
  const missing = await missingSearchAttributes(client);
  if (missing.length === 0) return 'all are registered';
  throw notSetUp(`Not registered: ${missing.join(', ')}`, `${SETUP} ${administratorLines(client.options.namespace)}`);
}

/** Whether workers run: for runs and their steps, and for submits. */
export async function checkWorkers(
  client: Client,
  { generate, submit }: { readonly generate: string; readonly submit: string },
  nowMs: number,
): Promise<string> {
  const polled = await Promise.all([
    findPollers(client, generate, nowMs, 'workflows'),
    findPollers(client, generate, nowMs, 'activities'),
    findPollers(client, submit, nowMs, 'activities'),
  ]);
  const idle = [generate, generate, submit].filter((_, index) => polled[index]?.live !== true);
  if (idle.length === 0) return `${generate} and ${submit} are polled`;
  throw notSetUp(
    `No worker polls ${[...new Set(idle)].join(' and ')} of the namespace ${client.options.namespace}`,
    'Start one with "wan-video worker", with the same WAN_VIDEO_TASK_QUEUE and TEMPORAL_NAMESPACE as here.',
  );
}

/** Whether the sweep looks for paid videos of lost runs. */
export async function checkSweep(client: Client, taskQueue: string, nowMs: number): Promise<string> {
  const id = sweepScheduleId(taskQueue);
  try {
    const { state, action, info } = await client.schedule.getHandle(id).describe();
    if (state.paused) {
      throw notSetUp(
        `The schedule ${id} is paused: nothing looks for paid videos of lost runs`,
        `Unpause it in the Web UI or with "temporal schedule toggle --unpause --schedule-id ${id}".`,
      );
    }
    const queue = action.type === 'startWorkflow' ? action.taskQueue : undefined;
    if (queue !== taskQueue) {
      throw notSetUp(`The schedule ${id} starts it on the queue ${queue}, not on ${taskQueue}`, SETUP);
    }
    // A start that is skipped because the previous one still runs is no action, so a sweep that hangs shows here as
    // well.
    const lastMs = Math.max(info.createdAt.getTime(), ...info.recentActions.map(({ takenAt }) => takenAt.getTime()));
    if (nowMs - lastMs > SWEEP_LATE_MS) {
      throw notSetUp(
        `The schedule ${id} has started no sweep for ${Math.round((nowMs - lastMs) / 3_600_000)} h`,
        'Check that a worker runs, and whether the run "sweep" hangs: "temporal workflow describe --workflow-id ' +
          'sweep".',
      );
    }
    return `the schedule ${id} starts it every hour`;
  } catch (error) {
    if (!(error instanceof ScheduleNotFoundError)) throw error;
    throw notSetUp(`There is no schedule ${id}: nothing looks for paid videos of lost runs`, SETUP);
  }
}
