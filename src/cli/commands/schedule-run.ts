import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type ScheduleDetails, type ScheduleView, WanScheduleClient } from '../../client/schedule-client.js';
import { percent } from '../../contract/schedule-pause.js';
import { durationText } from '../../text/duration.js';
import { accountOf, scheduleEstimateLines } from '../../text/estimate.js';
import { ExitCode } from '../../text/exit-code.js';
import { table } from '../../text/table.js';
import type { CommandContext } from '../context.js';
import type { ScheduleFlags } from './schedule.js';

async function withSchedules<T>(
  context: CommandContext,
  use: (schedules: WanScheduleClient) => Promise<T>,
): Promise<T> {
  const { taskQueues } = await context.config();
  const store = await context.stagingStore();
  return context.temporal(({ client }) =>
    use(new WanScheduleClient({ client, store, taskQueue: taskQueues.generate })),
  );
}

/** `schedule create` */
export async function createSchedule(id: string, flags: ScheduleFlags, context: CommandContext): Promise<number> {
  const { manifest, wait, catchup, jitter, dryRun, ...same } = flags;
  const file = resolve(context.io.cwd, manifest);
  const isFile = (await stat(file).catch(() => undefined))?.isFile() === true;
  const schedule = {
    ...{ id, ...same, manifest: isFile ? { file } : { key: manifest } },
    ...{ manifestWaitSeconds: wait, catchupSeconds: catchup, jitterSeconds: jitter },
  };
  return withSchedules(context, async (schedules) => {
    if (dryRun === true) {
      const plan = await schedules.estimate(schedule, { account: await accountOf(context) });
      const lines = [...nextLines(plan.next, flags.timezone), ...scheduleEstimateLines(plan, flags.timezone)];
      context.result({ dry_run: true, ...plan }, [...lines, 'Nothing was made.'].join('\n'));
      return ExitCode.done;
    }
    const done = await schedules.create(schedule);
    const shown = await schedules.show(id);
    context.result({ id, done, next: shown.next }, `The schedule ${id} was ${done}.\n${detailLines(shown).join('\n')}`);
    return ExitCode.done;
  });
}

/** `schedule list` */
export async function listSchedules(context: CommandContext): Promise<number> {
  return withSchedules(context, async (list) => {
    const schedules: ScheduleView[] = [];
    for await (const schedule of list.list()) schedules.push(schedule);
    const rows = schedules.map(({ id, cron, timezone, paused, next }) => [
      ...[id, cron ?? '-', timezone ?? '-', paused ? 'paused' : 'active', next[0] ?? '-'],
    ]);
    const text = rows.length === 0 ? 'No schedule.' : table(['SCHEDULE', 'CRON', 'ZONE', 'STATE', 'NEXT'], rows);
    context.result({ schedules }, text);
    return ExitCode.done;
  });
}

/** `schedule show` */
export async function showSchedule(id: string, estimate: boolean, context: CommandContext): Promise<number> {
  const account = estimate ? await accountOf(context) : undefined;
  return withSchedules(context, async (schedules) => {
    const details = await schedules.show(id);
    const plan = account === undefined ? undefined : await schedules.estimateNext(id, { account });
    const lines = detailLines(details);
    if (plan !== undefined) lines.push(...scheduleEstimateLines(plan, details.timezone ?? 'UTC'));
    context.result({ ...details, ...(plan !== undefined && { estimate: plan }) }, lines.join('\n'));
    return ExitCode.done;
  });
}

/** What changes a schedule, or uses it. */
export async function steerSchedule(
  id: string,
  done: string,
  steer: (schedules: WanScheduleClient) => Promise<void>,
  context: CommandContext,
): Promise<number> {
  return withSchedules(context, async (schedules) => {
    await steer(schedules);
    context.result({ id, done }, `The schedule ${id} was ${done}.`);
    return ExitCode.done;
  });
}

const nextLines = (next: readonly string[], timezone: string): string[] =>
  next.slice(0, 5).map((time) => `next      ${time} ${timezone}`);

function detailLines(details: ScheduleDetails): string[] {
  const { id, cron, timezone, paused, note, next, manifest_key, overlap, catchup_seconds, jitter_seconds } = details;
  const { pause_when_failed_above: bearable, overlapped_next } = details;
  const later = jitter_seconds === 0 ? '' : `, up to ${durationText(jitter_seconds)} later`;
  return [
    `schedule  ${id}${paused ? `, paused${note === null ? '' : `: ${note}`}` : ''}`,
    `times     ${cron ?? '-'} in ${timezone ?? 'UTC'}${later}`,
    `manifest  ${manifest_key ?? '-'}`,
    `overlap   ${overlap ?? '-'}; missed runs are made up for within ${durationText(catchup_seconds)}`,
    ...(bearable === null ? [] : [`pauses    when more than ${percent(bearable)} of a run failed`]),
    ...nextLines(next, timezone ?? 'UTC'),
    ...details.runs.map(
      ({ batch_id, summary }) =>
        `run       ${batch_id}: ${summary === null ? `no report yet, see "wan-video batch status ${batch_id}"` : resultOf(summary)}`,
    ),
    ...(overlapped_next ? ['warning   the latest run took longer than the time between the next two'] : []),
  ];
}

function resultOf({ outcome, counts }: NonNullable<ScheduleDetails['runs'][number]['summary']>): string {
  const videos = counts.generated + counts.cache + counts.adopted;
  return outcome === 'manifest_missing'
    ? 'its manifest was not there'
    : `${outcome}, ${videos} of ${counts.total} lines, ${counts.failed} failed`;
}
