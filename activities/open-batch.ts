import { ApplicationFailure } from '@temporalio/common';
import { invalidLinesOf, manifestHash, manifestSize } from '../src/batch/batch-files.js';
import { inlineIssues, invalidBatch, issuesOfItems, linesOfItems } from '../src/batch/inline-items.js';
import { manifestKeyAt } from '../src/batch/manifest-key.js';
import {
  invalidLines,
  type ManifestImages,
  type PreparedManifest,
  prepareManifest,
} from '../src/batch/prepare-manifest.js';
import { FailureType } from '../src/contract/failure-type.js';
import { stepTimesOf } from '../src/contract/times.js';
import { type Issue, VideoError } from '../src/contract/video-error.js';
import { stageImage } from '../src/media/stage-image.js';
import type { AssetStore } from '../src/storage/asset-store.js';
import { batchInvalidKey, batchManifestKey } from '../src/storage/keys.js';
import type { BatchOpening, OpenBatchInput, OpeningFault } from './batch-types.js';
import type { ActivityDeps } from './deps.js';
import { subscribedEvents } from './notify-webhook.js';
import type { VideoActivities } from './types.js';
import { withSignal } from './with-signal.js';

/** Checks a batch's manifest whole and keeps a copy of its own, so that the batch runs what it read at its beginning. */
export function createOpenBatch(deps: ActivityDeps): VideoActivities['openBatch'] {
  return (input) =>
    withSignal(async (signal): Promise<BatchOpening> => {
      const { store } = deps;
      const times = stepTimesOf(deps.times);
      if (input.issues !== undefined) throw invalidBatch(await allIssues(input, input.issues));
      if (input.items !== undefined) await keepItems(input.items, input, deps, signal);
      // A copy that is there was made by who started the batch, or by an attempt of this step whose answer was lost.
      const kept = await manifestSize(store, input.batchId, { signal });
      if (kept === undefined) {
        const manifestKey = manifestKeyAt(input.manifestKey ?? '', input.nominalTime, input.timezone);
        if ((await store.head(manifestKey, { signal })) === undefined)
          return { kind: 'missing', manifestKey, times, ...subscribedEvents(deps) };
        const prepared = await prepareManifest(() => store.get(manifestKey, { signal }), {
          ...{ name: manifestKey, allowInvalid: input.allowInvalid, signal, images: imagesInLines(deps, signal) },
        });
        try {
          await put(prepared, input.batchId, store, signal);
        } finally {
          await prepared.dispose();
        }
      }
      const size = kept ?? (await manifestSize(store, input.batchId, { signal }));
      if (size === undefined || size.items === 0)
        throw new VideoError(FailureType.RecordDamaged, `${batchManifestKey(input.batchId)} is empty`);
      const invalid = await invalidLinesOf(store, input.batchId, { signal });
      const { items, duplicates } = size;
      return {
        kind: 'open',
        items,
        duplicates,
        invalid: invalid.length,
        attributes: await deps.knowsAttributes(),
        labelsHidden: deps.payloadsEncoded === true,
        times,
        ...subscribedEvents(deps),
      };
    }).catch((error: unknown) => {
      throw withWebhookEvents(error, deps);
    });
}

/** A batch that cannot be opened tells so; whom, only the worker knows. */
function withWebhookEvents(error: unknown, { webhook }: ActivityDeps): unknown {
  if (webhook === undefined || !(error instanceof ApplicationFailure) || !error.nonRetryable) return error;
  const { type, message, nonRetryable, details } = error;
  const fault: OpeningFault = { webhookEvents: webhook.events };
  return ApplicationFailure.create({
    ...{ message, nonRetryable, details: [details?.[0] ?? null, fault] },
    ...(type != null && { type }),
  });
}

/** Faults of the input, with those of its items and of its key. */
async function allIssues(
  { items = [], manifestKey, nominalTime, timezone }: OpenBatchInput,
  issues: readonly Issue[],
): Promise<Issue[]> {
  const all = [...issues, ...(await inlineIssues(items))];
  try {
    if (manifestKey !== undefined) manifestKeyAt(manifestKey, nominalTime, timezone);
  } catch (error) {
    if (error instanceof VideoError) all.push(...(error.issues ?? []));
  }
  return all;
}

/** Keeps the items that came with the batch as its manifest: each of them is checked before any is run. */
async function keepItems(
  items: readonly unknown[],
  { batchId, allowInvalid }: OpenBatchInput,
  deps: ActivityDeps,
  signal: AbortSignal,
): Promise<void> {
  const { store } = deps;
  const prepared = await prepareManifest(async () => linesOfItems(items), {
    ...{ name: 'of items', allowInvalid, signal, images: imagesInLines(deps, signal) },
    refusal: (faults) => invalidBatch(issuesOfItems(faults)),
  });
  try {
    const there = await manifestHash(store, batchId, { signal });
    if (there === undefined) await put(prepared, batchId, store, signal);
    // An earlier batch of this id: its lines would be run in the place of these.
    else if (there !== prepared.sha256) {
      const message = `is taken by a batch with other lines: ${batchId}; choose another one`;
      throw invalidBatch([{ path: 'workflow id', message }]);
    }
  } finally {
    await prepared.dispose();
  }
}

async function put(prepared: PreparedManifest, batchId: string, store: AssetStore, signal: AbortSignal): Promise<void> {
  const { faults } = prepared;
  // First, so that whoever sees the manifest sees what was left out of it.
  if (faults.length > 0) await store.put(batchInvalidKey(batchId), invalidLines(faults), { signal });
  await prepared.put(store, batchManifestKey(batchId));
}

/** A worker opens no path that a manifest names; only what stands in the line itself is brought into the store. */
const imagesInLines = ({ store, spoolDir }: ActivityDeps, signal: AbortSignal): ManifestImages => ({
  stage: async (uri) => {
    const bytes = Buffer.from(uri.slice(uri.indexOf(',') + 1), 'base64');
    return `asset:${(await stageImage(bytes, store, { spoolDir, signal })).asset.key}`;
  },
});
