import { ApplicationFailure } from '@temporalio/common';
import { invalidLinesOf, manifestSize } from '../src/batch/batch-files.js';
import { manifestKeyAt } from '../src/batch/manifest-key.js';
import { invalidLines, prepareManifest } from '../src/batch/prepare-manifest.js';
import { FailureType } from '../src/contract/failure-type.js';
import { stepTimesOf } from '../src/contract/times.js';
import { VideoError } from '../src/contract/video-error.js';
import { stageImage } from '../src/media/stage-image.js';
import { batchInvalidKey, batchManifestKey } from '../src/storage/keys.js';
import type { BatchOpening, OpenBatchInput, OpeningFault } from './batch-types.js';
import type { ActivityDeps } from './deps.js';
import { tellsOf } from './tells.js';
import type { VideoActivities } from './types.js';
import { withSignal } from './with-signal.js';

/** Checks a batch's manifest whole and keeps a copy of its own, so that the batch runs what it read at its beginning. */
export function createOpenBatch(deps: ActivityDeps): VideoActivities['openBatch'] {
  return (input) =>
    withSignal(async (signal): Promise<BatchOpening> => {
      const { store } = deps;
      const times = stepTimesOf(deps.times);
      // A copy that is there was made by who started the batch, or by an attempt of this step whose answer was lost.
      const kept = await manifestSize(store, input.batchId, { signal });
      if (kept === undefined) {
        const manifestKey = manifestKeyAt(input.manifestKey, input.nominalTime, input.timezone);
        if ((await store.head(manifestKey, { signal })) === undefined)
          return { kind: 'missing', manifestKey, times, ...tellsOf(deps) };
        await keep(manifestKey, input, deps, signal);
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
        ...(deps.payloadsEncoded === true && { labelsHidden: true }),
        times,
        ...tellsOf(deps),
      };
    }).catch((error: unknown) => {
      throw withTells(error, deps);
    });
}

/** A batch that cannot be opened tells so; whom, only the worker knows. */
function withTells(error: unknown, { webhook }: ActivityDeps): unknown {
  if (webhook === undefined || !(error instanceof ApplicationFailure) || !error.nonRetryable) return error;
  const { type, message, nonRetryable, details } = error;
  const fault: OpeningFault = { tells: webhook.events };
  return ApplicationFailure.create({
    ...{ message, nonRetryable, details: [details?.[0] ?? null, fault] },
    ...(type != null && { type }),
  });
}

async function keep(
  manifestKey: string,
  { batchId, allowInvalid }: OpenBatchInput,
  { store, spoolDir }: ActivityDeps,
  signal: AbortSignal,
): Promise<void> {
  const prepared = await prepareManifest(() => store.get(manifestKey, { signal }), {
    ...{ name: manifestKey, allowInvalid, signal },
    images: {
      // A worker opens no path that a manifest names; only what stands in the line itself is brought into the store.
      stage: async (uri) => {
        const bytes = Buffer.from(uri.slice(uri.indexOf(',') + 1), 'base64');
        return `asset:${(await stageImage(bytes, store, { spoolDir, signal })).asset.key}`;
      },
    },
  });
  try {
    const { faults } = prepared;
    // First, so that whoever sees the manifest sees what was left out of it.
    if (faults.length > 0) await store.put(batchInvalidKey(batchId), invalidLines(faults), { signal });
    await prepared.put(store, batchManifestKey(batchId));
  } finally {
    await prepared.dispose();
  }
}
