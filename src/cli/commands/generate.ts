import type { Command } from 'commander';
import type { CommandContext } from '../context.js';
import type { GenerateFlags } from '../run-generate.js';

/** `wan-video generate`: one generation, with progress on stderr and the result on stdout. */
export function addGenerate(program: Command, context: CommandContext): void {
  program
    .command('generate')
    .summary('run one generation and wait for its video')
    .description(
      'Runs one generation and waits for its video. Equal requests share one run, and a finished one is answered from the ' +
        'cache, so repeating a command buys nothing twice.',
    )
    .option('--prompt <text>', 'the motion you want, up to 1500 characters')
    .option('--image <path|url|->', 'first frame: a file, an http(s) URL, an asset: reference, or - for stdin')
    .option('--duration <seconds>', 'whole seconds, 2 to 15 (default 4)')
    .option('--fps <n>', 'frames per second (default 24)')
    .option('--size <W*H>', 'such as 1280*720 or 1920x1080 (default 1280*720)')
    .option('--seed <n>', '0 to 2147483647')
    .option('--negative-prompt <text>', 'what you do not want, up to 500 characters')
    .option('--motion-strength <n>', 'forwarded to the provider, which may ignore it')
    .option('--audio', 'with sound, which costs more')
    .option('--no-audio', 'silent (default), also against a request file')
    .option('--cache <mode>', 'use (default), refresh: make a new one, off: share nothing')
    .option('--deadline <seconds>', 'give up when there is no video after this time')
    .option('--tenant <name>', 'whom it is for')
    .option('--label <name=value>', 'to find it again; may be repeated', (label: string, labels: string[] = []) => [
      ...labels,
      label,
    ])
    .option('--id <id>', 'workflow id (default: made of the request)')
    .option('--request <file>', 'a whole request as a JSON file; flags override it')
    .option('--output <path>', 'also copy the video there; an existing file is replaced')
    .option('--dry-run', 'say what would happen, and do nothing')
    .option('--detach', 'start it and print its id, without waiting')
    .option('--quiet', 'no progress')
    .option('--json', 'one JSON document on stdout, also for errors')
    .addHelpText(
      'after',
      `
Ctrl-C cancels a run that this command started and says what became of its task; again leaves it alone.

Exit codes: 0 done; 1 the run failed; 2 the request is invalid, nothing was sent; 3 Temporal, store or provider cannot
be reached or is not set up; 130 cancelled.

Examples:
  wan-video generate --prompt 'the boat drifts slowly' --image boat.jpg
  wan-video generate --prompt 'waves roll in' --image https://example.com/beach.png --duration 10 --size 1920*1080
  wan-video generate --request request.json --seed 7 --output clip.mp4 --json
  cat boat.jpg | wan-video generate --prompt 'the boat drifts' --image - --detach`,
    )
    .action(
      context.action(async (flags: GenerateFlags) => {
        const { runGenerate } = await import('../run-generate.js');
        return runGenerate(flags, context);
      }),
    );
}
