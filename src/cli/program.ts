import { Command, CommanderError } from 'commander';
import { ExitCode } from '../text/exit-code.js';
import { COMMANDS, type CommandRow } from './command-table.js';
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
    // What follows `temporal` belongs to another program.
    const own = args[0] === 'temporal' ? ['temporal', '--', ...args.slice(1)] : args;
    await program.parseAsync(own, { from: 'user' });
    return context.exitCode;
  } catch (error) {
    return error instanceof CommanderError ? reportUsage(error, context, program, args) : reportFailure(error, context);
  }
}

async function createProgram(args: readonly string[], context: CommandContext, version: string): Promise<Command> {
  const program = new Command('wan-video')
    .description('Durable image-to-video generation with wan2.6-i2v-flash: bought once, never lost.')
    .version(version, '-v, --version', 'print the version')
    .exitOverride()
    .showHelpAfterError(false)
    .configureOutput({
      writeOut: (text) => context.io.stdout.write(text),
      writeErr: () => {}, // `reportUsage` writes it, which knows about --json
      getOutHelpWidth: () => 120,
      getOutHasColors: () => false,
    });
  for (const row of COMMANDS) {
    const command = program.command(row.name).summary(row.summary);
    // The one that runs, or whose help is requested; a value that happens to be a command's name loads one too many. A
    // completion needs all of them.
    if (args.includes(row.name) || args[0] === 'completion') await loadCommand(command, row, context);
  }
  program.addHelpText('after', '\nRun "wan-video help <command>" for the flags and examples of a command.');
  // The overview shows names alone: commands that are not loaded have no flags yet. Set last, the commands do not
  // inherit it.
  return program.configureHelp({ subcommandTerm: (command) => command.name() });
}

/** Adds a command's arguments, flags, help and action to it, which so far has a name and a summary. */
async function loadCommand(command: Command, { load, parts = 'temporal' }: CommandRow, context: CommandContext) {
  (await load()).defineCommand(command, context);
  if (parts === 'temporal') addTemporalFlags(command, context);
  // After the flags: one that names a Temporal is kept.
  if (parts === 'own') return;
  for (const one of actionsOf(command)) one.hook('preAction', () => context.useDev());
}

const actionsOf = (command: Command): readonly Command[] =>
  command.commands.length === 0 ? [command] : command.commands;

function addTemporalFlags(command: Command, context: CommandContext): void {
  for (const one of actionsOf(command)) {
    one
      .option('--address <host:port>', 'address of Temporal, instead of TEMPORAL_ADDRESS')
      .option('--namespace <name>', 'namespace of Temporal, instead of TEMPORAL_NAMESPACE')
      .hook('preAction', () => context.useTemporal(one.opts()));
  }
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
