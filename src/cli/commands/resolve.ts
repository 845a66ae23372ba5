import type { Client } from '@temporalio/client';
import type { Command } from 'commander';
import { VideoRunError } from '../../client/run-error.js';
import { WanVideoClient } from '../../client/video-client.js';
import type { VideoErrorObject } from '../../contract/failure.js';
import { FailureType } from '../../contract/failure-type.js';
import type { SubmitDecision } from '../../contract/result.js';
import { invalidRequest } from '../../contract/validate.js';
import { ExitCode } from '../../text/exit-code.js';
import type { CommandContext } from '../context.js';
import { JSON_FLAG } from '../flags.js';
import { Settings } from '../settings.js';
import { withTemporal } from '../with-temporal.js';

/** Exactly one of the two decides. */
interface ResolveFlags {
  readonly task?: string;
  readonly buy?: boolean;
}

/** `wan-video resolve`: a person's decision about a lost submit. */
export function defineCommand(command: Command, context: CommandContext): void {
  command
    .description(
      'Decides for a run (or a salvage) in needs_attention what became of its submit: which task belongs to it, or ' +
        'that none does and another may be bought. Waits a moment and reports whether the decision was accepted: ' +
        'exit code 0 when it was, else 1.',
    )
    .argument('<id>', 'workflow id, as generate prints it')
    .option('--task <id>', 'this task belongs to the run; its video is archived')
    .option('--buy', 'no task belongs to the run; buy another one')
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Examples:
  wan-video resolve video/0a1b2c3d --task 0385dc79-5ff8-4d82-bcb6-7a3f9a1b2c3d
  wan-video resolve video/0a1b2c3d --buy`,
    )
    .action(
      context.action(async (id: string, flags: ResolveFlags) => {
        const decision = decisionOf(flags);
        const target = await new Settings(context.io).target();
        return withTemporal(target, (client) => resolve(id, decision, client, context));
      }),
    );
}

function decisionOf({ task, buy }: ResolveFlags): SubmitDecision {
  if ((task === undefined) === (buy === undefined)) {
    throw invalidRequest([{ path: '--task', message: 'or --buy is needed, and only one of the two' }]);
  }
  if (task === undefined) return { buy_again: true };
  if (task.trim() === '') throw invalidRequest([{ path: '--task', message: 'is empty: give the id of a task' }]);
  return { task_id: task };
}

/** Sends a decision, and reports whether the run has accepted it. */
async function resolve(id: string, decision: SubmitDecision, client: Client, context: CommandContext): Promise<number> {
  const videos = new WanVideoClient({ client });
  const { run_id: runId, status, progress, problem } = await videos.describe(id);
  const next_step = `Check it with "wan-video status ${id}".`;
  const notResolved = (message: string, more: Pick<VideoErrorObject, 'next_step'> = { next_step }) =>
    new VideoRunError(id, { type: 'NotResolved', message, ...more });
  if (progress === null) {
    const why = problem ?? 'no worker answers for it';
    const start = { next_step: 'Start a worker with "wan-video worker".' };
    throw notResolved(`The run ${id} cannot take a decision now: ${why}`, start);
  }
  // A decision without a question has no effect.
  if (status !== 'running' || progress.stage !== 'needs_attention') {
    throw notResolved(`The run ${id} waits for no decision: it is ${status}, stage ${progress.stage}`);
  }
  const answer = await videos.resolve(id, decision, { runId }).catch((error: unknown) => {
    if (!(error instanceof VideoRunError) || error.error.type !== FailureType.MessageRefused) throw error;
    const decideAgain = { next_step: `Decide again; "wan-video status ${id}" shows the commands.` };
    throw notResolved(`The decision was refused: ${error.message}`, decideAgain);
  });
  if (answer === null) {
    throw notResolved(`The decision was sent to ${id}, and nothing shows yet that it was accepted`);
  }
  const task = 'task_id' in decision ? decision.task_id : undefined;
  const { task_id } = answer;
  if (task !== undefined && task_id !== null && task_id !== task) {
    throw notResolved(`The run ${id} had been decided otherwise before: it continues with task ${task_id}`);
  }
  const { stage } = await videos.progress(id, { runId });
  const continues = ['done', 'failed', 'cancelled', 'budget_reached'].includes(stage)
    ? `has ended: ${stage}`
    : `continues: ${stage}`;
  const effect =
    task === undefined ? 'another task is bought if it is still needed' : `task ${task} belongs to the run`;
  context.result(
    { id, run_id: runId, decision, stage, task_id },
    `The decision was accepted: ${effect}. The run ${continues}.`,
  );
  return ExitCode.done;
}
