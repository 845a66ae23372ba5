import {
  type Client,
  WorkflowExecutionAlreadyStartedError,
  type WorkflowHandleWithFirstExecutionRunId,
  type WorkflowStartOptions,
} from '@temporalio/client';
import { runSummary } from '../batch/run-summary.js';
import { WorkflowType } from '../contract/names.js';
import type { VideoRequest } from '../contract/request.js';
import { encodesPayloads } from './payload-codec.js';
import { staticDetails } from './run-texts.js';
import { startAttributes } from './start-attributes.js';
import { textOf } from './text-of.js';

/** Starts runs of `videoGenerate`, with search attributes as long as the namespace knows them. */
export class RunStarter {
  readonly #client: Client;
  readonly #taskQueue: string;
  /** Whether the namespace has our search attributes, as far as we know: false after the first refusal. */
  #hasAttributes = true;

  constructor(client: Client, taskQueue: string) {
    this.#client = client;
    this.#taskQueue = taskQueue;
  }

  /**
   * Returns undefined when a run of this id is open. The start itself does not join that run: the SDK does not report
   * whether a start has joined a run, so each start, of which most join none, would need a second call to find out.
   */
  async start(
    request: VideoRequest,
    workflowId: string,
    fingerprint: string,
  ): Promise<WorkflowHandleWithFirstExecutionRunId | undefined> {
    if (!this.#hasAttributes) return this.#start(request, workflowId, fingerprint, false);
    try {
      return await this.#start(request, workflowId, fingerprint, true);
    } catch (error) {
      // A namespace without our attributes refuses the start; the run itself does not need them.
      if (!/no mapping defined for search attribute|not a valid search attribute/i.test(textOf(error))) throw error;
      this.#hasAttributes = false;
      return this.#start(request, workflowId, fingerprint, false);
    }
  }

  async #start(
    request: VideoRequest,
    workflowId: string,
    fingerprint: string,
    withAttributes: boolean,
  ): Promise<WorkflowHandleWithFirstExecutionRunId | undefined> {
    const options: WorkflowStartOptions = {
      taskQueue: this.#taskQueue,
      workflowId,
      args: [request],
      workflowIdConflictPolicy: 'FAIL',
      workflowIdReusePolicy: 'ALLOW_DUPLICATE',
      staticSummary: runSummary(request),
      staticDetails: staticDetails(request),
      // The workflow reads `search_attributes` before it sets any.
      memo: { fingerprint, search_attributes: withAttributes },
      ...(withAttributes && { typedSearchAttributes: startAttributes(request, encodesPayloads(this.#client)) }),
    };
    try {
      return await this.#client.workflow.start(WorkflowType.videoGenerate, options);
    } catch (error) {
      if (error instanceof WorkflowExecutionAlreadyStartedError) return undefined;
      throw error;
    }
  }
}
