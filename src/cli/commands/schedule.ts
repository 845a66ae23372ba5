import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { WanScheduleClient } from '../../client/schedule-client.js';
import type { ScheduleView } from '../../client/schedule-view.js';
import { BATCH_WINDOW_MAX } from '../../contract/batch.js';
import { amountText } from '../../contract/budget.js';
import { shellWord } from '../../contract/command-lines.js';
import type { DeliveryReport } from '../../contract/delivery.js';
import { invalidRequest } from '../../contract/validate.js';
import { canAsk, confirm } from '../../text/confirm.js';
import { scheduleEstimateLines } from '../../text/estimate.js';
import { ExitCode } from '../../text/exit-code.js';
import { backfillLines, nextTimeLines, scheduleLines } from '../../text/schedule.js';
import { table } from '../../text/table.js';
import type { CommandContext } from '../context.js';
import { DELIVER_FLAGS, deliveryReports, duration, JSON_FLAG, RECEIVER_FLAG, wholeNumber } from '../flags.js';
import { Settings } from '../settings.js';
import { withStagingStore } from '../with-temporal.js';

const OVERLAPS = ['skip', 'buffer_one', 'buffer_all', 'allow_all'] as const;

interface CreateFlags {
  readonly cron: string;
  readonly timezone: string;
  readonly manifest: string;
  readonly window?: number;
  readonly allowInvalid?: boolean;
  readonly wait?: number;
  readonly overlap?: (typeof OVERLAPS)[number];
  readonly catchup?: number;
  readonly jitter?: number;
  readonly dst?: 'skip' | 'shift';
  readonly pauseWhenFailedAbove?: number;
  readonly deliver?: string;
  readonly deliverReport?: readonly DeliveryReport[];
  readonly receiver?: string;
  readonly dryRun?: boolean;
}

interface BackfillFlags {
  readonly from: Date;
  readonly to: Date;
  readonly yes?: boolean;
  readonly dryRun?: boolean;
}

/** More runs than this are started only after a question: ten nights are a long outage, hundreds are a wrong date. */
const BACKFILL_ASKS_ABOVE = 10;

/** What a `schedule` command works with. */
interface ScheduleSession {
  readonly schedules: WanScheduleClient;
  readonly settings: Settings;
  readonly context: CommandContext;
}

/** `wan-video schedule …`: batches that start at the times of a schedule. */
export function defineCommand(schedule: Command, context: CommandContext): void {
  /** Makes an action that runs with the schedule client of the configured store and queue. */
  const action = <A extends unknown[]>(run: (session: ScheduleSession, ...args: A) => Promise<number>) =>
    context.action(async (...args: A) => {
      const settings = new Settings(context.io);
      return withStagingStore(settings, (options) =>
        run({ schedules: new WanScheduleClient(options), settings, context }, ...args),
      );
    });
  /** An action that changes or uses one schedule. */
  const change = <A extends unknown[]>(
    done: string,
    apply: (schedules: WanScheduleClient, id: string, ...args: A) => Promise<void>,
  ) =>
    action(async ({ schedules }, id: string, ...args: A) => {
      await apply(schedules, id, ...args);
      context.result({ id, done }, `The schedule ${id} was ${done}.`);
      return ExitCode.done;
    });
  const seconds = duration('a time such as 90s, 15m, 2h or 1d');

  schedule
    .description('Starts a batch at the times of a cron expression in a time zone. See docs/batches.md.')
    .addHelpText(
      'after',
      "\nExample:\n  wan-video schedule create nightly --cron '30 2 * * *' --timezone Europe/Berlin --manifest " +
        "'manifests/{date}.jsonl'",
    );

  schedule
    .command('create')
    .summary('create a schedule, or change the one with this id')
    .argument('<id>', 'name of the schedule; its batches are <id>-<nominal time>')
    .requiredOption('--cron <expression>', 'minute, hour, day of month, month, day of week')
    .requiredOption('--timezone <zone>', 'time zone of these times, such as Europe/Berlin')
    .requiredOption(
      '--manifest <key|file>',
      'a key of the store, read again at each run, with {date} for the nominal date; or a file, which is staged now',
    )
    .option('--window <n>', 'items to run at a time', wholeNumber(1, BATCH_WINDOW_MAX))
    .option('--allow-invalid', 'leave out lines with faults instead of refusing the whole manifest')
    .option('--wait <time>', 'how long a run waits for its manifest, such as 2h (default: not at all)', seconds)
    .addOption(
      new Option('--overlap <policy>', 'when the previous run has not ended (default: buffer_one)').choices(OVERLAPS),
    )
    .option('--catchup <time>', 'how long after its time a missed run is still started (default: 1d)', seconds)
    .option('--jitter <time>', 'start up to this much later, at random (default: 0s)', seconds)
    .addOption(
      new Option(
        '--dst <policy>',
        'for a time that the clocks skip in spring: no run (skip, default), or later',
      ).choices(['skip', 'shift']),
    )
    .option(...DELIVER_FLAGS.deliver)
    .option(...DELIVER_FLAGS.report, deliveryReports)
    .option(...RECEIVER_FLAG)
    .option('--pause-when-failed-above <share>', 'pause the schedule when more of a run failed, such as 25%', share)
    .option('--dry-run', 'show what its next run would cost and take; create nothing')
    .option(...JSON_FLAG)
    .action(action(createSchedule));

  schedule
    .command('list')
    .summary('list all schedules with their next times')
    .option(...JSON_FLAG)
    .action(action(listSchedules));

  schedule
    .command('show')
    .summary('show one schedule, its next times and the outcome of its latest runs')
    .argument('<id>', 'name of the schedule')
    .option('--estimate', 'also show what its next run would cost and take; reads the whole manifest')
    .option(...JSON_FLAG)
    .action(action(showSchedule));

  schedule
    .command('pause')
    .summary('start no run until the schedule is resumed; also stops a backfill')
    .argument('<id>', 'name of the schedule')
    .option('--reason <text>', 'shown with the schedule', 'paused on request')
    .option(...JSON_FLAG)
    .action(change('paused', (schedules, id, { reason }: { reason: string }) => schedules.pause(id, reason)));

  schedule
    .command('resume')
    .summary('resume a paused schedule')
    .argument('<id>', 'name of the schedule')
    .option(...JSON_FLAG)
    .action(change('resumed', (schedules, id) => schedules.resume(id)));

  schedule
    .command('trigger')
    .summary('start a run now')
    .argument('<id>', 'name of the schedule')
    .option(...JSON_FLAG)
    .action(change('triggered', (schedules, id) => schedules.trigger(id)));

  schedule
    .command('backfill')
    .summary('start the runs between two moments, one after the other')
    .argument('<id>', 'name of the schedule')
    .requiredOption('--from <time>', 'ISO 8601, such as 2026-03-28T00:00:00Z', moment)
    .requiredOption('--to <time>', 'ISO 8601', moment)
    .option('--yes', `do not ask; needed for more than ${BACKFILL_ASKS_ABOVE} runs where nobody can be asked`)
    .addOption(new Option('--dry-run', 'show which runs it would start, and start nothing').conflicts('yes'))
    .option(...JSON_FLAG)
    .action(action(backfillSchedule));

  schedule
    .command('delete')
    .summary('remove a schedule; the batches that it has started are kept')
    .argument('<id>', 'name of the schedule')
    .option(...JSON_FLAG)
    .action(change('deleted', (schedules, id) => schedules.delete(id)));
}

async function createSchedule(
  { schedules, settings, context }: ScheduleSession,
  id: string,
  flags: CreateFlags,
): Promise<number> {
  const { manifest, wait, catchup, jitter, deliverReport, dryRun = false } = flags;
  const { cron, timezone, window, allowInvalid, overlap, dst, deliver, receiver, pauseWhenFailedAbove } = flags;
  const file = resolve(context.io.cwd, manifest);
  const isFile = (await stat(file).catch(() => undefined))?.isFile() === true;
  const schedule = {
    id,
    cron,
    timezone,
    window,
    allowInvalid,
    overlap,
    dst,
    deliver,
    receiver,
    pauseWhenFailedAbove,
    manifest: isFile ? { file } : { key: manifest },
    manifestWaitSeconds: wait,
    catchupSeconds: catchup,
    jitterSeconds: jitter,
    deliverReports: deliverReport,
  };
  if (dryRun) {
    const plan = await schedules.estimate(schedule, { account: await settings.estimateAccount() });
    const lines = [...nextTimeLines(plan.next, flags.timezone), ...scheduleEstimateLines(plan, flags.timezone)];
    context.result({ dry_run: true, ...plan }, [...lines, 'Nothing was created.'].join('\n'));
    return ExitCode.done;
  }
  const done = await schedules.create(schedule);
  const details = await schedules.show(id);
  context.result(
    { id, done, next: details.next },
    `The schedule ${id} was ${done}.\n${scheduleLines(details).join('\n')}`,
  );
  return ExitCode.done;
}

async function backfillSchedule(
  { schedules, settings, context }: ScheduleSession,
  id: string,
  { from, to, yes = false, dryRun = false }: BackfillFlags,
): Promise<number> {
  const period = { from, to };
  const [plan, details] = await Promise.all([schedules.planBackfill(id, period), schedules.show(id)]);
  const lines = backfillLines(plan, details.timezone ?? 'UTC');
  if (plan.runs.length > 0) lines.push(...(await costLines(id, plan.runs.length, schedules, settings)));
  if (dryRun) {
    context.result({ dry_run: true, ...plan }, [...lines, 'Nothing was started.'].join('\n'));
    return ExitCode.done;
  }
  if (plan.runs.length > BACKFILL_ASKS_ABOVE && !yes) {
    const { io } = context;
    if (!canAsk(io)) {
      throw invalidRequest([{ path: '--yes', message: `is needed to start ${plan.runs.length} runs without asking` }]);
    }
    context.say(lines.join('\n'));
    if (!(await confirm(`Start ${plan.runs.length} runs of ${id}?`, io))) return ExitCode.failed;
  }
  await schedules.backfill(id, period);
  context.result(
    { ...plan, done: 'backfilled' },
    [...lines, `The schedule ${id} was backfilled; "wan-video schedule pause ${shellWord(id)}" stops it.`].join('\n'),
  );
  return ExitCode.done;
}

/** What each run of a backfill costs at most, as far as it is known: a run of another day may have another manifest. */
async function costLines(id: string, runs: number, schedules: WanScheduleClient, settings: Settings) {
  const plan = await schedules.estimateNext(id, { account: await settings.estimateAccount() });
  if (plan.estimate === null) return ['cost      not known: the manifest of the next run does not exist yet'];
  const { billed, price } = plan.estimate;
  const seconds = billed.reduce((sum, one) => sum + one.seconds, 0);
  const money = (times: number) => (price === null ? '' : `, ${amountText(price.amount * times)} ${price.currency}`);
  return [
    `cost      a run like the next one: at most ${seconds} s${money(1)}`,
    `          all of them: at most ${seconds * runs} s${money(runs)}`,
  ];
}

async function listSchedules({ schedules: client, context }: ScheduleSession): Promise<number> {
  const schedules: ScheduleView[] = [];
  for await (const schedule of client.list()) schedules.push(schedule);
  const rows = schedules.map(({ id, cron, timezone, paused, next }) => [
    id,
    cron ?? '-',
    timezone ?? '-',
    paused ? 'paused' : 'active',
    next[0] ?? '-',
  ]);
  const text = rows.length === 0 ? 'No schedule.' : table(['SCHEDULE', 'CRON', 'ZONE', 'STATE', 'NEXT'], rows);
  context.result({ schedules }, text);
  return ExitCode.done;
}

async function showSchedule(
  { schedules, settings, context }: ScheduleSession,
  id: string,
  { estimate = false }: { readonly estimate?: boolean },
): Promise<number> {
  const account = estimate ? await settings.estimateAccount() : undefined;
  const details = await schedules.show(id);
  const plan = account === undefined ? undefined : await schedules.estimateNext(id, { account });
  const lines = scheduleLines(details);
  if (plan !== undefined) lines.push(...scheduleEstimateLines(plan, details.timezone ?? 'UTC'));
  context.result({ ...details, ...(plan !== undefined && { estimate: plan }) }, lines.join('\n'));
  return ExitCode.done;
}

function share(text: string): number {
  const percent = /^\d{1,2}(\.\d)?%$/.test(text) ? Number(text.slice(0, -1)) : Number.NaN;
  if (Number.isNaN(percent)) throw new InvalidArgumentError('It must be a share from 0% to below 100%, such as 25%.');
  return Math.round(percent * 10) / 1000;
}

function moment(text: string): Date {
  const time = new Date(text);
  // Without an offset it would be read in the zone of this machine.
  if (Number.isNaN(time.getTime()) || !/(Z|[+-]\d\d:\d\d)$/.test(text)) {
    throw new InvalidArgumentError('It must be a moment with its offset, such as 2026-03-28T00:00:00Z.');
  }
  return time;
}
