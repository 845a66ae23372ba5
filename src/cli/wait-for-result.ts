import type { StartedVideo, WanVideoClient } from '../client/video-client.js';
import type { Issue } from '../contract/video-error.js';
import type { AssetStore } from '../storage/asset-store.js';
import { ExitCode } from '../text/exit-code.js';
import { resultText } from '../text/result.js';
import { awaitVideo } from './await-video.js';
import type { CommandContext, ConnectedTemporal } from './context.js';
import type { Interrupts } from './interrupts.js';
import { type Pollers, pollersOf } from './pollers.js';
import { outputIssues, saveVideo } from './save-video.js';

/** How much of a run a command waits for and shows. */
export interface WaitFlags {
  readonly output?: string | undefined;
  readonly detach?: boolean | undefined;
  readonly quiet?: boolean | undefined;
}

/** What is wrong with the flags, told before anything is sent. */
export async function waitIssues({ output, detach }: WaitFlags, cwd: string): Promise<Issue[]> {
  const issues = output === undefined ? [] : await outputIssues(output, cwd);
  if (detach && output !== undefined) {
    issues.push({
      path: 'output',
      message: 'needs the video, which --detach does not wait for; leave one of them out',
    });
  }
  return issues;
}

/**
 * Who could take up a run, before one is started.
 * @throws VideoError `CredentialsMissing` when there is no key here and no worker that may have one: nothing could be bought.
 */
export async function workersFor(
  { client }: ConnectedTemporal,
  taskQueue: string,
  context: CommandContext,
): Promise<Pollers> {
  const pollers = await pollersOf(client, taskQueue, Date.now());
  if (!pollers.known) await context.apiKey();
  return pollers;
}

/** Says when nobody is there to take up a run. */
export function warnIfNoWorker(
  pollers: Pollers,
  taskQueue: string,
  { target }: ConnectedTemporal,
  context: CommandContext,
  { detach }: WaitFlags,
): void {
  if (pollers.live) return;
  const told = `No worker polls the queue ${taskQueue} of the namespace ${target.namespace}: start one with "wan-video worker".`;
  context.say(detach ? told : `${told} The run waits for it.`);
}

/** Waits for a run that a command has started or joined, and gives its result; with `--detach` its id at once. */
export async function waitForResult(
  videos: WanVideoClient,
  started: StartedVideo,
  flags: WaitFlags,
  run: {
    readonly store: AssetStore;
    readonly context: CommandContext;
    readonly interrupts: Interrupts;
    /** What was done, for people. */
    readonly remark: string;
  },
): Promise<number> {
  const { store, context, interrupts, remark } = run;
  if (flags.detach) {
    context.result({ id: started.id, run_id: started.runId, joined: started.joined }, started.id);
    return ExitCode.done;
  }
  if (!flags.quiet) context.say(remark);
  const options = { owned: !started.joined, quiet: flags.quiet ?? false };
  const result = await awaitVideo(videos, started, context, interrupts, options);
  if (flags.output !== undefined) {
    const path = await saveVideo(result, store, flags.output, context.io.cwd);
    if (!flags.quiet) context.say(`Copied to ${path}.`);
  }
  context.result(result, resultText(result));
  return ExitCode.done;
}
