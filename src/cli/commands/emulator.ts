import { type Command, InvalidArgumentError } from 'commander';
import { ExitCode } from '../../text/exit-code.js';
import type { CommandContext } from '../context.js';

interface EmulatorFlags {
  readonly port: number;
  readonly speed: number;
  readonly state?: string;
}

/** `wan-video emulator`: the provider emulator alone. */
export function addEmulator(program: Command, context: CommandContext): void {
  program
    .command('emulator')
    .summary('run the provider emulator alone')
    .description(
      'Runs an emulated Model Studio on 127.0.0.1 until Ctrl-C or SIGTERM. It takes any key and bills nobody.',
    )
    .option('--port <n>', 'TCP port (default: a free one)', port, 0)
    .option('--speed <n>', 'how many times faster than the provider it renders', speed, 1)
    .option('--state <file>', 'where tasks survive a restart')
    .option('--json', 'one JSON document on stdout: the address, also for errors')
    .addHelpText(
      'after',
      `
Example:
  wan-video emulator --port 8080 --speed 20
  DASHSCOPE_HTTP_BASE_URL=http://127.0.0.1:8080/api/v1 DASHSCOPE_API_KEY=any wan-video worker`,
    )
    .action(
      context.action(async (flags: EmulatorFlags) => {
        const [{ startEmulator }, { aborted, withInterrupts }, { FailureType }, { VideoError }] = await Promise.all([
          import('../../emulator/index.js'),
          import('../interrupts.js'),
          import('../../contract/failure-type.js'),
          import('../../contract/video-error.js'),
        ]);
        const options = {
          port: flags.port,
          settings: { speed: flags.speed, clip: 'picture' } as const,
          ...(flags.state !== undefined && { stateFile: flags.state }),
        };
        const emulator = await startEmulator(options).catch((cause: unknown) => {
          if ((cause as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw cause;
          throw new VideoError(FailureType.ConfigurationInvalid, `Port ${flags.port} is in use`, {
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
      }),
    );
}

function port(text: string): number {
  const value = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value <= 65_535)) throw new InvalidArgumentError('It must be a whole number from 0 to 65535.');
  return value;
}

function speed(text: string): number {
  const value = /^\d{1,6}(\.\d+)?$/.test(text) ? Number(text) : 0;
  if (value <= 0) throw new InvalidArgumentError('It must be a number above 0.');
  return value;
}
