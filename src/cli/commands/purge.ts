import { type Command, InvalidArgumentError, Option } from 'commander';
import type { PurgeArea } from '../../ledger/purge.js';
import type { CommandContext } from '../context.js';

/** What is chosen, and whether it is deleted. */
export interface PurgeFlags {
  /** Milliseconds. */
  readonly olderThan?: number;
  readonly prefix?: PurgeArea;
  /** Key of the image in the store. */
  readonly reference?: string;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
}

const HOUR_MS = 3_600_000;
/** The provider keeps a task for 24 hours: what is younger than that and an hour may still be needed. */
const HOURS_MIN = 25;

/** `wan-video purge`: deletes old videos and images, or everything made from one image. */
export function addPurge(program: Command, context: CommandContext): void {
  program
    .command('purge')
    .summary('delete old videos and images')
    .description(
      'Deletes videos, staged images, candidates and rejected results that are older than a time, or everything that was made from one ' +
        'staged image and the image itself; and the cache records that point to a deleted video. Nothing of an open purchase ' +
        'is touched, and no ledger record: an equal request finds its purchase but no video; within 24 hours the video is ' +
        'fetched again from the provider, later it is bought anew.',
    )
    .addOption(
      new Option('--older-than <time>', 'stored longer ago than this: 48h, 90d; at least 25h')
        .argParser(age)
        .conflicts('reference'),
    )
    .addOption(
      new Option('--prefix <name>', 'only there (default: in all of them)')
        .choices(['videos', 'references', 'candidates', 'rejected'])
        .conflicts('reference'),
    )
    .addOption(
      new Option('--reference <asset>', 'everything made from this image, asset:references/….jpg').argParser(reference),
    )
    .addOption(new Option('--dry-run', 'only say what would be deleted').conflicts('yes'))
    .option('--yes', 'delete without asking; needed where there is no terminal')
    .option('--json', 'one JSON document on stdout, also for errors')
    .addHelpText(
      'after',
      '\nExamples:\n  wan-video purge --older-than 90d --prefix videos --dry-run\n  wan-video purge --reference asset:references/<sha256>.jpg --yes',
    )
    .action(
      context.action(async (flags: PurgeFlags) => {
        const { runPurge } = await import('../run-purge.js');
        return runPurge(flags, context);
      }),
    );
}

function age(text: string): number {
  const [, amount, unit] = /^(\d{1,5})([hd])$/.exec(text) ?? [];
  const hours = Number(amount) * (unit === 'd' ? 24 : 1);
  if (!(hours >= HOURS_MIN)) {
    throw new InvalidArgumentError(
      'It must be a time such as 48h or 90d, and at least 25h: a run may need what is younger.',
    );
  }
  return hours * HOUR_MS;
}

function reference(text: string): string {
  const key = /^asset:(references\/[0-9a-f]{64}\.(?:jpg|png|bmp|webp))$/.exec(text)?.[1];
  if (key === undefined) throw new InvalidArgumentError('It must be a staged image, asset:references/<sha256>.<ext>.');
  return key;
}
