import { createHash } from 'node:crypto';
import { FailureType } from '../src/contract/failure-type.js';
import { MODEL } from '../src/contract/model.js';
import type { CanonicalRequest } from '../src/contract/request.js';
import type { VideoResult, VideoWarning } from '../src/contract/result.js';
import { stepTimesOf } from '../src/contract/times.js';
import { cacheKey, canonicalRequest, parseRequest } from '../src/contract/validate.js';
import { VideoError } from '../src/contract/video-error.js';
import type { Ledger } from '../src/ledger/ledger.js';
import { IMAGE_BYTES_MAX, inspectImage } from '../src/media/image.js';
import { stageImage } from '../src/media/stage-image.js';
import { fetchGuarded } from '../src/net/guarded-fetch.js';
import type { AssetStore } from '../src/storage/asset-store.js';
import { toActivityFailure } from './activity-failure.js';
import type { ActivityDeps } from './deps.js';
import { subscribedEvents } from './notify-webhook.js';
import { fromCache } from './purchase-context.js';
import type { FailedPreparation, PreparedReference, PreparedRequest, VideoActivities } from './types.js';
import { withSignal } from './with-signal.js';

/** The listed sizes themselves are off their nominal shape by up to 1.9 % (1088*832 for 4:3). */
const ASPECT_TOLERANCE = 0.02;

/** Checks the request, brings its image into the store, and looks in the cache. Sends nothing to the provider. */
export function createPrepareRequest(deps: ActivityDeps): VideoActivities['prepareRequest'] {
  return (input) =>
    withSignal(async (signal) => {
      try {
        return await prepare(input, deps, signal);
      } catch (error) {
        if (signal.aborted) throw error;
        const known: FailedPreparation = { attributes: await deps.knowsAttributes() };
        throw toActivityFailure(error, known);
      }
    });
}

async function prepare(
  { request: given, batchId = null }: Parameters<VideoActivities['prepareRequest']>[0],
  deps: ActivityDeps,
  signal: AbortSignal,
): Promise<PreparedRequest> {
  const parsed = parseRequest(given);
  const { reference_image, ...request } = canonicalRequest(parsed);
  const { reference, hash } = await resolveReference(reference_image, deps, signal);
  const key = cacheKey(request, MODEL, hash);
  return {
    request,
    cacheKey: key,
    batchId,
    storeId: deps.storeId,
    labels: parsed.labels ?? {},
    reference,
    warnings: previewWarnings(request, reference),
    cached: request.cache === 'use' ? await cachedResult(deps.ledger, key, signal) : null,
    attributes: await deps.knowsAttributes(),
    ...(deps.payloadsEncoded === true && { labelsHidden: true }),
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

/** What can be said before anything is bought. */
function previewWarnings(
  { size, motion_strength }: Pick<CanonicalRequest, 'size' | 'motion_strength'>,
  reference: PreparedReference,
): VideoWarning[] {
  const warnings: VideoWarning[] = [];
  if (reference.kind === 'oss') {
    const message = 'An oss:// image cannot be read here; the provider judges it.';
    warnings.push({ code: 'reference_not_inspected', message });
  } else {
    const [width = 1, height = 1] = size.split('*').map(Number);
    if (Math.abs(width / height / (reference.width / reference.height) - 1) > ASPECT_TOLERANCE) {
      const message = `The video takes the image's shape (${reference.width}x${reference.height}), not that of size ${size}.`;
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
  if (text.startsWith('asset:')) return readStaged(text.slice('asset:'.length), deps.store, signal);
  const staged = await stageImage(await bodyOf(text, deps, signal), deps.store, { spoolDir: deps.spoolDir, signal });
  return { reference: { kind: 'asset', ...staged.asset }, hash: staged.sha256 };
}

async function bodyOf(text: string, { allowPrivateUrls: allow, proxies, times }: ActivityDeps, signal: AbortSignal) {
  if (text.startsWith('data:')) return Buffer.from(text.slice(text.indexOf(',') + 1), 'base64');
  const { body } = await fetchGuarded(text, {
    ...{ allow, proxies, maxBytes: IMAGE_BYTES_MAX, timeoutMs: times.referenceFetchMs, signal },
  });
  return body;
}

/** `inspectImage` needs at most this much of a file. */
const HEAD_BYTES = 1024 * 1024;

async function readStaged(key: string, store: AssetStore, signal: AbortSignal): Promise<ResolvedReference> {
  const hash = /^references\/([0-9a-f]{64})\.(jpg|png|bmp|webp)$/.exec(key)?.[1];
  const info = hash === undefined ? undefined : await store.head(key, { signal });
  if (hash === undefined || info === undefined) {
    throw new VideoError(FailureType.ReferenceRejected, `reference_image asset:${key} is not in ${store.name}`, {
      billed: false,
      issues: [
        {
          path: 'reference_image',
          message:
            'names no staged image; stage the file into the store that the worker uses: give both the same ASSET_STORE or OUTPUT_DIR, ' +
            'whose default lies in the folder that a command is started in',
        },
      ],
    });
  }
  const head: Uint8Array[] = [];
  const to = Math.min(info.bytes, HEAD_BYTES) - 1;
  for await (const chunk of await store.get(key, { to, signal })) head.push(chunk as Uint8Array);
  const { mime, width, height } = inspectImage(Buffer.concat(head), info.bytes);
  return { reference: { kind: 'asset', key, mime, bytes: info.bytes, width, height }, hash };
}
