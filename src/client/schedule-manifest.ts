import { checkManifest, invalidManifest } from '../batch/manifest.js';
import { manifestKeyAt } from '../batch/manifest-key.js';
import { prepareManifest } from '../batch/prepare-manifest.js';
import { DATE_PLACEHOLDER } from '../contract/delivery.js';
import { invalidRequest } from '../contract/validate.js';
import type { AssetStore } from '../storage/asset-store.js';
import { scheduledManifestKey } from '../storage/keys.js';
import { localManifest } from './manifest-source.js';
import type { ScheduledBatch } from './scheduled-batch.js';

/** The parts of a schedule that decide how its manifest is read. */
type ManifestOfSchedule = Pick<ScheduledBatch, 'manifest' | 'timezone' | 'allowInvalid' | 'deliver'>;

/**
 * Checks the manifest of a schedule, and stages a file.
 * @returns the key that the schedule's runs read. A file is stored under its content, so that a later file never
 * changes what a run reads.
 * @throws VideoError `InvalidRequest` for a manifest with faults.
 */
export async function stageScheduleManifest(schedule: ManifestOfSchedule, store: AssetStore): Promise<string> {
  const { manifest, allowInvalid = false, deliver } = schedule;
  if ('key' in manifest) {
    await checkStoredManifest(schedule, store);
    return manifest.key;
  }
  const { open, ...images } = localManifest(manifest, store, undefined);
  const prepared = await prepareManifest(open, { ...images, allowInvalid, deliver });
  try {
    const key = scheduledManifestKey(prepared.sha256);
    await prepared.put(store, key);
    return key;
  } finally {
    await prepared.dispose();
  }
}

/**
 * Checks a manifest in the store. One with `{date}` in its key may not exist yet, so only its key is checked; a file is
 * not checked here.
 * @throws VideoError `InvalidRequest` for an invalid key, or a manifest that is missing or has faults.
 */
export async function checkStoredManifest(
  { manifest, timezone, allowInvalid = false, deliver }: ManifestOfSchedule,
  store: AssetStore,
): Promise<void> {
  if (!('key' in manifest)) return;
  const key = manifestKeyAt(manifest.key, new Date().toISOString(), timezone);
  if (manifest.key.includes(DATE_PLACEHOLDER)) return;
  if ((await store.head(key)) === undefined) {
    throw invalidRequest([{ path: 'manifest', message: `is neither a file nor a key of ${store.name}: ${key}` }]);
  }
  const { items, faults } = await checkManifest(await store.get(key), deliver);
  if (items === 0 || (faults.length > 0 && !allowInvalid)) throw invalidManifest(key, faults);
}
