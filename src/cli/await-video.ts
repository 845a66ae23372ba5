import { setTimeout as sleep } from 'node:timers/promises';
import { followVideo } from '../client/follow.js';
import { VideoRunError } from '../client/run-error.js';
import type { StartedVideo, WanVideoClient } from '../client/video-client.js';
import type { VideoResult } from '../contract/result.js';
import { VideoError } from '../contract/video-error.js';
import { progressLine } from '../text/progress-line.js';
import { attentionText } from './attention.js';
import type { CommandContext } from './context.js';
import { aborted, type Interrupts } from './interrupts.js';

/** A cancelled run ends within 2 s, or 20 s while a purchase is being answered; beyond this nobody works on it. */
const CANCEL_WAIT_MS = 30_000;

/**
 * Waits for a run's video with progress on stderr. The first interrupt cancels the run when `owned`, and says what became
 * of the task; otherwise it leaves the run alone, as does a second interrupt.
 * @throws VideoRunError as the run ended; `Interrupted` when it was left alone.
 */
export async function awaitVideo(
  videos: WanVideoClient,
  { id, runId }: Pick<StartedVideo, 'id' | 'runId'>,
  context: CommandContext,
  interrupts: Interrupts,
  { owned, quiet }: { readonly owned: boolean; readonly quiet: boolean },
): Promise<VideoResult> {
  const line = progressLine(context.io.stderr, context.io.env);
  const stop = new AbortController();
  const goesOn = `The run goes on; follow it with "wan-video watch ${id}".`;
  const left = () =>
    new VideoRunError(id, { type: 'Interrupted', message: `Left the run ${id} alone.`, next_step: goesOn });
  let toldMs: number | undefined;
  const video = followVideo(
    videos,
    id,
    (progress) => {
      const { attention, since_ms } = progress;
      // Told also with --quiet: without a person the command would wait for ever. Once, and again after a refused decision.
      if (attention !== null && since_ms !== toldMs) {
        line.end();
        context.say(attentionText(id, attention));
        toldMs = since_ms;
      }
      if (!quiet) line.show(progress, Date.now());
    },
    { runId, signal: stop.signal },
  ).finally(() => line.end());
  video.catch(() => undefined); // it may end while nobody waits for it
  try {
    if ((await Promise.race([video, aborted(interrupts.first)])) !== 'aborted') return await video;
    line.end();
    if (!owned) throw left();
    context.say('Cancelling the run; once more leaves it alone.');
    // A run that has ended meanwhile needs no cancel, and its end is what we wait for.
    await videos.cancel(id, 'interrupted at the command', { runId }).catch((error: unknown) => {
      if (!(error instanceof VideoRunError)) throw error;
    });
    const late = sleep(CANCEL_WAIT_MS, 'late' as const, { signal: stop.signal });
    late.catch(() => undefined);
    const end = await Promise.race([video, aborted(interrupts.second), late]);
    if (end !== 'late' && end !== 'aborted') return end;
    const why = end === 'late' ? '; no worker seems to work on it' : '';
    throw new VideoRunError(id, {
      type: 'Interrupted',
      message: `The run ${id} was asked to end and has not done so yet${why}.`,
      next_step: `See what became of it with "wan-video status ${id}".`,
    });
  } catch (error) {
    if (!(error instanceof VideoError) && !(error instanceof VideoRunError)) context.say(goesOn);
    throw error;
  } finally {
    stop.abort();
  }
}
