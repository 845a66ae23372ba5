import { createHash } from 'node:crypto';
import { Context } from '@temporalio/activity';
import { z } from 'zod';
import { Bounded } from '../src/async/bounded.js';
import { Semaphore } from '../src/async/semaphore.js';
import { providerIdOf } from '../src/config/config.js';
import { FailureType } from '../src/contract/failure-type.js';
import { decodeDataUri, fitOfKey, readStagedReference } from '../src/contract/image-reference.js';
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
import {
  type ExaminedImage,
  IMAGE_BYTES_MAX,
  type ImageChange,
  imageRejected,
  pixelChangeOf,
  strictFaults,
} from '../src/media/image.js';
import { type FitOptions, type FittedImage, type StageableImage, stageFittedImage } from '../src/media/stage-image.js';
import { fetchGuarded } from '../src/net/guarded-fetch.js';
import type { AssetStore } from '../src/storage/asset-store.js';
import { toActivityFailure } from './activity-failure.js';
import type { ActivityDeps } from './deps.js';
import { knownEvents, subscribedEvents } from './post-event.js';
import {
  addressOf,
  type FailedPreparation,
  type PreparedReference,
  type PreparedRequest,
  type RequestFields,
} from './prepared-request.js';
import { fromCache } from './purchase-step.js';
import { signedAudioUrl } from './signed-audio.js';
import { makeReady, type Readiness } from './upload-reference.js';
import { webLinksOf } from './web-links.js';
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
/**
 * Runs that are made ready at once: in a crowd each takes its turn, and the submits of those that are ready do not wait
 * for the store behind hundreds of uploads. 32 uploads of five seconds are more than an account's five submits in one.
 * A run that gets no turn within such a time leaves it to the step `uploadReference`.
 */
const READIED_AT_ONCE = 32;
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
  const turns = new Semaphore(READIED_AT_ONCE);
  return (input: PrepareInput): Promise<FirstStep> => {
    let callerFaults = faultsSchema.safeParse(previousHeartbeat()).data?.callerFaults ?? 0;
    const details = () => ({ callerFaults });
    return withSignal(async (signal) => {
      try {
        const prepared = await prepare(input, deps, downloads, signal);
        const inTurn = () => makeReadyAtOnce(deps, prepared, signal);
        const ready = prepared.cached === null ? await turns.runSoon(inTurn, deps.times.nextStepMs, signal) : undefined;
        return ready === undefined ? prepared : { ...prepared, ready };
      } catch (error) {
        if (signal.aborted) throw error;
        const { receiver } = Object(input.request) as Partial<VideoRequest>;
        const known: FailedPreparation = {
          attributes: await deps.knowsAttributes(),
          ...knownEvents(deps, receiver),
        };
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
  const { reference_image, delivery, ...request } = canonicalRequest(parsed);
  const { cache, tenant } = request;
  const webhookEvents = subscribedEvents(deps, parsed.receiver); // refuses an unknown name before anything is done
  const findCached = async (key: string) => (cache === 'use' ? cachedResult(deps.ledger, key, signal) : null);
  const isAsIs = request.reference_upload === 'as_is';
  const fit = fitOptions(request, deps, signal);
  const resolve = () => (isAsIs ? checkAddress : resolveReference)(reference_image, deps, fit);
  // The name of a staged image has what the key needs, so the cache need not wait for the image.
  const earlyKey = isAsIs ? undefined : keyOfStaged(request, reference_image);
  const [{ reference, hash, changes }, cachedEarly] = await Promise.all([
    /^https?:/i.test(reference_image) ? downloads.run(resolve, workerBusy) : resolve(),
    earlyKey === undefined ? undefined : findCached(earlyKey),
  ]);
  const ownAddress = reference.kind === 'asset' && reference.url !== undefined ? addressOf(reference.url) : undefined;
  // Of the whole address of the sound: what differs in a query may be another one.
  const key = cacheKey(request, MODEL, {
    hash,
    // What the provider fetches itself is not changed.
    fit: isAsIs ? undefined : fitOfKey(pixelChangeOf(changes), request.reference_background),
    fetchedFrom: ownAddress,
  });
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
    warnings: [...previewWarnings(request, reference), ...changes.map((change) => warningOf(change, isAsIs))],
    cached: cachedEarly === undefined || key !== earlyKey ? await findCached(key) : cachedEarly,
    ...(delivery !== undefined && { delivery }),
    attributes: await deps.knowsAttributes(),
    labelsHidden: deps.payloadsEncoded === true,
    times: stepTimesOf(deps.times),
    ...webhookEvents,
    ...webLinksOf(deps),
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

/** The warning for a change of the image, or for one that was not possible. */
const warningOf = ({ code, done }: ImageChange, isAsIs: boolean): VideoWarning =>
  isAsIs
    ? { code: 'reference_not_fitted', message: `The provider fetches the image itself, so it was not ${done}.` }
    : { code, message: `The image was ${done}.` };

interface ResolvedReference {
  readonly reference: PreparedReference;
  /** SHA-256 (hex) of the image's own bytes, or of the text of an `oss://` URL, which cannot be read. */
  readonly hash: string;
  readonly changes: readonly ImageChange[];
}

/** How the request wants its image to be made fit. */
const fitOptions = (
  { reference_fit, reference_background: background }: RequestFields,
  { spoolDir }: ActivityDeps,
  signal: AbortSignal,
): FitOptions => ({
  spoolDir,
  signal,
  background,
  ...(reference_fit === 'strict' && { accept: refuseChanges }),
});

function refuseChanges({ changes }: Pick<ExaminedImage, 'changes'>): void {
  if (changes.length > 0) throw imageRejected(strictFaults(changes));
}

/** Formats that the provider takes (image-to-video API reference, `img_url`). */
const PROVIDER_FORMATS: readonly string[] = ['jpg', 'png', 'webp', 'bmp'];

/** Refuses what the provider is known to refuse, in an image that cannot be changed on its way. */
function refuseUnfit({ ext, changes }: Pick<ExaminedImage, 'ext' | 'changes'>): void {
  const isRefused = ({ code }: ImageChange): boolean =>
    (code === 'reference_flattened' && ext === 'png') ||
    (code === 'reference_converted' && !PROVIDER_FORMATS.includes(ext));
  const faults = changes.filter(isRefused).map(({ done }) => `must be ${done}, and the provider fetches it as it is`);
  if (faults.length > 0) throw imageRejected(faults);
}

async function resolveReference(text: string, deps: ActivityDeps, fit: FitOptions): Promise<ResolvedReference> {
  if (text.startsWith('oss://')) {
    const hash = createHash('sha256').update(text).digest('hex');
    return { reference: { kind: 'oss', url: text }, hash, changes: [] };
  }
  if (text.startsWith('asset:')) return readStaged(text, deps, fit);
  const body = text.startsWith('data:') ? decodeDataUri(text) : await fetchImage(text, deps, fit.signal);
  return stage(body, deps, fit);
}

/**
 * Checks an image that the provider is to fetch at its own address, and keeps a copy of what was checked. Only this
 * machine's own provider reaches addresses that are not public.
 */
async function checkAddress(url: string, deps: ActivityDeps, fit: FitOptions): Promise<ResolvedReference> {
  const isLocal = providerIdOf(deps.providerBaseUrl) === 'emulator';
  const asIsFault = (error: unknown, message: string) => {
    if (!(error instanceof VideoError)) return error;
    return error.with({ issues: [...(error.issues ?? []), { path: 'reference_upload', message }] });
  };
  const open = fetchImage(url, isLocal ? deps : { ...deps, allowPrivateUrls: [] }, fit.signal);
  const body = await open.catch((error: unknown) => {
    const message = 'is as_is: the provider must be able to fetch the image itself, from a public address';
    throw asIsFault(error, message);
  });
  const accept = (image: Pick<ExaminedImage, 'ext' | 'changes'>) => {
    try {
      fit.accept?.(image);
      refuseUnfit(image);
    } catch (error) {
      throw asIsFault(error, 'is as_is: leave it out, so that the image can be changed before it is sent');
    }
  };
  const { reference, hash, changes } = await stage(body, deps, { ...fit, keep: true, accept });
  return { reference: { ...reference, url }, hash, changes };
}

async function stage(body: StageableImage, { store, images }: ActivityDeps, fit: FitOptions) {
  const fitted = await stageFittedImage(body, store, fit);
  // Another request may have the same image made fit.
  if (fit.keep !== true) images.add(fitted, fit.background);
  return resolved(fitted);
}

function resolved({ asset, source, sha256: hash, changes }: FittedImage) {
  const reference = { kind: 'asset', ...asset, ...(source !== asset.key && { source }) } as const;
  return { reference, hash, changes };
}

async function fetchImage(
  url: string,
  { allowPrivateUrls: allow, proxies, times }: ActivityDeps,
  signal: AbortSignal | undefined,
) {
  const limits = { maxBytes: IMAGE_BYTES_MAX, timeoutMs: times.referenceFetchMs };
  return (await fetchGuarded(url, { allow, proxies, ...limits, signal })).body;
}

/** The cache key of a staged image by its name; `undefined` for an image that is elsewhere, or has no such name. */
function keyOfStaged(request: RequestFields, text: string): string | undefined {
  const staged = readStagedReference(text);
  if (staged === undefined) return undefined;
  const fit = fitOfKey(staged.change, request.reference_background);
  return cacheKey(request, MODEL, { hash: staged.hash, fit });
}

async function readStaged(text: string, deps: ActivityDeps, fit: FitOptions): Promise<ResolvedReference> {
  const { store, images } = deps;
  const staged = readStagedReference(text);
  if (staged === undefined) throw notStaged(text.slice('asset:'.length), store);
  const known = images.find(staged.hash, fit.background);
  // What is sent may have been purged since.
  if (known !== undefined && (await store.head(known.asset.key, { signal: fit.signal })) !== undefined) {
    fit.accept?.(known);
    return resolved(known);
  }
  const body = await store.get(staged.key, { signal: fit.signal }).catch((error: unknown) => {
    throw error instanceof VideoError && error.type === FailureType.AssetNotFound
      ? notStaged(staged.key, store)
      : error;
  });
  return stage(body, deps, { ...fit, storedAs: staged.key });
}

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
