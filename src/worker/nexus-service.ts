import { type Client, WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import { operationInfo, startWorkflow, type WorkflowHandle, WorkflowRunOperationHandler } from '@temporalio/nexus';
import { HandlerError, type ServiceHandler, type StartOperationContext, serviceHandler } from 'nexus-rpc';
import { systemClock, within } from '../async/clock.js';
import { runSummary } from '../batch/run-summary.js';
import { batchIdTaken } from '../client/batch-errors.js';
import { checkBatchId } from '../client/batch-options.js';
import { asNotFound } from '../client/not-found.js';
import { queryProgress } from '../client/query-progress.js';
import { VideoRunError } from '../client/run-error.js';
import { hasVideo, otherKind } from '../client/run-kind.js';
import { batchDetails, staticDetails } from '../client/run-texts.js';
import { sendRequest } from '../client/send-request.js';
import { batchInputIssues } from '../contract/batch-input.js';
import { toFailure, type VideoErrorObject } from '../contract/failure.js';
import { FailureType } from '../contract/failure-type.js';
import {
  BATCH_MEMO,
  batchWorkflowId,
  CANCEL_SIGNAL,
  type VideoGenerate,
  videoWorkflowId,
  WorkflowType,
} from '../contract/names.js';
import type { CancelOutcome, VideoResult } from '../contract/result.js';
import { canonicalHash, invalidRequest, parseRequest, requestFingerprint } from '../contract/validate.js';
import { VideoError } from '../contract/video-error.js';
import { cancelOutcomeOf, videoFailed } from '../workflow/video-failed.js';
import { videoService } from '../workflow/video-service.js';

/** Longest wait for the end of a cancelled run: the server bounds the answer of a handler to ten seconds. */
const CANCEL_ANSWER_MS = 7_000;
/** The type of an operation token that names a workflow. */
const WORKFLOW_RUN_TOKEN = 1;

/** The services of a worker: none for a server without Nexus, which would end a worker that polls for operations. */
export async function nexusServicesOf(client: Client): Promise<ServiceHandler[]> {
  const { capabilities } = await client.workflowService.getSystemInfo({});
  return capabilities?.nexus === true ? [videoServiceHandler(client)] : [];
}

/**
 * What a worker does for the Nexus callers of its queue. Each operation that buys is a run with the id of its request,
 * which equal calls join, from any namespace and language.
 * @param client - Of the worker; for what is no start of an operation's own run.
 */
function videoServiceHandler(client: Client): ServiceHandler<(typeof videoService)['operations']> {
  const generate = new WorkflowRunOperationHandler((context, input) =>
    answering(() => startVideo(client, context, input)),
  );
  return serviceHandler(videoService, {
    generate: {
      start: (context, input) => generate.start(context, input),
      // The run may have ended by then, and a repetition would not find it either.
      cancel: (_context, token) => answering(() => cancelOperation(client, token)),
    },
    status: (_context, input) =>
      answering(async () => {
        const id = runIdOf(input);
        await requireKind(client, id);
        return queryProgress(client, id);
      }),
    cancel: (_context, input) => answering(() => cancelRun(client, input)),
    startBatch: (_context, input) => answering(() => startBatch(client, input)),
  });
}

/** Starts the run of a request, or joins it. */
async function startVideo(
  client: Client,
  context: StartOperationContext,
  input: unknown,
): Promise<WorkflowHandle<VideoResult>> {
  const request = parseRequest(input);
  const fingerprint = requestFingerprint(request);
  // With "off" each operation is for a new video. Its own repetitions have one request id, and start no second run.
  const isShared = request.cache !== 'off';
  const workflowId = videoWorkflowId(isShared ? fingerprint : `${fingerprint}/${context.requestId}`);
  const handle = await startWorkflow<VideoGenerate>(context, WorkflowType.videoGenerate, {
    workflowId,
    args: [request],
    workflowIdConflictPolicy: 'USE_EXISTING',
    workflowIdReusePolicy: isShared ? 'ALLOW_DUPLICATE' : 'REJECT_DUPLICATE',
    staticSummary: runSummary(request),
    staticDetails: staticDetails(request),
    memo: { fingerprint },
  });
  // Anyone who may start workflows could have given this id to another run.
  const { type, memo } = await client.workflow.getHandle(workflowId, handle.runId).describe();
  if (type === WorkflowType.videoGenerate && memo?.['fingerprint'] === fingerprint) return handle;
  throw invalidRequest([{ path: '', message: `has the id of a running ${type} of another request: ${workflowId}` }]);
}

/** A token is the caller's own text: it cancels the run of a request, and no other workflow. */
async function cancelOperation(client: Client, token: string): Promise<void> {
  const id = workflowIdOf(token);
  if (id === undefined) throw invalidRequest([{ path: '', message: 'the token is not one of a started operation' }]);
  const { type, memo, runId } = await client.workflow.getHandle(id).describe();
  const fingerprint = memo?.['fingerprint'];
  const own = typeof fingerprint === 'string' ? videoWorkflowId(fingerprint) : undefined;
  // With "off" the id has the operation's own request behind that of the fingerprint.
  if (type !== WorkflowType.videoGenerate || own === undefined || !(id === own || id.startsWith(`${own}/`))) {
    throw invalidRequest([{ path: '', message: `the token names no run of a request: ${id} is a ${type}` }]);
  }
  await client.workflow.getHandle(id, runId).cancel();
}

/** The workflow id in a token of {@link WorkflowRunOperationHandler}. */
function workflowIdOf(token: string): string | undefined {
  try {
    const { t, wid } = membersOf(JSON.parse(Buffer.from(token, 'base64url').toString()));
    return t === WORKFLOW_RUN_TOKEN && typeof wid === 'string' && wid !== '' ? wid : undefined;
  } catch {
    return undefined;
  }
}

/** @returns null while the run has not ended; Temporal keeps the request. */
async function cancelRun(client: Client, input: unknown): Promise<CancelOutcome | null> {
  const id = runIdOf(input);
  const { reason = 'cancelled through Nexus' } = membersOf(input);
  if (typeof reason !== 'string') throw invalidRequest([{ path: 'reason', message: 'must be a text' }]);
  await requireKind(client, id);
  const handle = client.workflow.getHandle(id);
  const request = { name: CANCEL_SIGNAL, argument: { reason }, unanswered: 'signal' } as const;
  const cancelled = sendRequest<CancelOutcome>(client, { id, handle }, request).catch(async (error: unknown) => {
    // A repetition finds the run ended, and how.
    const end = await handle.describe().then(
      ({ status }) => status.name,
      () => undefined,
    );
    const outcome = end === 'CANCELLED' ? await handle.result().then(() => undefined, cancelOutcomeOf) : undefined;
    if (outcome !== undefined) return outcome;
    throw asNotFound(error, { id, kind: 'run' });
  });
  return (await within(systemClock, CANCEL_ANSWER_MS, () => cancelled)) ?? null;
}

/** Starts a batch; one of this id and input that exists, also one that has ended, is not started again. */
async function startBatch(client: Client, input: unknown): Promise<{ readonly id: string }> {
  const { id: batchId, ...batch } = membersOf(input);
  if (typeof batchId !== 'string') throw invalidRequest([{ path: 'id', message: 'must be a text' }]);
  checkBatchId(batchId);
  const issues = batchInputIssues(batch);
  if (issues.length > 0) throw invalidRequest(issues);
  const id = batchWorkflowId(batchId);
  const fingerprint = canonicalHash(batch);
  try {
    await client.workflow.start(WorkflowType.videoBatch, {
      taskQueue: operationInfo().taskQueue,
      workflowId: id,
      args: [batch],
      memo: { [BATCH_MEMO]: batchId, fingerprint },
      workflowIdConflictPolicy: 'USE_EXISTING',
      workflowIdReusePolicy: 'REJECT_DUPLICATE',
      staticDetails: batchDetails(batch),
    });
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
  }
  const { memo } = await client.workflow.getHandle(id).describe();
  if (memo?.['fingerprint'] !== fingerprint) throw batchIdTaken(batchId);
  return { id };
}

/** @throws VideoError for a workflow that is neither a video's nor a batch's; VideoRunError `RunNotFound`. */
async function requireKind(client: Client, id: string): Promise<void> {
  const { type } = await client.workflow
    .getHandle(id)
    .describe()
    .catch((error: unknown) => {
      throw asNotFound(error, { id, kind: 'run' });
    });
  if (hasVideo(type) || type === WorkflowType.videoBatch) return;
  const what = otherKind(id, type)?.what ?? `a ${type}`;
  throw invalidRequest([{ path: 'id', message: `names neither a video nor a batch: ${id} is ${what}` }]);
}

/** The members of an input, which may be anything that JSON can hold. */
const membersOf = (input: unknown): Readonly<Record<string, unknown>> =>
  typeof input === 'object' && input !== null && !Array.isArray(input) ? { ...input } : {};

/** The id of the run that an input means. */
function runIdOf(input: unknown): string {
  const { id, request } = membersOf(input);
  if (typeof id === 'string' && id !== '' && request === undefined) return id;
  if (id !== undefined || request === undefined) {
    throw invalidRequest([{ path: 'id', message: 'must be the workflow id of a run; or give its "request" instead' }]);
  }
  const parsed = parseRequest(request);
  if (parsed.cache !== 'off') return videoWorkflowId(requestFingerprint(parsed));
  throw invalidRequest([
    { path: 'request', message: 'has a run of its own for each call, with "cache": "off": give its id' },
  ]);
}

/** Awaits an answer; what no repetition changes is an error that the server does not retry. */
async function answering<T>(answer: () => Promise<T>): Promise<T> {
  try {
    return await answer();
  } catch (given) {
    const error = asNotFound(given, { id: '', kind: 'run' });
    if (error instanceof VideoRunError) {
      const isUnknown = error.error.type === FailureType.RunNotFound;
      throw handlerError(isUnknown ? 'NOT_FOUND' : 'BAD_REQUEST', error.error);
    }
    if (error instanceof VideoError && !error.retryable) throw handlerError('BAD_REQUEST', toFailure(error));
    throw error;
  }
}

/** The published failure as the cause of a handler error: `details[0]`, as everywhere. */
const handlerError = (type: 'BAD_REQUEST' | 'NOT_FOUND', failure: VideoErrorObject): HandlerError =>
  new HandlerError(type, failure.message, { cause: videoFailed(failure) });
