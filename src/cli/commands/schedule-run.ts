import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type ScheduleDetails, type ScheduleView, WanScheduleClient } from '../../client/schedule-client.js';
import type { CommandContext } from '../context.js';
import { ExitCode } from '../exit-code.js';
import { table } from '../table.js';
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
  const { manifest, wait, catchup, jitter, ...same } = flags;
  const file = resolve(context.io.cwd, manifest);
  const isFile = (await stat(file).catch(() => undefined))?.isFile() === true;
  return withSchedules(context, async (schedules) => {
    const done = await schedules.create({
      ...{ id, ...same, manifest: isFile ? { file } : { key: manifest } },
      ...{ manifestWaitSeconds: wait, catchupSeconds: catchup, jitterSeconds: jitter },
    });
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
export async function showSchedule(id: string, context: CommandContext): Promise<number> {
  return withSchedules(context, async (schedules) => {
    const details = await schedules.show(id);
    context.result(details, detailLines(details).join('\n'));
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

function detailLines(details: ScheduleDetails): string[] {
  const { id, cron, timezone, paused, note, next, manifest_key, overlap, catchup_seconds, jitter_seconds } = details;
  return [
    `schedule  ${id}${paused ? `, paused: ${note ?? ''}` : ''}`,
    `times     ${cron ?? '-'} in ${timezone ?? 'UTC'}, up to ${jitter_seconds} s later`,
    `manifest  ${manifest_key ?? '-'}`,
    `overlap   ${overlap ?? '-'}; missed runs are made up for ${catchup_seconds} s`,
    ...next.slice(0, 5).map((time) => `next      ${time} ${timezone ?? 'UTC'}`),
    ...details.runs.map(
      ({ batch_id, summary }) => `run       ${batch_id}: ${summary === null ? 'no report yet' : resultOf(summary)}`,
    ),
  ];
}

function resultOf({ outcome, counts }: NonNullable<ScheduleDetails['runs'][number]['summary']>): string {
  const videos = counts.generated + counts.cache + counts.adopted;
  return outcome === 'manifest_missing'
    ? 'its manifest was not there'
    : `${outcome}, ${videos} of ${counts.total} lines, ${counts.failed} failed`;
}
