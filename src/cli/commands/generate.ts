import type { Client } from '@temporalio/client';
import type { Command } from 'commander';
import { WanVideoClient } from '../../client/video-client.js';
import type { VideoRequest } from '../../contract/request.js';
import { invalidRequest } from '../../contract/validate.js';
import type { Issue } from '../../contract/video-error.js';
import { ExitCode } from '../../text/exit-code.js';
import { type WaitFlags, waitForResult, waitIssues } from '../await-video.js';
import type { CommandContext } from '../context.js';
import { planGeneration, planText } from '../dry-run.js';
import { collect, JSON_FLAG, RECEIVER_FLAG } from '../flags.js';
import { unlessInterrupted, withInterrupts } from '../interrupts.js';
import { type RequestFlags, readRequestInput } from '../request-input.js';
import { Settings } from '../settings.js';
import { generateTakes, takesIssues } from '../takes.js';
import { withTemporal } from '../with-temporal.js';
import { findWorkers, noWorkerWarning } from '../workers.js';

interface GenerateFlags extends RequestFlags, WaitFlags {
  readonly id?: string;
  readonly dryRun?: boolean;
  readonly takes?: string;
}

/** `wan-video generate`: one generation, with progress on stderr and the result on stdout. */
export function defineCommand(command: Command, context: CommandContext): void {
  command
    .description(
      'Runs one generation and waits for its video. Equal requests share one run, and a finished one is answered ' +
        'from the cache, so repeating a command buys nothing twice.',
    )
    .option('--prompt <text>', 'the motion you want, up to 1500 characters')
    .option('--image <path|url|->', 'first frame: a file, an http(s) URL, an asset: reference, or - for stdin')
    .option('--reference-upload <way>', 'provider (default): upload the image; as_is: hand over its https URL')
    .option('--reference-fit <way>', 'adapt (default): make the image fit; strict: refuse one that needs it')
    .option('--reference-background <#rrggbb>', 'colour behind transparent parts (default #ffffff)')
    .option('--duration <seconds>', 'whole seconds, 2 to 15 (default 4)')
    .option('--fps <n>', 'frames per second (default 30, as the provider renders)')
    .option('--size <W*H>', 'such as 1280*720 or 1920x1080 (default 1280*720)')
    .option('--seed <n>', '0 to 2147483647')
    .option('--takes <n>', 'so many videos of the request, with seeds counted up from --seed or 1')
    .option('--negative-prompt <text>', 'what you do not want, up to 500 characters')
    .option('--motion-strength <n>', 'forwarded to the provider, which may ignore it')
    .option('--audio', 'with sound, which costs more')
    .option('--no-audio', 'silent (default); overrides a request file')
    .option('--conform <rules>', 'off (default), exact, or fps=24,size=1280*720,shape=crop|pad,motion=duplicate|blend')
    .option('--poster', 'also store a JPEG of the first frame')
    .option('--cache <mode>', 'use (default), refresh: make a new one, off: share nothing')
    .option('--deadline <seconds>', 'fail when there is no video after this time')
    .option('--tenant <name>', 'who the video is for')
    .option(...RECEIVER_FLAG)
    .option('--label <name=value>', 'to find the run again; may be repeated', collect)
    .option('--id <id>', 'workflow id (default: derived from the request)')
    .option('--request <file>', 'a whole request as a JSON file; flags override it')
    .option('--output <path>', 'also copy the video there; an existing file is replaced')
    .option('--dry-run', 'show what would happen, and do nothing')
    .option('--detach', 'start the run and print its id, without waiting')
    .option('--quiet', 'show no progress')
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Ctrl-C cancels a run that this command started and reports what became of its task; press it again to end the command
and leave the run running.

Exit codes: 0 done; 1 the run failed; 2 the request is invalid, nothing was sent; 3 Temporal, store or provider cannot
be reached or is not set up; 4 a budget has no room for the video; 130 cancelled.

Examples:
  wan-video generate --prompt 'the boat drifts slowly' --image boat.jpg
  wan-video generate --prompt 'waves roll in' --image https://example.com/beach.png --duration 10 --size 1920*1080
  wan-video generate --request request.json --seed 7 --output clip.mp4 --json
  cat boat.jpg | wan-video generate --prompt 'the boat drifts' --image - --detach`,
    )
    .action(context.action((flags: GenerateFlags) => generate(flags, context)));
}

/** Checks everything, then connects, stages, starts and waits. */
async function generate(flags: GenerateFlags, context: CommandContext): Promise<number> {
  return withInterrupts(context.io, async (interrupts) => {
    const abortable = <T>(work: Promise<T>): Promise<T> =>
      unlessInterrupted(work, interrupts.first, 'Interrupted before anything was sent.');
    const input = await abortable(readRequestInput(flags, context.io, interrupts.first));
    const { local, fields } = input;
    try {
      const issues = [
        ...input.issues,
        ...(await flagIssues(flags, context.io.cwd)),
        ...(await takesIssues(flags, context.io.cwd)),
      ];
      if (issues.length > 0) throw invalidRequest(issues);
      const settings = new Settings(context.io);
      const { provider, taskQueues } = settings.config();
      const taskQueue = taskQueues.generate;
      // An image that the workers could not read is refused before the seconds of connecting.
      const store = local === undefined ? settings.store() : await settings.stagingStore();
      const run = async (client: Client): Promise<number> => {
        const pollers = await abortable(findWorkers(client, taskQueue, () => settings.apiKey()));
        if (flags.dryRun) {
          const reference_image = local === undefined ? input.reference : local.reference;
          const request = { ...fields, reference_image } as VideoRequest;
          const plan = await planGeneration(request, client, {
            id: flags.id,
            hasWorker: pollers.live,
            provider,
            ledger: settings.ledger(),
            readPrices: () => settings.prices(),
          });
          context.result(plan, planText(plan, taskQueue));
          return ExitCode.done;
        }
        const warning = noWorkerWarning(pollers, taskQueue, client.options.namespace, !flags.detach);
        if (warning !== undefined) context.say(warning);
        const reference_image =
          local === undefined ? input.reference : await abortable(local.stage(store, { signal: interrupts.first }));
        const videos = new WanVideoClient({ client, taskQueue, store });
        const request = { ...fields, reference_image } as VideoRequest;
        if (flags.takes !== undefined) return generateTakes(request, flags, { videos, store, context, interrupts });
        const started = await videos.start(request, { id: flags.id });
        const remark = started.joined ? joinedText(started.id, request) : `Started ${started.id}.`;
        return waitForResult(videos, started, remark, flags, { store, context, interrupts });
      };
      return await withTemporal(await settings.target(), run, abortable);
    } finally {
      await local?.dispose();
    }
  });
}

const joinedText = (id: string, { deadline_seconds }: VideoRequest): string =>
  `Joined ${id}, which an equal request had started.${
    deadline_seconds === undefined ? '' : "\nThat run's own deadline applies, not the one of this command."
  }`;

/** Temporal's own limit of an id (`limit.maxIDLength`, 1000), less what is put before it for files and children. */
const ID_BYTES_MAX = 900;

async function flagIssues({ id, output, detach, dryRun }: GenerateFlags, cwd: string): Promise<Issue[]> {
  const issues = await waitIssues({ output, detach }, cwd);
  if (id !== undefined && (id.trim() === '' || /\p{Cc}/u.test(id) || Buffer.byteLength(id) > ID_BYTES_MAX)) {
    issues.push({ path: 'id', message: `must be 1 to ${ID_BYTES_MAX} bytes of text without control characters` });
  }
  if (detach && dryRun) {
    issues.push({ path: 'detach', message: 'starts a run, which --dry-run does not; leave one of them out' });
  }
  return issues;
}
