import { WanVideoClient } from '../client/video-client.js';
import type { VideoRequest } from '../contract/request.js';
import { invalidRequest } from '../contract/validate.js';
import type { Issue } from '../contract/video-error.js';
import { openStore } from '../storage/open-store.js';
import { awaitVideo } from './await-video.js';
import type { CommandContext, ConnectedTemporal } from './context.js';
import { type Draft, type RequestFlags, readDraft } from './draft.js';
import { dryRun } from './dry-run.js';
import { ExitCode } from './exit-code.js';
import { type Interrupts, unlessInterrupted, withInterrupts } from './interrupts.js';
import { resultText } from './output.js';
import { pollersOf } from './pollers.js';
import { outputIssues, saveVideo } from './save-video.js';

/** Flags of `wan-video generate`. */
export interface GenerateFlags extends RequestFlags {
  readonly id?: string;
  readonly output?: string;
  readonly dryRun?: boolean;
  readonly detach?: boolean;
  readonly quiet?: boolean;
}

const NOTHING_SENT = 'Interrupted before anything was sent.';

/** Runs one generation: checks everything, then connects, stages, starts and waits. */
export async function runGenerate(flags: GenerateFlags, context: CommandContext): Promise<number> {
  return withInterrupts(context.io, async (interrupts) => {
    const { first } = interrupts;
    const early = <T>(work: Promise<T>): Promise<T> => unlessInterrupted(work, first, NOTHING_SENT);
    const draft = await early(readDraft(flags, context.io, first));
    try {
      const issues = [...draft.issues, ...(await flagIssues(flags, context.io.cwd))];
      if (issues.length > 0) throw invalidRequest(issues);
      return await context.temporal((temporal) => generate(flags, draft, temporal, context, interrupts), early);
    } finally {
      await draft.local?.dispose();
    }
  });
}

async function flagIssues({ id, output, detach, dryRun: dry }: GenerateFlags, cwd: string): Promise<Issue[]> {
  const issues = output === undefined ? [] : await outputIssues(output, cwd);
  if (id !== undefined && (id.trim() === '' || /\p{Cc}/u.test(id) || Buffer.byteLength(id) > ID_BYTES_MAX)) {
    issues.push({ path: 'id', message: `must be 1 to ${ID_BYTES_MAX} bytes of text without control characters` });
  }
  if (detach && output !== undefined) {
    issues.push({
      path: 'output',
      message: 'needs the video, which --detach does not wait for; leave one of them out',
    });
  }
  if (detach && dry)
    issues.push({ path: 'detach', message: 'starts a run, which --dry-run does not; leave one of them out' });
  return issues;
}

/** Temporal's own limit of an id (`limit.maxIDLength`, 1000), less what is put before it for files and children. */
const ID_BYTES_MAX = 900;

async function generate(
  flags: GenerateFlags,
  draft: Draft,
  { client, target }: ConnectedTemporal,
  context: CommandContext,
  interrupts: Interrupts,
): Promise<number> {
  const early = <T>(work: Promise<T>): Promise<T> => unlessInterrupted(work, interrupts.first, NOTHING_SENT);
  const config = await context.config();
  const store = openStore(config.store);
  const taskQueue = config.taskQueues.generate;
  const say = (line: string): void => {
    if (!flags.quiet) context.say(line);
  };

  // The worker may have a key of its own; without one here and without a worker nothing could ever be bought.
  const pollers = await early(pollersOf(client, taskQueue, Date.now()));
  if (!pollers.known) await context.apiKey();
  if (flags.dryRun) return dryRun(flags, draft, { client, store, config, pollers }, context);
  if (!pollers.live) {
    const told = `No worker polls the queue ${taskQueue} of the namespace ${target.namespace}: start one with "wan-video worker".`;
    context.say(flags.detach ? told : `${told} The run waits for it.`);
  }

  const { local } = draft;
  const reference =
    local === undefined ? draft.reference : await early(local.stage(store, { signal: interrupts.first }));
  const videos = new WanVideoClient({ client, taskQueue, store });
  const request = { ...draft.fields, reference_image: reference } as VideoRequest;
  const started = await videos.start(request, { id: flags.id });
  if (flags.detach) {
    context.result({ id: started.id, run_id: started.runId, joined: started.joined }, started.id);
    return ExitCode.done;
  }
  say(started.joined ? `Joined ${started.id}, which an equal request had started.` : `Started ${started.id}.`);
  if (started.joined && request.deadline_seconds !== undefined)
    say('Its own deadline holds, not that of this command.');
  const options = { owned: !started.joined, quiet: flags.quiet ?? false };
  const result = await awaitVideo(videos, started, context, interrupts, options);
  if (flags.output !== undefined) say(`Copied to ${await saveVideo(result, store, flags.output, context.io.cwd)}.`);
  context.result(result, resultText(result));
  return ExitCode.done;
}
