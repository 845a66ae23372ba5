import { resolve } from 'node:path';
import type { Command } from 'commander';
import { ExitCode } from '../../text/exit-code.js';
import type { CommandContext } from '../context.js';

/** `wan-video stage`: puts an image into the asset store. */
export function addStage(program: Command, context: CommandContext): void {
  program
    .command('stage')
    .summary('put an image into the asset store, print its asset: reference')
    .description(
      'Checks a reference image and puts it into the asset store under its SHA-256. Prints the asset: reference that a ' +
        'request may name as its reference_image.',
    )
    .argument('<file>', 'path of the image, or - for stdin')
    .option('--json', 'one JSON document on stdout, also for errors')
    .addHelpText(
      'after',
      `
Examples:
  wan-video stage boat.jpg
  wan-video generate --prompt 'the boat drifts' --image "$(wan-video stage boat.jpg)"`,
    )
    .action(
      context.action(async (file: string) => {
        const { LocalImage } = await import('../../client/reference.js');
        const image = await LocalImage.read(file === '-' ? context.io.stdin : resolve(context.io.cwd, file));
        try {
          const { key: _, ...known } = image.known;
          const reference = await image.stage(await context.stagingStore());
          context.result({ reference_image: reference, ...known }, reference);
          return ExitCode.done;
        } finally {
          await image.dispose();
        }
      }),
    );
}
