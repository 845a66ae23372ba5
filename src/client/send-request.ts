import { randomUUID } from 'node:crypto';
import {
  type Client,
  type WorkflowHandle,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  type WorkflowUpdateHandle,
  WorkflowUpdateRPCTimeoutOrCancelledError,
} from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import type { VideoErrorObject } from '../contract/failure.js';
import { FailureType } from '../contract/failure-type.js';
import { grpcCodeOf } from './connect.js';
import { QUERY_TIMEOUT_MS } from './query-progress.js';
import { VideoRunError } from './run-error.js';

/** Longest wait for what an accepted request does: the end of a cancelled run, or the effect of a decision. */
const ANSWER_TIMEOUT_MS = 30_000;

/** gRPC statuses of a server that is too old for Updates, or has them disabled: PERMISSION_DENIED, UNIMPLEMENTED. */
const NO_UPDATES: readonly (number | undefined)[] = [7, 12];

/** A request to a run or a batch. */
export interface RunRequest {
  /** Name of the Update, which is also that of the signal. */
  readonly name: string;
  readonly argument: unknown;
  /**
   * What is done when it is not known whether a worker takes the request. `signal`: Temporal keeps it as a signal,
   * which may be a repetition. `fail`: nothing, because a repetition could mean something else.
   */
  readonly unanswered: 'signal' | 'fail';
}

/**
 * Sends a request as an Update and returns its answer. A worker that is too old for it gets a signal.
 * @param id - As the caller knows the run or batch.
 * @returns null when there is no answer: the request is kept and takes effect once a worker runs, or its effect takes
 * longer than 30 s.
 * @throws VideoRunError `MessageRefused` with the run's reason, `NoWorker`; WorkflowNotFoundError.
 */
export async function sendRequest<Answer>(
  client: Client,
  { id, handle }: { readonly id: string; readonly handle: WorkflowHandle },
  { name, argument, unanswered }: RunRequest,
): Promise<Answer | null> {
  const within = <T>(ms: number, call: () => Promise<T>): Promise<T> => client.withDeadline(Date.now() + ms, call);
  const signal = async (): Promise<null> => {
    await handle.signal(name, argument);
    return null;
  };
  let accepted: WorkflowUpdateHandle<Answer>;
  try {
    accepted = await within(QUERY_TIMEOUT_MS, () =>
      handle.startUpdate<Answer, [unknown, ...unknown[]]>(name, {
        args: [argument],
        updateId: randomUUID(),
        waitForStage: 'ACCEPTED',
      }),
    );
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) throw error;
    if (unanswered === 'signal' || NO_UPDATES.includes(grpcCodeOf(error))) return signal();
    if (!(error instanceof WorkflowUpdateRPCTimeoutOrCancelledError)) throw error;
    throw new VideoRunError(
      id,
      {
        type: FailureType.NoWorker,
        message: `No worker took the request "${name}" within ${QUERY_TIMEOUT_MS / 1000} s`,
        next_step: 'Start a worker with "wan-video worker", and look whether the request has had its effect by then.',
      },
      error,
    );
  }
  try {
    return await within(ANSWER_TIMEOUT_MS, () => accepted.result());
  } catch (error) {
    if (error instanceof WorkflowUpdateFailedError) {
      const refused = refusalOf(error);
      if (refused !== undefined) throw new VideoRunError(id, refused, error);
      if (isUnknownUpdate(error)) return signal();
    }
    // The request is in the history, and its answer is late or the run ended before it.
    return null;
  }
}

/** The published failure with which a run has refused a request. */
function refusalOf({ cause }: WorkflowUpdateFailedError): VideoErrorObject | undefined {
  if (!(cause instanceof ApplicationFailure) || cause.type !== FailureType.MessageRefused) return undefined;
  const detail = cause.details?.[0] as VideoErrorObject | undefined;
  return detail ?? { type: FailureType.MessageRefused, message: cause.message };
}

/** Whether the worker's version of the workflow has no such Update. */
const isUnknownUpdate = ({ cause }: WorkflowUpdateFailedError): boolean =>
  cause !== undefined && /no registered handler/i.test(cause.message);
