import { proxyActivities } from '@temporalio/workflow';

const { pollTask } = proxyActivities({ startToCloseTimeout: '1h', heartbeatTimeout: '30s' });

/** Only watches a task; runs in another process than the watching. */
export async function pollOnly(task) {
  await pollTask({ task, until: 'ended' });
}
