import { randomUUID } from 'node:crypto';
import type { Client } from '@temporalio/client';
import type { Payload } from '@temporalio/common';
import proto from '@temporalio/proto';
import {
  CANCEL_SIGNAL,
  ITEM_SIGNAL,
  PAUSE_SIGNAL,
  RELEASE_SLOT_SIGNAL,
  REQUEST_SLOT_SIGNAL,
  RESOLVE_SIGNAL,
  RESUME_SIGNAL,
  SET_SLOT_LIMIT_SIGNAL,
  SLOT_SIGNAL,
  SLOTS_RESTARTED_SIGNAL,
  WINDOW_SIGNAL,
  WITHDRAW_SLOT_REQUEST_SIGNAL,
} from '../../src/contract/names.js';

const { UpdateWorkflowExecutionLifecycleStage: Stage } = proto.temporal.api.enums.v1;
const COMPLETED = Stage.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED;

/** Every signal of every workflow. */
export const SIGNALS = [
  ...[CANCEL_SIGNAL, RESOLVE_SIGNAL, SLOT_SIGNAL, REQUEST_SLOT_SIGNAL, RELEASE_SLOT_SIGNAL],
  ...[WITHDRAW_SLOT_REQUEST_SIGNAL, SET_SLOT_LIMIT_SIGNAL, PAUSE_SIGNAL, RESUME_SIGNAL, WINDOW_SIGNAL, ITEM_SIGNAL],
  ...[SLOTS_RESTARTED_SIGNAL, 'takeSlotsPage', 'slotsPage'],
];

const encoded = (encoding: string, data: string | Uint8Array, messageType?: string): Payload => ({
  metadata: {
    encoding: Buffer.from(encoding),
    ...(messageType !== undefined && { messageType: Buffer.from(messageType) }),
  },
  data: Buffer.from(data),
});
export const jsonPayload = (text: string) => encoded('json/plain', text);
const REFERENCE = 'temporal.api.sdk.v1.ExternalStorageReference';
/** Arguments that are malformed for every signal. */
export const HOSTILE_ARGUMENTS: readonly (readonly Payload[])[] = [
  [jsonPayload('"text"')],
  [jsonPayload('7')],
  [jsonPayload('[]')],
  [jsonPayload('{"reason":{"toString":1},"window":{"valueOf":1},"item_id":{"toString":1},"limit":{"toString":1}}')],
  [jsonPayload('{"reason":5,"window":"1e9","task_id":[],"key":"","requesterId":null}')],
  [jsonPayload('{"unfinished":')],
  [jsonPayload(`{"reason":${'['.repeat(8_000)}${']'.repeat(8_000)}}`)],
  [jsonPayload(`{"reason":"${'x'.repeat(40_000)}","item_id":"${'x'.repeat(40_000)}"}`)],
  [encoded('binary/plain', Buffer.from([0, 255]))],
  [encoded('binary/encrypted', 'another program has the key')],
  [encoded('json/protobuf', '{}', 'google.protobuf.Empty')],
  // The SDK looks for references of this kind before any code of ours runs.
  [encoded('json/protobuf', '{"driverName":"s3","claimData":{"key":"x"}}', REFERENCE)],
  [encoded('json/protobuf', 'no JSON', REFERENCE)],
  [{ data: Buffer.from('"no metadata"') }],
  [encoded('json/plain', Buffer.from([0x22, 0xff, 0xfe, 0x22])), encoded('unknown', 'a second argument')],
];

/** Sends a signal with its arguments as they are. */
export const sendSignal = (
  client: Client,
  workflowId: string,
  signalName: string,
  payloads: readonly Payload[],
): Promise<unknown> =>
  client.workflowService.signalWorkflowExecution({
    namespace: client.options.namespace,
    workflowExecution: { workflowId },
    signalName,
    input: { payloads: [...payloads] },
    requestId: randomUUID(),
  });

/** Sends a query with its arguments as they are. */
export const sendQuery = (
  client: Client,
  workflowId: string,
  queryType: string,
  payloads: readonly Payload[],
): Promise<unknown> =>
  client.workflowService.queryWorkflow({
    namespace: client.options.namespace,
    execution: { workflowId },
    query: { queryType, queryArgs: { payloads: [...payloads] } },
  });

/** Sends an Update with its arguments as they are, and waits until it is refused or has ended. */
export const sendUpdate = (
  client: Client,
  workflowId: string,
  name: string,
  payloads: readonly Payload[],
): Promise<unknown> =>
  client.workflowService.updateWorkflowExecution({
    namespace: client.options.namespace,
    workflowExecution: { workflowId },
    waitPolicy: { lifecycleStage: COMPLETED },
    request: { meta: { updateId: randomUUID() }, input: { name, args: { payloads: [...payloads] } } },
  });
