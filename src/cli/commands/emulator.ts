import { type Command, InvalidArgumentError, Option } from 'commander';
import { aborted } from '../../async/aborted.js';
import { FailureType } from '../../contract/failure-type.js';
import { VideoError } from '../../contract/video-error.js';
import { ExitCode } from '../../text/exit-code.js';
import type { CommandContext } from '../context.js';
import { JSON_FLAG, wholeNumber } from '../flags.js';
import { importPart } from '../import-part.js';
import { withInterrupts } from '../interrupts.js';

interface EmulatorFlags {
  readonly port: number;
  readonly speed: number;
  readonly state?: string;
}

/** `wan-video emulator`: the provider emulator alone. */
export function defineCommand(command: Command, context: CommandContext): void {
  command
    .description(
      'Runs an emulated Model Studio on 127.0.0.1 until Ctrl-C or SIGTERM. It accepts any key and costs nothing.',
    )
    .addOption(new Option('--port <n>', 'TCP port').argParser(wholeNumber(0, 65_535)).default(0, 'a free one'))
    .option('--speed <n>', 'how many times faster than the provider it renders', speed, 1)
    .option('--state <file>', 'file that keeps tasks over a restart')
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Example:
  wan-video emulator --port 8080 --speed 20
  DASHSCOPE_HTTP_BASE_URL=http://127.0.0.1:8080/api/v1 DASHSCOPE_API_KEY=any wan-video worker`,
    )
    .action(context.action((flags: EmulatorFlags) => emulate(flags, context)));
}

async function emulate({ port, speed, state }: EmulatorFlags, context: CommandContext): Promise<number> {
  // Loaded late: its packages are not part of a production install.
  const { startEmulator } = await importPart('The emulator', () => import('../../emulator/index.js'));
  const emulator = await startEmulator({
    port,
    settings: { speed, clip: 'picture' },
    ...(state !== undefined && { stateFile: state }),
  }).catch((cause: unknown) => {
    if ((cause as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw cause;
    throw new VideoError(FailureType.ConfigurationInvalid, `Port ${port} is in use`, {
      cause,
      nextStep: 'Choose another --port, or leave it out for a free one.',
    });
  });
  try {
    await withInterrupts(context.io, async ({ first }) => {
      context.result({ base_url: emulator.baseUrl }, `Emulator at ${emulator.baseUrl}`);
      await aborted(first);
    });
  } finally {
    await emulator.close();
  }
  return ExitCode.done;
}

function speed(text: string): number {
  const value = /^\d{1,6}(\.\d+)?$/.test(text) ? Number(text) : 0;
  if (value <= 0) throw new InvalidArgumentError('It must be a number above 0.');
  return value;
}
