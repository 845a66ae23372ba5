import { createHash } from 'node:crypto';
import { Context } from '@temporalio/activity';
import { z } from 'zod';
import { Bounded } from '../src/async/bounded.js';
import { providerIdOf } from '../src/config/config.js';
import { FailureType } from '../src/contract/failure-type.js';
import { decodeDataUri } from '../src/contract/image-reference.js';
import { MODEL } from '../src/contract/model.js';
import type { Buyer } from '../src/contract/purchase.js';
import type { CanonicalRequest, VideoRequest } from '../src/contract/request.js';
import type { VideoResult, VideoWarning } from '../src/contract/result.js';
import { withoutSignedAudio } from '../src/contract/signed-url.js';
import { stepTimesOf } from '../src/contract/times.js';
import { cacheKey, canonicalRequest, parseRequest } from '../src/contract/validate.js';
import { VideoError } from '../src/contract/video-error.js';
import type { Ledger } from '../src/ledger/ledger.js';
import { purchaseKeyOf } from '../src/ledger/purchase-key.js';
import { IMAGE_BYTES_MAX, IMAGE_HEAD_BYTES, inspectImage } from '../src/media/image.js';
import { type StageableImage, stageImage } from '../src/media/stage-image.js';
import { fetchGuarded } from '../src/net/guarded-fetch.js';
import type { AssetStore } from '../src/storage/asset-store.js';
import { toActivityFailure } from './activity-failure.js';
import type { ActivityDeps } from './deps.js';
import { subscribedEvents } from './post-event.js';
import { addressOf, type FailedPreparation, type PreparedReference, type PreparedRequest } from './prepared-request.js';
import { fromCache } from './purchase-step.js';
import { signedAudioUrl } from './signed-audio.js';
import { makeReady, type Readiness } from './upload-reference.js';
import { previousHeartbeat, withSignal } from './with-signal.js';

/** A request, and the run that it is for. */
export interface PrepareInput {
  readonly request: VideoRequest;
  readonly buyer: Buyer;
  /** Start of the run, milliseconds since the epoch: `cache: refresh` takes no older video. */
  readonly startedAtMs: number;
  /** Batch that the run belongs to; null: none. */
  readonly batchId: string | null;
}

/**
 * Largest accepted difference between the shapes of image and video: the listed sizes are up to 1.9 % off (1088*832 for
 * 4:3).
 */
const ASPECT_TOLERANCE = 0.02;

/**
 * Attempts that may fail for another reason than our own store: an address that is unreachable for some two minutes
 * and more is the caller's to fix.
 */
const CALLER_FAULTS_MAX = 8;

/**
 * Images that a worker downloads at once, a fifth of its places: callers' servers decide how long each takes, and the
 * polls of everybody else need the other places. Further ones come back, and are no fault of their address.
 */
export const DOWNLOADS_MAX = 100;
const DOWNLOAD_AGAIN_MS = 5_000;
const WORKER_BUSY = 'WorkerBusy';

const faultsSchema = z.object({ callerFaults: z.number().int().nonnegative() });

/** A prepared request, and what is ready for it already. */
export interface FirstStep extends PreparedRequest {
  /** What `uploadReference` would return; absent: that step has to do it. */
  readonly ready?: Readiness;
}

/**
 * Checks the request, copies its image into the store, and looks in the cache. What is not there is made ready to buy
 * at once, where that takes no longer than for most; otherwise by the step `uploadReference`. Faults
 * of the store are retried for as long as the step's time allows, and do not count against the caller's address.
 */
export function createPrepareRequest(deps: ActivityDeps) {
  const downloads = new Bounded(DOWNLOADS_MAX);
  return (input: PrepareInput): Promise<FirstStep> => {
    let callerFaults = faultsSchema.safeParse(previousHeartbeat()).data?.callerFaults ?? 0;
    const details = () => ({ callerFaults });
    return withSignal(async (signal) => {
      try {
        const prepared = await prepare(input, deps, downloads, signal);
        const ready = prepared.cached === null ? await makeReadyAtOnce(deps, prepared, signal) : undefined;
        return ready === undefined ? prepared : { ...prepared, ready };
      } catch (error) {
        if (signal.aborted) throw error;
        const known: FailedPreparation = { attributes: await deps.knowsAttributes() };
        if (!isOurFault(error)) callerFaults += 1;
        // The attempt is about to fail; the next one reads the count from the last heartbeat.
        Context.current().heartbeat(details());
        throw toActivityFailure(error, known, callerFaults >= CALLER_FAULTS_MAX);
      }
    }, details);
  };
}

/**
 * Does the work of the next step within this one, which saves a generation a step.
 * @returns undefined when it takes longer, or failed for a reason that may pass: that step has its own stage and time.
 */
async function makeReadyAtOnce(
  deps: ActivityDeps,
  prepared: PreparedRequest,
  signal: AbortSignal,
): Promise<Readiness | undefined> {
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(deps.times.nextStepMs)]);
  try {
    return await makeReady(deps, { prepared, unrestorable: [] }, bounded);
  } catch (error) {
    if (signal.aborted || (!bounded.aborted && error instanceof VideoError && !error.retryable)) throw error;
    return undefined;
  }
}

/** Whether an error is one of our own store, which was proven at start and comes back, or of a worker that is full. */
const isOurFault = (error: unknown): boolean =>
  error instanceof VideoError &&
  error.retryable &&
  (error.type === FailureType.StoreUnavailable ||
    error.type === FailureType.ConfigurationInvalid ||
    error.code === WORKER_BUSY);

function workerBusy(): VideoError {
  return new VideoError(
    FailureType.ReferenceUnreachable,
    `reference_image: this worker downloads ${DOWNLOADS_MAX} images already; it is tried again`,
    { retryable: true, retryAfterMs: DOWNLOAD_AGAIN_MS, code: WORKER_BUSY, billed: false },
  );
}

async function prepare(
  { request: given, buyer, startedAtMs, batchId }: PrepareInput,
  deps: ActivityDeps,
  downloads: Bounded,
  signal: AbortSignal,
): Promise<PreparedRequest> {
  // What a plain caller sends is checked below, and may be anything.
  const audioUrl = await signedAudioUrl(deps, (given as Partial<VideoRequest> | null)?.audio_url);
  const parsed = parseRequest(audioUrl === undefined ? given : { ...given, audio_url: audioUrl });
  const { reference_image, ...request } = canonicalRequest(parsed);
  const { cache, tenant } = request;
  const findCached = async (key: string) => (cache === 'use' ? cachedResult(deps.ledger, key, signal) : null);
  const isAsIs = request.reference_upload === 'as_is';
  const resolve = () => (isAsIs ? checkAddress : resolveReference)(reference_image, deps, signal);
  // The name of a staged image has its hash, so the cache need not wait for the image.
  const stagedHash = isAsIs ? undefined : hashOfStaged(reference_image);
  const [{ reference, hash }, cachedEarly] = await Promise.all([
    /^https?:/i.test(reference_image) ? downloads.run(resolve, workerBusy) : resolve(),
    stagedHash === undefined ? undefined : findCached(cacheKey(request, MODEL, stagedHash)),
  ]);
  const ownAddress = reference.kind === 'asset' && reference.url !== undefined ? addressOf(reference.url) : undefined;
  // Of the whole address of the sound: what differs in a query may be another one.
  const key = cacheKey(request, MODEL, hash, ownAddress);
  return {
    request: withoutSignedAudio(request),
    labels: parsed.labels ?? {},
    cacheKey: key,
    query: { purchaseKey: purchaseKeyOf(key, cache, buyer), cache, buyer, firstStartedAtMs: startedAtMs },
    // Somebody waits for the video, unless the run belongs to a batch.
    queueIdentity: { tenant, batch: batchId, priority: batchId === null ? 'interactive' : 'batch' },
    slots: deps.slots.workflowId,
    storeId: deps.storeId,
    reference,
    warnings: previewWarnings(request, reference),
    cached: cachedEarly === undefined ? await findCached(key) : cachedEarly,
    attributes: await deps.knowsAttributes(),
    labelsHidden: deps.payloadsEncoded === true,
    times: stepTimesOf(deps.times),
    ...subscribedEvents(deps),
  };
}

/** The archived result behind a cache key, or null when there is none or its video is gone or damaged. */
async function cachedResult(ledger: Ledger, key: string, signal: AbortSignal): Promise<VideoResult | null> {
  const record = await ledger.findCached(key, { signal });
  if (record === undefined || !(await ledger.isIntact(record.result, { signal }))) return null;
  return fromCache(record.result);
}

/** The differences from the request that can be expected before anything is bought. */
function previewWarnings(
  { size, motion_strength }: Pick<CanonicalRequest, 'size' | 'motion_strength'>,
  reference: PreparedReference,
): VideoWarning[] {
  const warnings: VideoWarning[] = [];
  if (reference.kind === 'oss') {
    const message = 'An oss:// image cannot be read here; the provider checks it.';
    warnings.push({ code: 'reference_not_inspected', message });
  } else {
    if (reference.url !== undefined) {
      const message = 'The provider fetches the image itself, and may see a file that changed after it was checked.';
      warnings.push({ code: 'reference_not_pinned', message });
    }
    const [width = 1, height = 1] = size.split('*').map(Number);
    if (Math.abs(width / height / (reference.width / reference.height) - 1) > ASPECT_TOLERANCE) {
      const shape = `${reference.width}x${reference.height}`;
      const message = `The video takes the image's shape (${shape}), not that of size ${size}.`;
      warnings.push({ code: 'aspect_mismatch', message });
    }
  }
  if (motion_strength !== null) {
    const message = 'The provider documents no motion_strength and may ignore it.';
    warnings.push({ code: 'motion_strength_unsupported', message });
  }
  return warnings;
}

interface ResolvedReference {
  readonly reference: PreparedReference;
  /** SHA-256 (hex) of the image's bytes, or of the text of an `oss://` URL, which cannot be read. */
  readonly hash: string;
}

async function resolveReference(text: string, deps: ActivityDeps, signal: AbortSignal): Promise<ResolvedReference> {
  if (text.startsWith('oss://')) {
    return { reference: { kind: 'oss', url: text }, hash: createHash('sha256').update(text).digest('hex') };
  }
  if (text.startsWith('asset:')) return readStaged(text, deps, signal);
  const body = text.startsWith('data:') ? decodeDataUri(text) : await fetchImage(text, deps, signal);
  return stage(body, deps, signal);
}

/**
 * Checks an image that the provider is to fetch at its own address, and keeps a copy of what was checked. Only this
 * machine's own provider reaches addresses that are not public.
 */
async function checkAddress(url: string, deps: ActivityDeps, signal: AbortSignal): Promise<ResolvedReference> {
  const isLocal = providerIdOf(deps.providerBaseUrl) === 'emulator';
  const open = fetchImage(url, isLocal ? deps : { ...deps, allowPrivateUrls: [] }, signal);
  const body = await open.catch((error: unknown) => {
    if (!(error instanceof VideoError)) throw error;
    const message = 'is as_is: the provider must be able to fetch the image itself, from a public address';
    throw error.with({ issues: [...(error.issues ?? []), { path: 'reference_upload', message }] });
  });
  const { reference, hash } = await stage(body, deps, signal);
  return { reference: { ...reference, url }, hash };
}

async function stage(body: StageableImage, { store, spoolDir }: ActivityDeps, signal: AbortSignal) {
  const { asset, sha256 } = await stageImage(body, store, { spoolDir, signal });
  return { reference: { kind: 'asset', ...asset }, hash: sha256 } as const;
}

async function fetchImage(url: string, { allowPrivateUrls: allow, proxies, times }: ActivityDeps, signal: AbortSignal) {
  const limits = { maxBytes: IMAGE_BYTES_MAX, timeoutMs: times.referenceFetchMs };
  return (await fetchGuarded(url, { allow, proxies, ...limits, signal })).body;
}

/** The hash in the name of a staged image; `undefined` for an image that is elsewhere, or has no such name. */
const hashOfStaged = (text: string): string | undefined =>
  /^asset:references\/([0-9a-f]{64})\.(?:jpg|png|bmp|webp)$/.exec(text)?.[1];

async function readStaged(
  text: string,
  { store, images }: ActivityDeps,
  signal: AbortSignal,
): Promise<ResolvedReference> {
  const key = text.slice('asset:'.length);
  const hash = hashOfStaged(text);
  const head = hash === undefined ? undefined : await readHead(store, key, signal);
  // Only a file that goes on behind its head is larger.
  const bytes = head === undefined || head.length < IMAGE_HEAD_BYTES ? head?.length : await sizeOf(store, key, signal);
  if (hash === undefined || head === undefined || bytes === undefined) throw notStaged(key, store);
  const { mime, width, height } = inspectImage(head, bytes);
  if (bytes === head.length) images.add(key, head);
  return { reference: { kind: 'asset', key, mime, bytes, width, height }, hash };
}

async function readHead(store: AssetStore, key: string, signal: AbortSignal): Promise<Buffer | undefined> {
  try {
    const head: Uint8Array[] = [];
    const body = await store.get(key, { to: IMAGE_HEAD_BYTES - 1, signal });
    for await (const chunk of body) head.push(chunk as Uint8Array);
    return Buffer.concat(head);
  } catch (error) {
    if (error instanceof VideoError && error.type === FailureType.AssetNotFound) return undefined;
    throw error;
  }
}

const sizeOf = async (store: AssetStore, key: string, signal: AbortSignal): Promise<number | undefined> =>
  (await store.head(key, { signal }))?.bytes;

const notStaged = (key: string, { name }: AssetStore): VideoError =>
  new VideoError(FailureType.ReferenceRejected, `reference_image asset:${key} is not in ${name}`, {
    billed: false,
    issues: [
      {
        path: 'reference_image',
        message:
          'names no staged image; stage the file into the store that the worker uses: give both the same ' +
          'ASSET_STORE or OUTPUT_DIR, whose default is in the folder in which a command is started',
      },
    ],
  });
