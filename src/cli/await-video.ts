import { setTimeout as sleep } from 'node:timers/promises';
import { aborted } from '../async/aborted.js';
import { followVideo } from '../client/follow.js';
import { VideoRunError } from '../client/run-error.js';
import type { WanVideoClient } from '../client/video-client.js';
import type { StartedVideo } from '../client/video-start.js';
import type { VideoResult } from '../contract/result.js';
import { type Issue, VideoError } from '../contract/video-error.js';
import type { AssetStore } from '../storage/asset-store.js';
import { attentionText } from '../text/attention.js';
import { ExitCode } from '../text/exit-code.js';
import { progressLine } from '../text/progress-line.js';
import { resultText } from '../text/result.js';
import type { CommandContext } from './context.js';
import type { Interrupts } from './interrupts.js';
import { outputIssues, saveVideo } from './save-video.js';

/**
 * A cancelled run ends within 2 s, or 20 s while the provider has not answered a submit; beyond this no worker works on
 * it.
 */
const CANCEL_WAIT_MS = 30_000;

/** How long a command waits for a run, and what it shows. */
export interface WaitFlags {
  readonly output?: string | undefined;
  readonly detach?: boolean | undefined;
  readonly quiet?: boolean | undefined;
}

/** Faults of the flags, found before anything is sent. */
export async function waitIssues({ output, detach }: WaitFlags, cwd: string): Promise<Issue[]> {
  if (output === undefined) return [];
  const issues = await outputIssues(output, cwd);
  return detach
    ? [
        ...issues,
        { path: 'output', message: 'needs the video, which --detach does not wait for; leave one of them out' },
      ]
    : issues;
}

/**
 * Waits for a run that a command has started or joined, copies its video to `--output`, and prints the result; with
 * `--detach` it prints the id at once.
 * @param remark - What was started or joined, for people.
 */
export async function waitForResult(
  videos: WanVideoClient,
  started: StartedVideo,
  remark: string,
  { output, detach = false, quiet = false }: WaitFlags,
  { store, context, interrupts }: { store: AssetStore; context: CommandContext; interrupts: Interrupts },
): Promise<number> {
  if (detach) {
    context.result({ id: started.id, run_id: started.runId, joined: started.joined }, started.id);
    return ExitCode.done;
  }
  if (!quiet) context.say(remark);
  const result = await awaitVideo(videos, started, context, interrupts, { owned: !started.joined, quiet });
  if (output !== undefined) {
    const path = await saveVideo(result, store, output, context.io.cwd);
    if (!quiet) context.say(`Copied to ${path}.`, [path]);
  }
  context.result(result, resultText(result));
  return ExitCode.done;
}

/**
 * Waits for a run's video with progress on stderr. When the run is `owned`, the first interrupt cancels it and reports
 * what became of the task; otherwise, and at a second interrupt, the command ends and the run continues.
 * @throws VideoRunError as the run ended; `Interrupted` when the command ended before the run.
 */
export async function awaitVideo(
  videos: WanVideoClient,
  { id, runId }: Pick<StartedVideo, 'id' | 'runId'>,
  context: CommandContext,
  { first, second }: Interrupts,
  { owned, quiet }: { readonly owned: boolean; readonly quiet: boolean },
): Promise<VideoResult> {
  const line = progressLine(context.io.stderr, context.io.env);
  const stop = new AbortController();
  const continues = `The run continues; follow it with "wan-video watch ${id}".`;
  let shownSinceMs: number | undefined;
  const video = followVideo(
    videos,
    id,
    (progress) => {
      const { attention, since_ms } = progress;
      // Shown also with --quiet, as the run would wait forever otherwise. Once, and again after a refused decision.
      if (attention !== null && since_ms !== shownSinceMs) {
        line.end();
        context.say(attentionText(id, attention));
        shownSinceMs = since_ms;
      }
      if (!quiet) line.show(progress, Date.now());
    },
    { runId, signal: stop.signal },
  ).finally(() => line.end());
  video.catch(() => undefined); // it may end while an interrupt is handled
  try {
    if ((await Promise.race([video, aborted(first)])) !== 'aborted') return await video;
    line.end();
    if (!owned) throw interrupted(id, `The command ended; the run ${id} continues.`, continues);
    context.say('Cancelling the run; press Ctrl-C again to leave it running.');
    // A run that has ended meanwhile needs no cancel, and its end is what we wait for.
    await videos.cancel(id, 'interrupted at the command', { runId }).catch((error: unknown) => {
      if (!(error instanceof VideoRunError)) throw error;
    });
    const late = sleep(CANCEL_WAIT_MS, 'late' as const, { signal: stop.signal });
    late.catch(() => undefined);
    const end = await Promise.race([video, aborted(second), late]);
    if (end !== 'late' && end !== 'aborted') return end;
    const why = end === 'late' ? '; no worker seems to work on it' : '';
    throw interrupted(
      id,
      `The run ${id} was asked to end and has not ended yet${why}.`,
      `Check it later with "wan-video status ${id}".`,
    );
  } catch (error) {
    if (!(error instanceof VideoError) && !(error instanceof VideoRunError)) context.say(continues);
    throw error;
  } finally {
    stop.abort();
  }
}

const interrupted = (id: string, message: string, next_step: string): VideoRunError =>
  new VideoRunError(id, { type: 'Interrupted', message, next_step });
