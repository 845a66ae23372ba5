/** A command as a completion knows it. */
export interface CompletedCommand {
  /** Such as `batch start`. */
  readonly name: string;
  readonly summary: string;
  readonly flags: readonly CompletedFlag[];
  /** Names of the commands below it. */
  readonly commands: readonly string[];
}

/** A flag of a command. */
interface CompletedFlag {
  /** With its dashes. */
  readonly name: string;
  readonly summary: string;
  readonly takesValue: boolean;
  /** The values that it takes; empty: any. */
  readonly choices: readonly string[];
}

/** Shells that commands and flags can be completed in. */
export const SHELLS = ['bash', 'zsh', 'fish'] as const;

/** A script for a shell. It holds every name, because asking the command would cost its start at each key. */
export function completionScript(shell: (typeof SHELLS)[number], commands: readonly CompletedCommand[]): string {
  if (shell === 'fish') return fishScript(commands);
  return shell === 'zsh' ? zshScript(commands) : bashScript(commands);
}

const groupsOf = (commands: readonly CompletedCommand[]): string[] =>
  commands.filter((one) => one.commands.length > 0).map(({ name }) => name);
const topOf = (commands: readonly CompletedCommand[]): CompletedCommand[] =>
  commands.filter(({ name }) => !name.includes(' '));
const wordsOf = (one: CompletedCommand): string[] => [...one.commands, ...one.flags.map(({ name }) => name)];

/** The flags that take a value, by command: `batch report --format`. */
const valued = (commands: readonly CompletedCommand[]) =>
  commands.flatMap(({ name, flags }) =>
    flags.filter(({ takesValue }) => takesValue).map((flag) => ({ at: `${name} ${flag.name}`, ...flag })),
  );

function bashScript(commands: readonly CompletedCommand[]): string {
  const values = valued(commands);
  return `# Completion of wan-video for bash: eval "$(wan-video completion bash)"
_wan_video() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} key= words=
  [ "$COMP_CWORD" -ge 2 ] && key=\${COMP_WORDS[1]}
  case "$key" in
    ${groupsOf(commands).join('|')}) [ "$COMP_CWORD" -ge 3 ] && key="$key \${COMP_WORDS[2]}" ;;
  esac
  COMPREPLY=()
  case "$key $prev" in
${values
  .filter(({ choices }) => choices.length > 0)
  .map(({ at, choices }) => `    '${at}') COMPREPLY=($(compgen -W '${choices.join(' ')}' -- "$cur")); return ;;`)
  .join('\n')}
    ${values
      .filter(({ choices }) => choices.length === 0)
      .map(({ at }) => `'${at}'`)
      .join('|')}) return ;;
  esac
  case "$key" in
    '') words='${topOf(commands)
      .map(({ name }) => name)
      .join(' ')} help' ;;
${commands.map((one) => `    '${one.name}') words='${wordsOf(one).join(' ')}' ;;`).join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _wan_video wan-video
`;
}

/** Text in single quotes of a POSIX shell. */
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

function zshScript(commands: readonly CompletedCommand[]): string {
  const described = (name: string, summary: string): string =>
    quoted(`${name.replaceAll(':', '\\:')}:${summary.replaceAll(':', '\\:')}`);
  const values = valued(commands);
  const listOf = (one: CompletedCommand): string =>
    [
      ...one.commands.map((name) => [
        name,
        commands.find((other) => other.name === `${one.name} ${name}`)?.summary ?? '',
      ]),
      ...one.flags.map(({ name, summary }) => [name, summary]),
    ]
      .map(([name = '', summary = '']) => described(name, summary))
      .join(' ');
  return `#compdef wan-video
# Completion of wan-video for zsh: eval "$(wan-video completion zsh)", after compinit
_wan_video() {
  local key= prev=\${words[CURRENT-1]}
  local -a list
  (( CURRENT >= 3 )) && key=\${words[2]}
  case "$key" in
    ${groupsOf(commands).join('|')}) (( CURRENT >= 4 )) && key="$key \${words[3]}" ;;
  esac
  case "$key $prev" in
${values
  .filter(({ choices }) => choices.length > 0)
  .map(({ at, choices }) => `    '${at}') compadd -- ${choices.join(' ')}; return ;;`)
  .join('\n')}
    ${values
      .filter(({ choices }) => choices.length === 0)
      .map(({ at }) => `'${at}'`)
      .join('|')}) _files; return ;;
  esac
  case "$key" in
    '') list=(${topOf(commands)
      .map(({ name, summary }) => described(name, summary))
      .join(' ')}) ;;
${commands.map((one) => `    '${one.name}') list=(${listOf(one)}) ;;`).join('\n')}
  esac
  _describe -V wan-video list || _files
}
if [ "$funcstack[1]" = _wan_video ]; then _wan_video "$@"; else compdef _wan_video wan-video; fi
`;
}

function fishScript(commands: readonly CompletedCommand[]): string {
  const text = (words: string): string => `'${words.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  const lines = topOf(commands).map(
    ({ name, summary }) => `complete -c wan-video -f -n __fish_use_subcommand -a ${name} -d ${text(summary)}`,
  );
  for (const { name, summary, flags, commands: below } of commands) {
    const [group = '', part] = name.split(' ');
    const seen = (word: string): string => `__fish_seen_subcommand_from ${word}`;
    const here = part === undefined ? seen(group) : `${seen(group)}; and ${seen(part)}`;
    if (part !== undefined) {
      const siblings = commands.find((one) => one.name === group)?.commands ?? [];
      const none = `${seen(group)}; and not ${seen(siblings.join(' '))}`;
      lines.push(`complete -c wan-video -f -n ${text(none)} -a ${part} -d ${text(summary)}`);
    }
    if (below.length > 0) continue;
    for (const { name: flag, summary: what, takesValue, choices } of flags) {
      const value = choices.length > 0 ? ` -x -a ${text(choices.join(' '))}` : takesValue ? ' -r' : '';
      lines.push(`complete -c wan-video -n ${text(here)} -l ${flag.slice(2)}${value} -d ${text(what)}`);
    }
  }
  return `# Completion of wan-video for fish: wan-video completion fish | source\n${lines.join('\n')}\n`;
}
