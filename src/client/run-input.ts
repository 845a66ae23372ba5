import type { Client } from '@temporalio/client';
import { WorkflowType } from '../contract/names.js';
import { VideoRunError } from './run-error.js';

/**
 * Reads the input of a run from the first event of its history; the input is not validated.
 * @throws VideoRunError `NotRetried` for a run of another workflow type; the errors of Temporal's client.
 */
export async function readRunInput(client: Client, id: string, runId: string): Promise<unknown> {
  const { history } = await client.workflowService.getWorkflowExecutionHistory({
    namespace: client.options.namespace,
    execution: { workflowId: id, runId },
    maximumPageSize: 1,
  });
  const started = history?.events?.[0]?.workflowExecutionStartedEventAttributes;
  const type = started?.workflowType?.name;
  if (type !== WorkflowType.videoGenerate) {
    throw new VideoRunError(id, {
      type: 'NotRetried',
      message: `The run ${id} is a ${type ?? 'run without a first event'}, which has no request of its own`,
      next_step: 'Name a run that "wan-video generate" started.',
    });
  }
  const { payloadConverter, payloadCodecs } = client.options.loadedDataConverter;
  let payloads = started?.input?.payloads ?? [];
  for (const codec of [...payloadCodecs].reverse()) payloads = await codec.decode(payloads);
  const [first] = payloads;
  return first === undefined ? undefined : payloadConverter.fromPayload(first);
}
