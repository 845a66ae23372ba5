import { FailureType } from '../src/contract/failure-type.js';
import { VideoError } from '../src/contract/video-error.js';
import type { ActivityDeps } from './deps.js';

/**
 * Refuses to go on with a run on a worker that has another asset store than the one the run began with: it would not see
 * what was bought. Retryable, so that the run goes on when the worker is mended or another one takes the step.
 */
export function assertSameStore({ store, storeId }: ActivityDeps, ofRun: string): void {
  if (storeId === ofRun) return;
  throw new VideoError(
    FailureType.ConfigurationInvalid,
    `This worker's asset store ${store.name} (${storeId}) is not the one that the run began with (${ofRun})`,
    { retryable: true, nextStep: 'Give every worker of this queue the same ASSET_STORE.' },
  );
}
