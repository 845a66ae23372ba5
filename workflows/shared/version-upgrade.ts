import * as wf from '@temporalio/workflow';

/**
 * With Worker Versioning every run stays on the version that it began on. One that never ends, or lives for days, moves to the current
 * version when it continues as new, and does so early when there is another one.
 */
export const continueOnNewVersion: wf.ContinueAsNewOptions = { initialVersioningBehavior: 'AUTO_UPGRADE' };

/**
 * Whether another version of the workers has become current than this run is on.
 * @param triedFrom - The build that a run before tried to leave: one that is held on it by hand does not try for ever.
 */
export const newVersionAvailable = (triedFrom: string | undefined): boolean =>
  wf.workflowInfo().targetWorkerDeploymentVersionChanged && buildId() !== triedFrom;

/** What the next run is told, so that it knows whether leaving has helped. */
export function upgradeAttempted(triedFrom: string | undefined): { readonly upgrade_from?: string } {
  const from = wf.workflowInfo().targetWorkerDeploymentVersionChanged ? buildId() : undefined;
  // Still here: the word stays, or every second run would try.
  const told = from ?? (buildId() === triedFrom ? triedFrom : undefined);
  return told === undefined ? {} : { upgrade_from: told };
}

const buildId = (): string | undefined => wf.workflowInfo().currentDeploymentVersion?.buildId;
