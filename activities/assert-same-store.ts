import { FailureType } from '../src/contract/failure-type.js';
import { VideoError } from '../src/contract/video-error.js';
import type { ActivityDeps } from './deps.js';

/**
 * Refuses to continue a run on a worker with another asset store than the one that the run began with: such a worker
 * would not see what was bought. Retryable, because the worker may be fixed, or another one may take the step.
 */
export function assertSameStore({ store, storeId }: ActivityDeps, storeIdOfRun: string): void {
  if (storeId === storeIdOfRun) return;
  throw new VideoError(
    FailureType.ConfigurationInvalid,
    `This worker's asset store ${store.name} (${storeId}) is not the one that the run began with (${storeIdOfRun})`,
    { retryable: true, nextStep: 'Give every worker of this queue the same ASSET_STORE.' },
  );
}
