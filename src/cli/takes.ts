import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { seedsOfTakes, takesFault } from '../batch/takes.js';
import type { WanVideoClient } from '../client/video-client.js';
import type { VideoRequest } from '../contract/request.js';
import type { Issue } from '../contract/video-error.js';
import type { AssetStore } from '../storage/asset-store.js';
import { ExitCode } from '../text/exit-code.js';
import { errorObject, exitCodeOf, secretsOf } from '../text/result.js';
import { table } from '../text/table.js';
import { awaitVideo, type WaitFlags } from './await-video.js';
import type { CommandContext } from './context.js';
import type { Interrupts } from './interrupts.js';
import { numeric } from './request-input.js';
import { saveVideo } from './save-video.js';

/** Flags that several videos of one request depend on. */
interface TakesFlags extends WaitFlags {
  readonly takes?: string | undefined;
  readonly id?: string | undefined;
  readonly dryRun?: boolean | undefined;
}

/** What the takes are started with. */
interface TakesParts {
  readonly videos: WanVideoClient;
  readonly store: AssetStore;
  readonly context: CommandContext;
  readonly interrupts: Interrupts;
}

/** Faults of `--takes`, and of what does not go with it. */
export async function takesIssues({ takes, output, dryRun }: TakesFlags, cwd: string): Promise<Issue[]> {
  if (takes === undefined) return [];
  const message = takesFault(numeric(takes));
  if (message !== undefined) return [{ path: 'takes', message }];
  const issues: Issue[] = [];
  if (dryRun === true) {
    issues.push({
      path: 'takes',
      message: 'is not estimated here; use "batch start --dry-run" with takes in its line',
    });
  }
  const isFolder = output === undefined || (await stat(resolve(cwd, output)).catch(() => undefined))?.isDirectory();
  if (isFolder !== true) issues.push({ path: 'output', message: 'must be a folder that exists: each take is a file' });
  return issues;
}

/**
 * Starts a run for each take of a request and waits for all of them; prints a line for each.
 * @returns the exit code of the first one that failed, in their order.
 */
export async function generateTakes(
  request: VideoRequest,
  { takes, id, output, detach = false }: TakesFlags,
  { videos, store, context, interrupts }: TakesParts,
): Promise<number> {
  const seeds = seedsOfTakes(request.seed, Number(takes));
  const runs = await Promise.all(
    seeds.map(async (seed, index) => {
      const take = index + 1;
      return { take, seed, ...(await videos.start({ ...request, seed }, { id: id && `${id}-${take}` })) };
    }),
  );
  if (detach) {
    const started = runs.map((run) => ({ ...nameOf(run), run_id: run.runId, joined: run.joined }));
    context.result({ takes: started }, runs.map((run) => run.id).join('\n'));
    return ExitCode.done;
  }
  const secrets = secretsOf(context.io.env);
  const ends = await Promise.all(
    runs.map(async (run) => {
      try {
        const result = await awaitVideo(videos, run, context, interrupts, { owned: !run.joined, quiet: true });
        if (output !== undefined) await saveVideo(result, store, output, context.io.cwd);
        return { ...nameOf(run), result, error: null, exitCode: ExitCode.done };
      } catch (error) {
        return { ...nameOf(run), result: null, error: errorObject(error, secrets), exitCode: exitCodeOf(error) };
      }
    }),
  );
  const rows = ends.map(({ take, seed, result, error }) => [
    String(take),
    String(seed),
    result?.source ?? error?.type ?? '',
    result === null ? '' : `${result.usage.billed_seconds} s`,
    result?.video_url ?? error?.message ?? '',
  ]);
  context.result(
    { takes: ends.map(({ exitCode: _, ...end }) => end) },
    table(['TAKE', 'SEED', 'OUTCOME', 'BILLED', 'VIDEO'], rows),
  );
  return ends.find(({ exitCode }) => exitCode !== ExitCode.done)?.exitCode ?? ExitCode.done;
}

const nameOf = ({ take, seed, id }: { readonly take: number; readonly seed: number; readonly id: string }) => ({
  take,
  seed,
  id,
});
