import { type Command, InvalidArgumentError } from 'commander';
import type { CommandContext } from '../context.js';

/** Longest life of a signature version 4 link (https://docs.aws.amazon.com/AmazonS3/latest/userguide/ShareObjectPreSignedURL.html). */
const SECONDS_MAX = 7 * 86_400;
const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/** `wan-video presign`: a time-limited address of an archived video. */
export function addPresign(program: Command, context: CommandContext): void {
  program
    .command('presign')
    .summary('a time-limited https address of an archived video')
    .description(
      'Prints an https address under which anybody can fetch an archived video until it expires. Needs an S3 store. The address is ' +
        'a secret while it lives; one that is signed by a session ends with the session.',
    )
    .argument('<id|key>', 'id of a run or a task, or a key of the store such as videos/….mp4 or candidates/….mp4')
    .option('--expires <time>', 'how long it works: 90s, 15m, 1h, up to 7d', duration, UNITS['h'])
    .option('--json', 'one JSON document on stdout, also for errors')
    .addHelpText('after', '\nExample:\n  wan-video presign video/0a1b2c3d --expires 15m')
    .action(
      context.action(async (id: string, { expires }: { expires: number }) => {
        const { runPresign } = await import('../run-presign.js');
        return runPresign(id, expires, context);
      }),
    );
}

function duration(text: string): number {
  const [, amount, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  const seconds = Number(amount) * (UNITS[unit ?? ''] ?? Number.NaN);
  if (!(seconds >= 1 && seconds <= SECONDS_MAX)) {
    throw new InvalidArgumentError('It must be a time such as 90s, 15m, 1h or 7d, which is the most.');
  }
  return seconds;
}
