import type { Client } from '@temporalio/client';
import { type Command, Option } from 'commander';
import { PRESIGN_SECONDS, presignVideo } from '../../client/presign.js';
import { ExitCode } from '../../text/exit-code.js';
import type { CommandContext } from '../context.js';
import { findRun } from '../find-run.js';
import { JSON_FLAG, linkTime } from '../flags.js';
import { Settings } from '../settings.js';
import { withTemporal } from '../with-temporal.js';

/** `wan-video presign`: a time-limited address of an archived video. */
export function defineCommand(command: Command, context: CommandContext): void {
  command
    .description(
      'Prints an https address under which anyone can fetch an archived video until it expires. Needs an S3 store. ' +
        'Keep the address secret; one that is signed with the credentials of a session ends with that session.',
    )
    .argument('<id|key>', 'id of a run or a task, or a key of the store below videos/, candidates/ or conformed/')
    .addOption(
      new Option('--expires <time>', 'how long it is valid: 90s, 15m, 1h, up to 7d')
        .argParser(linkTime)
        .default(PRESIGN_SECONDS, '1h'),
    )
    .option(...JSON_FLAG)
    .addHelpText('after', '\nExample:\n  wan-video presign video/0a1b2c3d --expires 15m')
    .action(context.action((id: string, { expires }: { expires: number }) => presign(id, expires, context)));
}

async function presign(id: string, expiresSeconds: number, context: CommandContext): Promise<number> {
  const settings = new Settings(context.io);
  const { url, key, expires_at } = await presignVideo(settings.store(), id, expiresSeconds, async () => {
    const find = async (client: Client) => findRun(id, client, () => settings.ledger());
    const { task_id: taskId, status } = await withTemporal(await settings.target(), find);
    return { taskId, status };
  });
  context.result({ url, key, expires_at }, url);
  return ExitCode.done;
}
