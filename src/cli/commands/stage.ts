import { resolve } from 'node:path';
import type { Command } from 'commander';
import { LocalImage } from '../../client/reference.js';
import { ExitCode } from '../../text/exit-code.js';
import type { CommandContext } from '../context.js';
import { JSON_FLAG } from '../flags.js';
import { Settings } from '../settings.js';

/** `wan-video stage`: puts an image into the asset store. */
export function defineCommand(command: Command, context: CommandContext): void {
  command
    .description(
      'Checks a reference image and puts it into the asset store under its SHA-256. Prints the asset: reference to ' +
        'use as the reference_image of a request.',
    )
    .argument('<file>', 'path of the image, or - for stdin')
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Examples:
  wan-video stage boat.jpg
  wan-video generate --prompt 'the boat drifts' --image "$(wan-video stage boat.jpg)"`,
    )
    .action(context.action((file: string) => stage(file, context)));
}

async function stage(file: string, context: CommandContext): Promise<number> {
  const image = await LocalImage.read(file === '-' ? context.io.stdin : resolve(context.io.cwd, file));
  try {
    const { changes, sha256, mime, ext, bytes, width, height } = image.info;
    const reference = await image.stage(await new Settings(context.io).stagingStore());
    for (const { done } of changes) context.say(`Before it is sent, the image is ${done}.`);
    context.result({ reference_image: reference, mime, ext, width, height, bytes, sha256, changes }, reference);
    return ExitCode.done;
  } finally {
    await image.dispose();
  }
}
