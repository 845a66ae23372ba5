import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import type { Command } from 'commander';
import { VideoRunError } from '../../client/run-error.js';
import { notCancellable } from '../../client/run-kind.js';
import { WanVideoClient } from '../../client/video-client.js';
import { UNATTENDED } from '../../client/video-run.js';
import { FailureType } from '../../contract/failure-type.js';
import { ExitCode } from '../../text/exit-code.js';
import type { CommandContext } from '../context.js';
import { JSON_FLAG } from '../flags.js';
import { Settings } from '../settings.js';
import { withTemporal } from '../with-temporal.js';

/** A run ends within 2 s of a cancel, or 20 s while the provider has not answered a submit. */
const WAIT_MS = 30_000;
/** Describing a run costs no Action. */
const CHECK_EVERY_MS = 1_000;

/** Types of the errors with which a run answers that ends or has ended. */
const TOO_LATE: readonly string[] = [FailureType.RunNotFound, FailureType.MessageRefused];

/** `wan-video cancel`: ends a run, and reports what became of its task. */
export function defineCommand(command: Command, context: CommandContext): void {
  command
    .description(
      'Cancels a run, waits for its end, and reports what became of the task at the provider and whether it is ' +
        'billed. Exit code 0 when the run is cancelled, also when it was before; 1 when it had ended otherwise or ' +
        'does not end.',
    )
    .argument('<id>', 'workflow id, as generate prints it')
    .option('--reason <text>', 'kept in the history of the run', 'cancelled at the command')
    .option(...JSON_FLAG)
    .addHelpText('after', "\nExample:\n  wan-video cancel video/0a1b2c3d --reason 'wrong picture'")
    .action(
      context.action(async (id: string, { reason }: { reason: string }) => {
        const target = await new Settings(context.io).target();
        return withTemporal(target, (client) => cancel(id, reason, client, context));
      }),
    );
}

async function cancel(id: string, reason: string, client: Client, context: CommandContext): Promise<number> {
  const videos = new WanVideoClient({ client });
  const { run_id: runId, status, workflow_type } = await videos.describe(id, { progress: false });
  const refusal = notCancellable(id, workflow_type);
  if (refusal !== undefined) throw refusal;
  if (status === 'running') {
    // It may end by itself between the two calls; its outcome is reported below.
    await videos.cancel(id, reason, { runId }).catch((error: unknown) => {
      if (!(error instanceof VideoRunError && TOO_LATE.includes(error.error.type))) throw error;
    });
  }
  const timer = new AbortController();
  try {
    const end = await Promise.race([videos.result(id, { runId }), findProblem(videos, id, runId, timer.signal)]);
    if (!('problem' in end)) {
      const message = `The run ${id} had already ended with a video: ${end.video_url}`;
      throw new VideoRunError(id, { type: 'NotCancelled', message });
    }
    throw new VideoRunError(id, {
      type: 'NotCancelled',
      message: `The run ${id} was asked to end and has not ended yet: ${end.problem ?? 'nothing shows why'}`,
      next_step: `It ends once a worker picks it up; then check it with "wan-video status ${id}".`,
    });
  } catch (error) {
    if (!(error instanceof VideoRunError) || !error.cancelled) throw error;
    const { message, task_id = null, billed = null } = error.error;
    context.result({ id, run_id: runId, status: 'cancelled', message, task_id, billed }, message);
    return ExitCode.done;
  } finally {
    timer.abort();
  }
}

/** What keeps a run from ending: at once when no worker picks it up, else when the wait is over. */
async function findProblem(
  videos: WanVideoClient,
  id: string,
  runId: string,
  signal: AbortSignal,
): Promise<{ readonly problem: string | null }> {
  let problem: string | null = null;
  for (const untilMs = Date.now() + WAIT_MS; Date.now() < untilMs && !signal.aborted; ) {
    await sleep(CHECK_EVERY_MS, undefined, { signal }).catch(() => undefined);
    // A Temporal that does not answer for a moment says nothing about the run.
    const status = await videos.describe(id, { runId, progress: false }).catch(() => undefined);
    problem = status?.problem ?? null;
    if (problem?.startsWith(UNATTENDED)) break;
  }
  return { problem };
}
