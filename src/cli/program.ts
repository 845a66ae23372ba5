import { Command, CommanderError } from 'commander';
import { ExitCode } from '../text/exit-code.js';
import { COMMANDS } from './command-table.js';
import { CommandContext } from './context.js';
import type { CommandIo } from './io.js';

/**
 * Runs one `wan-video` command.
 * @param args - The command's name and what follows it.
 * @returns its exit code; every failure has been reported by then, on stderr or, with `--json`, as JSON on stdout.
 */
export async function runCommand(args: readonly string[], io: CommandIo, version: string): Promise<number> {
  const context = new CommandContext(io, wantsJson(args));
  const program = await createProgram(args, context, version);
  try {
    await program.parseAsync(args, { from: 'user' });
    return context.exitCode;
  } catch (error) {
    return error instanceof CommanderError ? reportUsage(error, context, program, args) : reportFailure(error, context);
  }
}

async function createProgram(args: readonly string[], context: CommandContext, version: string): Promise<Command> {
  const program = new Command('wan-video')
    .description('Durable image-to-video generation with wan2.6-i2v-flash: bought once, never lost.')
    .version(version, '--version', 'print the version')
    .exitOverride()
    .showHelpAfterError(false)
    .configureOutput({
      writeOut: (text) => context.io.stdout.write(text),
      writeErr: () => {}, // `reportUsage` writes it, which knows about --json
      getOutHelpWidth: () => 120,
      getOutHasColors: () => false,
    });
  for (const { name, summary, load } of COMMANDS) {
    const command = program.command(name).summary(summary);
    // The one that runs, or whose help is requested; a value that happens to be a command's name loads one too many.
    if (args.includes(name)) (await load()).defineCommand(command, context);
  }
  program.addHelpText('after', '\nRun "wan-video help <command>" for the flags and examples of a command.');
  // The overview shows names alone: commands that are not loaded have no flags yet. Set last, the commands do not
  // inherit it.
  return program.configureHelp({ subcommandTerm: (command) => command.name() });
}

/** As far as it can be known before the arguments are read, so that a usage error is JSON too. */
function wantsJson(args: readonly string[]): boolean {
  const end = args.indexOf('--');
  return (end < 0 ? args : args.slice(0, end)).includes('--json');
}

function reportUsage(
  { code, exitCode, message }: CommanderError,
  context: CommandContext,
  program: Command,
  args: readonly string[],
): number {
  if (exitCode === 0) return ExitCode.done; // the help or the version was requested
  const fault =
    code === 'commander.help' ? 'a command is missing' : message.replace(/^error: /, '').replace(/\n/g, ' ');
  if (context.json) {
    const path = /option '(?:-\w, )?(--[\w-]+)/.exec(fault)?.[1] ?? '';
    const error = { type: 'InvalidRequest', message: fault, issues: [{ path, message: fault }], billed: false };
    context.result({ error }, '');
    return ExitCode.invalid;
  }
  context.say(`wan-video: ${fault}`);
  const group = program.commands.find((one) => one.name() === args[0]);
  if (code === 'commander.help') {
    context.say(`\n${(group ?? program).helpInformation()}`);
  } else if (group === undefined) {
    context.say('See "wan-video help" for the commands.');
  } else {
    const part = group.commands.find((one) => one.name() === args[1]);
    // "help batch retry" would show the help of `batch`.
    context.say(
      `See "wan-video ${part === undefined ? `help ${group.name()}` : `${group.name()} help ${part.name()}`}".`,
    );
  }
  return ExitCode.invalid;
}

async function reportFailure(error: unknown, context: CommandContext): Promise<number> {
  const { errorObject, errorText, exitCodeOf, secretsOf } = await import('../text/result.js');
  const secrets = secretsOf(context.io.env);
  if (context.json) context.result({ error: errorObject(error, secrets) }, '');
  else context.say(errorText(error, secrets));
  return exitCodeOf(error);
}
