import {
  encodeInvalidLines,
  hashManifest,
  keepDeliveryPlan,
  measureManifest,
  readInvalidLines,
  readItems,
} from '../src/batch/batch-files.js';
import { DeliveryNames } from '../src/batch/delivery-names.js';
import { inlineIssues, invalidBatch, issuesOfItems } from '../src/batch/inline-items.js';
import { encodeLines } from '../src/batch/line-reader.js';
import { invalidManifest, type ManifestFault } from '../src/batch/manifest.js';
import { dateIn, manifestKeyAt } from '../src/batch/manifest-key.js';
import { type ManifestImages, type PreparedManifest, prepareManifest } from '../src/batch/prepare-manifest.js';
import { type BatchDeliveryPlan, DATE_PLACEHOLDER, type DeliveryReport } from '../src/contract/delivery.js';
import { FailureType } from '../src/contract/failure-type.js';
import { decodeDataUri } from '../src/contract/image-reference.js';
import { type StepTimes, stepTimesOf } from '../src/contract/times.js';
import { type Issue, VideoError } from '../src/contract/video-error.js';
import type { WebhookEvents } from '../src/contract/webhook.js';
import { stageImage } from '../src/media/stage-image.js';
import type { AssetStore } from '../src/storage/asset-store.js';
import { batchInvalidKey, batchManifestKey } from '../src/storage/keys.js';
import { toActivityFailure } from './activity-failure.js';
import type { ActivityDeps } from './deps.js';
import { knownEvents, subscribedEvents } from './post-event.js';
import { withSignal } from './with-signal.js';

/** Where a batch takes its items from, and how. */
export interface OpenBatchInput {
  readonly batchId: string;
  /** Key of the manifest; `{date}` is the date of `nominalTime` in `timezone`. Absent: the lines are `items`. */
  readonly manifestKey?: string;
  /** As they came with the batch, unchecked. */
  readonly items?: readonly unknown[];
  /** Faults of the batch's input: it cannot be opened, and fails with these and the faults of its items. */
  readonly issues?: readonly Issue[];
  readonly allowInvalid: boolean;
  /** ISO 8601, UTC. */
  readonly nominalTime: string;
  readonly timezone: string;
  /** Pattern of the names that the videos get, and the documents next to them. Absent: nothing is delivered. */
  readonly deliver?: string;
  readonly deliverReport?: readonly DeliveryReport[];
  /** Name of the receiver of the batch's events. Absent: the default one. */
  readonly receiver?: string;
}

/** What the worker adds to a batch, with or without a manifest. */
interface OpeningHead {
  readonly times: StepTimes;
  /** Events that the worker's webhook is subscribed to; absent: there is no webhook. */
  readonly webhookEvents?: WebhookEvents;
}

/** A batch whose manifest is checked and copied. */
export interface OpenedBatch extends OpeningHead {
  readonly kind: 'open';
  readonly items: number;
  readonly duplicates: number;
  readonly invalid: number;
  /** Whether the namespace has the search attributes. */
  readonly attributes: boolean;
  /** Whether labels must not become search attributes, because a payload codec keeps them from Temporal. */
  readonly labelsHidden: boolean;
  /** Where the videos are delivered. Absent: nowhere. */
  readonly delivery?: BatchDeliveryPlan;
}

/** A batch that is open, or whose manifest does not exist yet. */
export type BatchOpening = OpenedBatch | ({ readonly kind: 'missing'; readonly manifestKey: string } & OpeningHead);

/** Second detail of a failure to open a batch, which has no opening to learn the events from. */
export interface OpeningFault {
  readonly webhookEvents: WebhookEvents;
}

/** Checks the whole manifest of a batch and copies it, so that the batch runs what it read at its beginning. */
export function createOpenBatch(deps: ActivityDeps) {
  return (input: OpenBatchInput): Promise<BatchOpening> =>
    withSignal(async (signal) => {
      try {
        return await open(input, deps, signal);
      } catch (error) {
        const { webhookEvents } = knownEvents(deps, input.receiver);
        const isFinal = error instanceof VideoError && !error.retryable;
        if (signal.aborted || !isFinal || webhookEvents === undefined) throw error;
        const fault: OpeningFault = { webhookEvents };
        throw toActivityFailure(error, fault);
      }
    });
}

async function open(input: OpenBatchInput, deps: ActivityDeps, signal: AbortSignal): Promise<BatchOpening> {
  const { store } = deps;
  const head: OpeningHead = { times: stepTimesOf(deps.times), ...subscribedEvents(deps, input.receiver) };
  if (input.issues !== undefined) throw invalidBatch(await allIssues(input, input.issues));
  if (input.items !== undefined) await copyItems(input.items, input, deps, signal);
  // A copy that exists was made by the client that started the batch, or by an attempt of this step whose answer was
  // lost.
  const copied = await measureManifest(store, input.batchId, { signal });
  if (copied === undefined) {
    const manifestKey = manifestKeyAt(input.manifestKey ?? '', input.nominalTime, input.timezone);
    if ((await store.head(manifestKey, { signal })) === undefined) return { kind: 'missing', manifestKey, ...head };
    await copyManifest(manifestKey, input, deps, signal);
  }
  const size = copied ?? (await measureManifest(store, input.batchId, { signal }));
  if (size === undefined || size.items === 0)
    throw new VideoError(FailureType.RecordDamaged, `${batchManifestKey(input.batchId)} is empty`);
  const invalid = await readInvalidLines(store, input.batchId, { signal });
  const delivery = input.deliver === undefined ? undefined : await planDelivery(input.deliver, input, store, signal);
  return {
    kind: 'open',
    items: size.items,
    duplicates: size.duplicates,
    invalid: invalid.length,
    attributes: await deps.knowsAttributes(),
    labelsHidden: deps.payloadsEncoded === true,
    ...(delivery !== undefined && { delivery }),
    ...head,
  };
}

/**
 * Checks that every line gets a name of its own, also where a client has copied the manifest, and keeps the pattern
 * with its date: a retry, of another day, delivers to the same place.
 */
async function planDelivery(
  deliver: string,
  { batchId, nominalTime, timezone, deliverReport = [] }: OpenBatchInput,
  store: AssetStore,
  signal: AbortSignal,
): Promise<BatchDeliveryPlan> {
  const pattern = deliver.replaceAll(DATE_PLACEHOLDER, dateIn(timezone, new Date(nominalTime)));
  const names = new DeliveryNames(pattern);
  const faults: ManifestFault[] = [];
  for await (const { item } of readItems(store, batchId, { signal })) {
    const { line, item_id, request } = item;
    const issues = names.claim({ ...request, line, item_id });
    if (issues.length > 0) faults.push({ line, itemId: item_id, issues, fields: null });
  }
  if (faults.length > 0) throw invalidManifest(batchManifestKey(batchId), faults);
  return keepDeliveryPlan(store, batchId, { pattern, reports: [...new Set(deliverReport)] }, { signal });
}

/** The faults of the input, together with those of its items and of its key. */
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

async function copyManifest(
  manifestKey: string,
  { batchId, allowInvalid, deliver }: OpenBatchInput,
  deps: ActivityDeps,
  signal: AbortSignal,
): Promise<void> {
  const { store } = deps;
  const images = imagesInLines(deps, signal);
  const options = { name: manifestKey, allowInvalid, signal, images, deliver };
  const prepared = await prepareManifest(() => store.get(manifestKey, { signal }), options);
  try {
    await put(prepared, batchId, store, signal);
  } finally {
    await prepared.dispose();
  }
}

/** Writes the inline items of a batch as its manifest: each is checked before any of them runs. */
async function copyItems(
  items: readonly unknown[],
  { batchId, allowInvalid, deliver }: OpenBatchInput,
  deps: ActivityDeps,
  signal: AbortSignal,
): Promise<void> {
  const { store } = deps;
  const prepared = await prepareManifest(async () => encodeLines(items), {
    name: 'of items',
    allowInvalid,
    signal,
    deliver,
    images: imagesInLines(deps, signal),
    refusal: (faults) => invalidBatch(issuesOfItems(faults)),
  });
  try {
    const existing = await hashManifest(store, batchId, { signal });
    if (existing === undefined) await put(prepared, batchId, store, signal);
    // An earlier batch of this id: its lines would run in the place of these.
    else if (existing !== prepared.sha256) {
      const message = `is taken by a batch with other lines: ${batchId}; choose another one`;
      throw invalidBatch([{ path: 'workflow id', message }]);
    }
  } finally {
    await prepared.dispose();
  }
}

async function put(prepared: PreparedManifest, batchId: string, store: AssetStore, signal: AbortSignal): Promise<void> {
  const { faults } = prepared;
  // Written first: where there is a manifest, the lines that were left out of it are known.
  if (faults.length > 0) await store.put(batchInvalidKey(batchId), encodeInvalidLines(faults), { signal });
  await prepared.put(store, batchManifestKey(batchId));
}

/** A worker opens no path that a manifest names; it stores only the images that are in the lines themselves. */
const imagesInLines = ({ store, spoolDir }: ActivityDeps, signal: AbortSignal): ManifestImages => ({
  stage: async (uri) => `asset:${(await stageImage(decodeDataUri(uri), store, { spoolDir, signal })).asset.key}`,
});
