import { type Command, InvalidArgumentError, Option } from 'commander';
import { readStagedReference } from '../../contract/image-reference.js';
import { invalidRequest } from '../../contract/validate.js';
import { PURGE_AREAS, type PurgeArea, type PurgeChoice, type PurgePlan, planPurge, purge } from '../../ledger/purge.js';
import { canAsk, confirm } from '../../text/confirm.js';
import { ExitCode } from '../../text/exit-code.js';
import { table } from '../../text/table.js';
import type { CommandContext } from '../context.js';
import { duration, JSON_FLAG } from '../flags.js';
import { Settings } from '../settings.js';

interface PurgeFlags {
  /** Seconds. */
  readonly olderThan?: number;
  readonly prefix?: PurgeArea;
  /** Key of the image in the store. */
  readonly reference?: string;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
}

/** The provider keeps a task for 24 hours: what is younger than that and an hour may still be needed. */
const AGE_MIN = { units: 'hd', minSeconds: 25 * 3_600 };

/** `wan-video purge`: deletes old videos and images, or everything made from one image. */
export function defineCommand(command: Command, context: CommandContext): void {
  command
    .description(
      'Deletes videos, what was made from them, staged images, candidates and rejected results that are older than a ' +
        'given time; or one staged image and everything made from it. The cache records that point to a deleted ' +
        'video are deleted too. Ledger records and everything that an open purchase needs are kept.\n\n' +
        'An equal request then finds its purchase but no video: within 24 hours of the purchase the video is fetched ' +
        'from the provider again, later it is bought again.',
    )
    .addOption(
      new Option('--older-than <time>', 'stored longer ago than this: 48h, 90d; at least 25h')
        .argParser(duration('a time such as 48h or 90d, and at least 25h: a run may need what is younger', AGE_MIN))
        .conflicts('reference'),
    )
    .addOption(
      new Option('--prefix <name>', 'only below this prefix (default: all of them)')
        .choices([...PURGE_AREAS])
        .conflicts('reference'),
    )
    .addOption(
      new Option('--reference <asset>', 'this image, asset:references/….jpg, and everything made from it').argParser(
        reference,
      ),
    )
    .addOption(new Option('--dry-run', 'only show what would be deleted').conflicts('yes'))
    .option('--yes', 'delete without asking; needed where there is no terminal')
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Examples:
  wan-video purge --older-than 90d --prefix videos --dry-run
  wan-video purge --reference asset:references/<sha256>.jpg --yes`,
    )
    .action(context.action((flags: PurgeFlags) => runPurge(flags, context)));
}

/** Shows what would be deleted, and deletes it when that is confirmed. */
async function runPurge(flags: PurgeFlags, context: CommandContext): Promise<number> {
  const choice = choiceOf(flags);
  const store = new Settings(context.io).store();
  const plan = await planPurge(store, choice, Date.now());
  const report = (done: PurgePlan, deleted: boolean): number => {
    context.result(reportOf(done, deleted), reportText(done, deleted));
    for (const { message } of done.damaged) context.io.stderr.write(`Cannot be read: ${message}\n`);
    return done.damaged.length === 0 ? ExitCode.done : ExitCode.failed;
  };
  const { dryRun = false, yes = false } = flags;
  if (dryRun || (plan.items.length === 0 && (yes || canAsk(context.io)))) return report(plan, false);
  if (yes) {
    await purge(store, plan);
    return report(plan, true);
  }
  if (!canAsk(context.io)) {
    report(plan, false);
    context.say('Nothing was deleted. Add --yes to delete it, or --dry-run to only show it.');
    return ExitCode.invalid;
  }
  context.say(reportText(plan, false));
  if (!(await confirm('Delete it?', context.io))) {
    context.result(reportOf(plan, false), 'Nothing was deleted.');
    return ExitCode.cancelled;
  }
  // The answer may have taken an hour, and purchases may have been opened meanwhile: only what may still be deleted is.
  const confirmed = new Set(plan.items.map(({ key }) => key));
  const again = await planPurge(store, choice, Date.now());
  const remaining = { ...again, items: again.items.filter(({ key }) => confirmed.has(key)) };
  await purge(store, remaining);
  return report(remaining, true);
}

function choiceOf({ olderThan, prefix, reference: key }: PurgeFlags): PurgeChoice {
  if (key !== undefined) return { by: 'reference', key };
  if (olderThan === undefined) {
    throw invalidRequest([{ path: '', message: 'say what to purge: either --older-than or --reference is needed' }]);
  }
  return { by: 'age', olderThanMs: olderThan * 1000, areas: prefix === undefined ? PURGE_AREAS : [prefix] };
}

/** Published as the result of `purge --json`. */
function reportOf({ items, keptOpen, keptRecent, keptUnreadable, damaged }: PurgePlan, deleted: boolean) {
  return {
    deleted,
    objects: items.length,
    bytes: total(items.map(({ bytes }) => bytes)),
    cache_records: total(items.map(({ pointers }) => pointers.length)),
    prefixes: Object.fromEntries(
      PURGE_AREAS.map((area) => {
        const there = items.filter((item) => item.area === area);
        return [area, { objects: there.length, bytes: total(there.map(({ bytes }) => bytes)) }];
      }),
    ),
    kept_open: keptOpen,
    kept_recent: keptRecent,
    ...(damaged.length > 0 && {
      kept_unreadable: keptUnreadable,
      damaged: damaged.map(({ message }) => message).sort(),
    }),
  };
}

function reportText(plan: PurgePlan, deleted: boolean): string {
  const { objects, bytes, cache_records, prefixes, kept_open, kept_recent } = reportOf(plan, deleted);
  const { keptUnreadable } = plan;
  const rows = Object.entries(prefixes).map(([name, there]) => [name, String(there.objects), String(there.bytes)]);
  return [
    deleted ? 'Deleted:' : 'Would be deleted:',
    table(['prefix', 'objects', 'bytes'], [...rows, ['total', String(objects), String(bytes)]]),
    `cache records that point to them: ${cache_records}`,
    ...(kept_open > 0 ? [`${kept_open} more are kept: they belong, or may belong, to an open purchase.`] : []),
    ...(keptUnreadable > 0
      ? [`${keptUnreadable} more are kept: a record that decides about them cannot be read.`]
      : []),
    ...(kept_recent > 0 ? ['The image is kept: it is younger than 25 hours, and a run may still need it.'] : []),
  ].join('\n');
}

function reference(text: string): string {
  const key = readStagedReference(text)?.key;
  if (key === undefined) throw new InvalidArgumentError('It must be a staged image, asset:references/<sha256>.<ext>.');
  return key;
}

const total = (numbers: readonly number[]): number => numbers.reduce((sum, one) => sum + one, 0);
