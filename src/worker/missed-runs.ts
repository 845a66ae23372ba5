import { createHash } from 'node:crypto';
import { type Client, type ScheduleDescription, WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import type { ActivityDeps } from '../../activities/deps.js';
import { knownEvents } from '../../activities/post-event.js';
import { batchInputOf } from '../client/scheduled-batch.js';
import { cutToBytes, SUMMARY_BYTES_MAX } from '../contract/bounds.js';
import { batchScheduleId, batchWorkflowId, WorkflowType, webhookWorkflowId } from '../contract/names.js';
import { DEFAULT_RECEIVER, receiverOf, type WebhookEvent, webhookEventId } from '../contract/webhook.js';
import { missedRuns } from '../contract/webhook-data.js';
import type { WorkerMetrics } from '../metrics/worker-metrics.js';
import { missedRunsKey, missedRunsRoot } from '../storage/keys.js';
import { logNow } from './logger.js';

/** Longest look: a list of the schedules, a description of each, and a few requests for what is new. */
const LOOK_BOUND_MS = 60_000;
const PREFIX = batchScheduleId('');

/** What looking needs. */
export interface MissedRunsDeps extends Pick<ActivityDeps, 'store' | 'webhook'> {
  readonly client: Client;
  /** Whose schedules are looked at. */
  readonly taskQueue: string;
  readonly metrics: Pick<WorkerMetrics, 'missedRuns'>;
}

/**
 * Watches the schedules of batches for runs that were due too long ago when Temporal came to them: it counts them and
 * starts nothing. Each new count of a schedule is one event, one line of the log, and counted by one worker: the one
 * that writes its record. Neither listing nor describing is an Action on Temporal Cloud.
 * @param everyMs - Pause between two looks; one that fails is repeated with the next.
 * @returns stops it.
 */
export function watchMissedRuns(deps: MissedRunsDeps, everyMs: number): () => void {
  const stop = new AbortController();
  const announced = new Map<string, number>();
  const look = async (): Promise<void> => {
    await lookAtSchedules(deps, announced, stop.signal).catch(() => undefined);
    if (!stop.signal.aborted) timer = setTimeout(look, everyMs).unref();
  };
  let timer = setTimeout(look, 0).unref();
  return () => {
    stop.abort();
    clearTimeout(timer);
  };
}

/**
 * Looks once at every schedule of the queue.
 * @param announced - The count of each schedule that needs no further look; it is kept up to date.
 */
export async function lookAtSchedules(
  deps: MissedRunsDeps,
  announced: Map<string, number>,
  stop: AbortSignal,
): Promise<void> {
  const { client, taskQueue } = deps;
  const signal = AbortSignal.any([stop, AbortSignal.timeout(LOOK_BOUND_MS)]);
  const look = async (scheduleId: string): Promise<void> => {
    const description = await client.schedule.getHandle(scheduleId).describe();
    const { action, info } = description;
    const missed = info.numActionsMissedCatchupWindow;
    const name = nameOf(scheduleId, description);
    if (action.taskQueue !== taskQueue || missed <= (announced.get(name) ?? 0)) return;
    await announce(deps, scheduleId.slice(PREFIX.length), name, description, signal);
    announced.set(name, missed);
  };
  await client.withDeadline(Date.now() + LOOK_BOUND_MS, async () => {
    for await (const { scheduleId } of client.schedule.list()) {
      if (signal.aborted) return;
      // One that was deleted meanwhile, or that cannot be decoded here, keeps no other one from being looked at.
      if (scheduleId.startsWith(PREFIX)) await look(scheduleId).catch(() => undefined);
    }
  });
}

/** Distinguishes a schedule also from one of the same id that was deleted. */
const nameOf = (scheduleId: string, { info }: ScheduleDescription): string =>
  createHash('sha256').update(`${scheduleId} ${info.createdAt.toISOString()}`).digest('hex').slice(0, 32);

/**
 * Announces a schedule's new count: the event first, whose id is the same at each attempt, and then the record that
 * says that it was sent.
 */
async function announce(
  deps: MissedRunsDeps,
  id: string,
  name: string,
  description: ScheduleDescription,
  signal: AbortSignal,
): Promise<void> {
  const { store, metrics } = deps;
  const missed = description.info.numActionsMissedCatchupWindow;
  const counts: number[] = [];
  const root = missedRunsRoot(id, name);
  for await (const { key } of store.list(root, { signal })) counts.push(Number.parseInt(key.slice(root.length), 10));
  if (counts.includes(missed)) return;
  const before = Math.max(0, ...counts.filter((count) => count < missed));
  await sendEvent(deps, { id, name, missed, more: missed - before }, description);
  const body = Buffer.from(JSON.stringify({ schedule_id: id, missed, at: new Date().toISOString() }));
  const options = { ifAbsent: true, contentType: 'application/json', signal };
  const { stored } = await store.put(missedRunsKey(id, name, missed), body, options);
  if (!stored) return;
  metrics.missedRuns(missed - before);
  logNow('WARN', 'A schedule has missed runs', { schedule: id, missed, more: missed - before });
}

async function sendEvent(
  deps: MissedRunsDeps,
  found: { readonly id: string; readonly name: string; readonly missed: number; readonly more: number },
  description: ScheduleDescription,
): Promise<void> {
  const { client, taskQueue } = deps;
  const { webhookEvents } = knownEvents(deps, batchInputOf(description).receiver);
  if (webhookEvents === undefined) return;
  const { receiver, events } = receiverOf(webhookEvents);
  if (!events.includes('schedule.runs_missed')) return;
  const { id, name, missed, more } = found;
  const event: WebhookEvent = {
    id: webhookEventId(name, `missed_${missed}`),
    type: 'schedule.runs_missed',
    timestamp: new Date().toISOString(),
    data: missedRuns({ id, workflowId: batchWorkflowId(id), missed, more }, description.policies.catchupWindow),
  };
  try {
    await client.workflow.start(WorkflowType.deliverWebhook, {
      taskQueue,
      workflowId: webhookWorkflowId(event.id),
      args: receiver === DEFAULT_RECEIVER ? [event] : [event, { receiver, after: null }],
      workflowIdReusePolicy: 'REJECT_DUPLICATE',
      staticSummary: cutToBytes(`${event.type}: ${id}`, SUMMARY_BYTES_MAX),
    });
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
  }
}
