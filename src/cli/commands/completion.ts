import { Argument, type Command } from 'commander';
import { type CompletedCommand, completionScript, SHELLS } from '../../text/completion.js';
import { ExitCode } from '../../text/exit-code.js';
import type { CommandContext } from '../context.js';

/** `wan-video completion`: commands and flags at the Tab key. */
export function defineCommand(command: Command, context: CommandContext): void {
  command
    .description('Prints a script for your shell that completes the commands, their flags and the values of flags.')
    .addArgument(new Argument('<shell>', 'your shell').choices(SHELLS))
    .addHelpText(
      'after',
      `
Examples: one of these lines, in the file that your shell reads at its start
  eval "$(wan-video completion bash)"      # ~/.bashrc
  eval "$(wan-video completion zsh)"       # ~/.zshrc, after compinit
  wan-video completion fish | source       # ~/.config/fish/config.fish`,
    )
    .action(
      context.action(async (shell: (typeof SHELLS)[number]) => {
        // Every command is loaded for this one.
        const commands = command.parent?.commands.flatMap((one) => completed(one)) ?? [];
        context.io.stdout.write(completionScript(shell, commands));
        return ExitCode.done;
      }),
    );
}

function completed(command: Command, group = ''): CompletedCommand[] {
  const flags = command.options.flatMap(({ long, description, required, optional, argChoices = [] }) =>
    long == null ? [] : [{ name: long, summary: description, takesValue: required || optional, choices: argChoices }],
  );
  const name = `${group}${command.name()}`;
  const summary = command.summary();
  const below = command.commands.map((one) => one.name());
  return [{ name, summary, flags, commands: below }, ...command.commands.flatMap((one) => completed(one, `${name} `))];
}
