import { type Command, InvalidArgumentError, Option } from 'commander';
import { BATCH_WINDOW_MAX } from '../../contract/batch.js';
import type { CommandContext } from '../context.js';

/** Flags of `schedule create`. */
export interface ScheduleFlags {
  readonly cron: string;
  readonly timezone: string;
  readonly manifest: string;
  readonly window?: number;
  readonly allowInvalid?: boolean;
  readonly wait?: number;
  readonly overlap?: 'skip' | 'buffer_one' | 'buffer_all' | 'allow_all';
  readonly catchup?: number;
  readonly jitter?: number;
  readonly pauseWhenFailedAbove?: number;
  readonly dryRun?: boolean;
}

const JSON_FLAG = ['--json', 'one JSON document on stdout, also for errors'] as const;
const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/** `wan-video schedule …`: batches that start by themselves. */
export function addSchedule(program: Command, context: CommandContext): void {
  const schedule = program
    .command('schedule')
    .summary('batches that start by themselves: create, list, show, trigger, …')
    .description('Starts a batch at the times of a cron expression in a time zone. See docs/batches.md.')
    .addHelpText(
      'after',
      "\nExample:\n  wan-video schedule create nightly --cron '30 2 * * *' --timezone Europe/Berlin --manifest 'manifests/{date}.jsonl'",
    );
  const run = () => import('./schedule-run.js');

  schedule
    .command('create')
    .summary('create a schedule, or change the one of this id')
    .argument('<id>', 'name of the schedule; its batches are <id>-<nominal time>')
    .requiredOption('--cron <expression>', 'minute, hour, day of month, month, day of week')
    .requiredOption('--timezone <zone>', 'that the times are meant in, such as Europe/Berlin')
    .requiredOption(
      '--manifest <key|file>',
      'a key of the store, read anew at each run, with {date} for the nominal date; or a file, which is staged now',
    )
    .option('--window <n>', 'items in work at a time', whole(BATCH_WINDOW_MAX))
    .option('--allow-invalid', 'leave out lines with faults instead of refusing the whole')
    .option('--wait <time>', 'how long a run waits for its manifest, such as 2h (default: not at all)', seconds)
    .addOption(
      new Option('--overlap <policy>', 'when the run before has not ended (default: buffer_one)').choices([
        ...['skip', 'buffer_one', 'buffer_all', 'allow_all'],
      ]),
    )
    .option('--catchup <time>', 'how long a missed run is made up for (default: 1d)', seconds)
    .option('--jitter <time>', 'start up to so much later, at random (default: 0s)', seconds)
    .option('--pause-when-failed-above <share>', 'pause it when more of a run failed, such as 25%', share)
    .option('--dry-run', 'say what its next run would cost and take; make nothing')
    .option(...JSON_FLAG)
    .action(
      context.action(async (id: string, flags: ScheduleFlags) => (await run()).createSchedule(id, flags, context)),
    );

  schedule
    .command('list')
    .summary('every schedule with its next times')
    .option(...JSON_FLAG)
    .action(context.action(async () => (await run()).listSchedules(context)));

  schedule
    .command('show')
    .summary('one schedule, its next times and what its latest runs came to')
    .argument('<id>', 'name of the schedule')
    .option('--estimate', 'also what its next run would cost and take; reads the whole manifest')
    .option(...JSON_FLAG)
    .action(
      context.action(async (id: string, { estimate = false }: { estimate?: boolean }) =>
        (await run()).showSchedule(id, estimate, context),
      ),
    );

  schedule
    .command('pause')
    .summary('start no run until it is resumed')
    .argument('<id>', 'name of the schedule')
    .option('--reason <text>', 'shown with the schedule', 'somebody asked for it')
    .option(...JSON_FLAG)
    .action(
      context.action(async (id: string, { reason }: { reason: string }) =>
        (await run()).steerSchedule(id, 'paused', (schedules) => schedules.pause(id, reason), context),
      ),
    );

  schedule
    .command('resume')
    .summary('go on')
    .argument('<id>', 'name of the schedule')
    .option(...JSON_FLAG)
    .action(
      context.action(async (id: string) =>
        (await run()).steerSchedule(id, 'resumed', (schedules) => schedules.resume(id), context),
      ),
    );

  schedule
    .command('trigger')
    .summary('start a run now')
    .argument('<id>', 'name of the schedule')
    .option(...JSON_FLAG)
    .action(
      context.action(async (id: string) =>
        (await run()).steerSchedule(id, 'triggered', (schedules) => schedules.trigger(id), context),
      ),
    );

  schedule
    .command('backfill')
    .summary('make up for the runs between two moments, one after the other')
    .argument('<id>', 'name of the schedule')
    .requiredOption('--from <time>', 'ISO 8601, such as 2026-03-28T00:00:00Z', moment)
    .requiredOption('--to <time>', 'ISO 8601', moment)
    .option(...JSON_FLAG)
    .action(
      context.action(async (id: string, times: { from: Date; to: Date }) =>
        (await run()).steerSchedule(id, 'backfilled', (schedules) => schedules.backfill(id, times), context),
      ),
    );

  schedule
    .command('delete')
    .summary('remove a schedule; the batches that it has started stay')
    .argument('<id>', 'name of the schedule')
    .option(...JSON_FLAG)
    .action(
      context.action(async (id: string) =>
        (await run()).steerSchedule(id, 'deleted', (schedules) => schedules.delete(id), context),
      ),
    );
}

function whole(max: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,6}$/.test(text) ? Number(text) : 0;
    if (value < 1 || value > max) throw new InvalidArgumentError(`It must be a whole number from 1 to ${max}.`);
    return value;
  };
}

function seconds(text: string): number {
  const [, amount, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  const value = Number(amount) * (UNITS[unit ?? ''] ?? Number.NaN);
  if (Number.isNaN(value)) throw new InvalidArgumentError('It must be a time such as 90s, 15m, 2h or 1d.');
  return value;
}

function share(text: string): number {
  const percent = /^\d{1,2}(\.\d)?%$/.test(text) ? Number(text.slice(0, -1)) : Number.NaN;
  if (Number.isNaN(percent)) throw new InvalidArgumentError('It must be a share from 0% to below 100%, such as 25%.');
  return Math.round(percent * 10) / 1000;
}

function moment(text: string): Date {
  const time = new Date(text);
  // Without a zone it would be meant in that of whoever types it.
  if (Number.isNaN(time.getTime()) || !/(Z|[+-]\d\d:\d\d)$/.test(text)) {
    throw new InvalidArgumentError('It must be a moment with its offset, such as 2026-03-28T00:00:00Z.');
  }
  return time;
}
