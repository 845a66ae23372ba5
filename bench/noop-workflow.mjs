import { proxyActivities } from '@temporalio/workflow';

const { nothing } = proxyActivities({ startToCloseTimeout: '10s' });

export async function noop() {
  await nothing();
}
