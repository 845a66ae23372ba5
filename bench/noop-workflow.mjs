import { proxyActivities } from '@temporalio/workflow';

const { nothing } = proxyActivities({ startToCloseTimeout: '10s' });

/** One activity: what a cache hit is compared with. */
export async function noop() {
  await nothing();
}
