import type { Client } from '@temporalio/client';
import { WorkflowType } from '../contract/names.js';
import { VideoRunError } from './run-error.js';

/**
 * What a run was started with, as the beginning of its history has it; nobody has checked it.
 * @throws VideoRunError `NotRetried` for a run of another workflow type; the errors of Temporal's client.
 */
export async function inputOf(client: Client, id: string, runId: string): Promise<unknown> {
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
      message: `The run ${id} is a ${type ?? 'run without a beginning'}, which has no request of its own`,
      next_step: 'Name a run that generate started.',
    });
  }
  const { payloadConverter, payloadCodecs } = client.options.loadedDataConverter;
  let payloads = started?.input?.payloads ?? [];
  for (const codec of [...payloadCodecs].reverse()) payloads = await codec.decode(payloads);
  const [first] = payloads;
  return first === undefined ? undefined : payloadConverter.fromPayload(first);
}
