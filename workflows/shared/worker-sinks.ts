import * as wf from '@temporalio/workflow';
import type { VideoProgress } from '../../src/contract/result.js';

/** What runs report to their worker, for its metrics; nothing of it is in the history, and no answer comes back. */
export interface WorkerSinks extends wf.Sinks {
  readonly wanVideo: {
    /**
     * A run has ended; `failureType` is null unless it failed. Repeated only when the worker dies before the server
     * knows.
     */
    runEnded(outcome: string, failureType: string | null): void;
    /** A message had no effect, because it is malformed or not meant for this run. */
    messageIgnored(message: string, why: 'malformed' | 'unexpected'): void;
    /** The account's slots have changed. Also called during replay, so that a worker that takes them over knows. */
    slots(limit: number, held: number, waiting: number, atMs: number): void;
  };
}

export const { wanVideo: workerSinks } = wf.proxySinks<WorkerSinks>();

/** Writes one log entry per transition, never on replay; Temporal adds workflow id, run id and type. */
export function logTransition(
  { stage, task_id: taskId, attempt }: VideoProgress,
  more: Readonly<Record<string, unknown>> = {},
): void {
  wf.log.info(`stage ${stage}`, { stage, taskId, attempt, ...more });
}
