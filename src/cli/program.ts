import { Command, CommanderError } from 'commander';
import { ExitCode } from '../text/exit-code.js';
import { addBatch } from './commands/batch.js';
import { addCancel } from './commands/cancel.js';
import { addCost } from './commands/cost.js';
import { addDev } from './commands/dev.js';
import { addDoctor } from './commands/doctor.js';
import { addEmulator } from './commands/emulator.js';
import { addGenerate } from './commands/generate.js';
import { addList } from './commands/list.js';
import { addPresign } from './commands/presign.js';
import { addPurge } from './commands/purge.js';
import { addResolve } from './commands/resolve.js';
import { addRetry } from './commands/retry.js';
import { addSchedule } from './commands/schedule.js';
import { addSetup } from './commands/setup.js';
import { addSlots } from './commands/slots.js';
import { addStage } from './commands/stage.js';
import { addStatus } from './commands/status.js';
import { addWatch } from './commands/watch.js';
import { addWebhook } from './commands/webhook.js';
import { addWorker } from './commands/worker.js';
import { CommandContext } from './context.js';
import type { CommandIo } from './io.js';

/** Every command, in the order of the help text. */
const COMMANDS = [
  addGenerate,
  addStatus,
  addWatch,
  addCancel,
  addRetry,
  addResolve,
  addList,
  addBatch,
  addSchedule,
  addPresign,
  addStage,
  addCost,
  addPurge,
  addSlots,
  addWorker,
  addDev,
  addEmulator,
  addSetup,
  addWebhook,
  addDoctor,
];

/**
 * Runs one `wan-video` command.
 * @param args - The command's name and what follows it.
 * @returns its exit code; every failure has been told by then, on stderr or, with `--json`, as JSON on stdout.
 */
export async function runCommand(args: readonly string[], io: CommandIo, version: string): Promise<number> {
  const context = new CommandContext(io, jsonWanted(args));
  const program = createProgram(context, version);
  try {
    await program.parseAsync(args, { from: 'user' });
    return context.exitCode;
  } catch (error) {
    return error instanceof CommanderError ? usageError(error, context, program, args) : failure(error, context);
  }
}

function createProgram(context: CommandContext, version: string): Command {
  const program = new Command('wan-video')
    .description('Durable image-to-video generation with wan2.6-i2v-flash: bought once, never lost.')
    .version(version, '--version', 'print the version')
    .exitOverride()
    .showHelpAfterError(false)
    .configureOutput({
      writeOut: (text) => context.io.stdout.write(text),
      writeErr: () => {}, // told by `usageError`, which knows about --json
      getOutHelpWidth: () => 120,
      getOutHasColors: () => false,
    });
  for (const add of COMMANDS) add(program, context);
  return program;
}

/** As far as it can be known before the arguments are read, so that a usage error is JSON too. */
function jsonWanted(args: readonly string[]): boolean {
  const end = args.indexOf('--');
  return (end < 0 ? args : args.slice(0, end)).includes('--json');
}

function usageError(
  { code, exitCode, message }: CommanderError,
  context: CommandContext,
  program: Command,
  args: readonly string[],
): number {
  if (exitCode === 0) return ExitCode.done; // help or version, which was asked for
  const fault =
    code === 'commander.help' ? 'a command is missing' : message.replace(/^error: /, '').replace(/\n/g, ' ');
  if (context.json) {
    const path = /option '(?:-\w, )?(--[\w-]+)/.exec(fault)?.[1] ?? '';
    const error = { type: 'InvalidRequest', message: fault, issues: [{ path, message: fault }], billed: false };
    context.result({ error }, '');
  } else {
    // `wan-video batch` alone is asked for its own commands.
    const group = program.commands.find((one) => one.name() === args[0]);
    const part = group?.commands.find((one) => one.name() === args[1]);
    // Not "help batch retry", which shows the help of `batch`.
    const help = part === undefined ? `help ${group?.name()}` : `${group?.name()} help ${part.name()}`;
    const more = group === undefined ? 'See "wan-video help" for the commands.' : `See "wan-video ${help}".`;
    context.say(`wan-video: ${fault}`);
    context.say(code === 'commander.help' ? `\n${(group ?? program).helpInformation()}` : more);
  }
  return ExitCode.invalid;
}

async function failure(error: unknown, context: CommandContext): Promise<number> {
  const { errorObject, errorText, exitCodeOf, secretsOf } = await import('../text/result.js');
  const secrets = secretsOf(context.io.env);
  if (context.json) context.result({ error: errorObject(error, secrets) }, '');
  else context.say(errorText(error, secrets));
  return exitCodeOf(error);
}
