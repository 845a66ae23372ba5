import * as wf from '@temporalio/workflow';

/**
 * With Worker Versioning every run stays on the version that it began on. A run that never ends, or lives for days,
 * moves to the current version when it continues as new, and does so early once there is another one.
 */
export const continueOnNewVersion: wf.ContinueAsNewOptions = { initialVersioningBehavior: 'AUTO_UPGRADE' };

/**
 * Whether the current version of the workers is another one than this run's.
 * @param triedFrom - Build that an earlier run tried to leave: a run that a person keeps on it does not try forever.
 */
export const newVersionAvailable = (triedFrom: string | undefined): boolean =>
  wf.workflowInfo().targetWorkerDeploymentVersionChanged && buildId() !== triedFrom;

/** The part of the next run's input from which that run learns whether leaving has worked. */
export function upgradeAttempted(triedFrom: string | undefined): { readonly upgrade_from?: string } {
  const from = wf.workflowInfo().targetWorkerDeploymentVersionChanged ? buildId() : undefined;
  // A run that is still on that build keeps the field, or every second run would try.
  const next = from ?? (buildId() === triedFrom ? triedFrom : undefined);
  return next === undefined ? {} : { upgrade_from: next };
}

const buildId = (): string | undefined => wf.workflowInfo().currentDeploymentVersion?.buildId;
