import type { Client } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';

/** Everything a run's history holds, payloads decoded, as one text to search in. */
export async function historyText(client: Client, workflowId: string): Promise<string> {
  const history = await client.workflow.getHandle(workflowId).fetchHistory();
  const json = historyToJSON(history);
  const decoded = json.replace(/"data": ?"([A-Za-z0-9+/=]+)"/g, (_whole, data: string) =>
    Buffer.from(data, 'base64').toString('utf8'),
  );
  return `${json}\n${decoded}`;
}

/** Names of the activities of a run, in the order in which they were scheduled, one entry each. */
export async function activitiesOf(client: Client, workflowId: string): Promise<string[]> {
  const { events } = await client.workflow.getHandle(workflowId).fetchHistory();
  return (events ?? []).flatMap((event) => event.activityTaskScheduledEventAttributes?.activityType?.name ?? []);
}

/** Messages of the steps of a run whose heartbeat came late, or whose worker was lost. */
export async function timeoutsOf(client: Client, workflowId: string): Promise<string[]> {
  const { events } = await client.workflow.getHandle(workflowId).fetchHistory();
  return (events ?? []).flatMap(({ activityTaskStartedEventAttributes: started, ...event }) => {
    const failure = event.activityTaskTimedOutEventAttributes?.failure ?? started?.lastFailure;
    return failure?.timeoutFailureInfo == null ? [] : [`${workflowId}: ${failure.message}`];
  });
}
