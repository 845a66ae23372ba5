import { type Client, WorkflowClient } from '@temporalio/client';
import { defaultPayloadConverter, type PayloadCodec } from '@temporalio/common';

const NOTHING = defaultPayloadConverter.toPayload(null);

/** Takes every payload for null. */
const unread: PayloadCodec = {
  encode: async (payloads) => payloads,
  decode: async (payloads) => payloads.map(() => NOTHING),
};

/** Reads the description of a run without what its starter wrote. @throws as `describe` of Temporal's handles. */
export const describeRun = (client: Client, workflowId: string, runId?: string) =>
  withoutPayloads(client).getHandle(workflowId, runId).describe();

/**
 * The same client for describing and listing runs without what their starters wrote (memo and summary). Reading that
 * may need a codec that is not here, and one run that cannot be read must not hide itself or all others.
 */
export const withoutPayloads = ({ connection, options }: Client): WorkflowClient =>
  new WorkflowClient({
    connection,
    namespace: options.namespace,
    interceptors: options.interceptors.workflow ?? [],
    dataConverter: { payloadCodecs: [unread] },
  });
