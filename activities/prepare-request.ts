import { createHash, randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { FailureType } from '../src/contract/failure-type.js';
import { LIMITS, MODEL } from '../src/contract/model.js';
import type { CanonicalRequest } from '../src/contract/request.js';
import type { VideoWarning } from '../src/contract/result.js';
import { stepTimesOf } from '../src/contract/times.js';
import { cacheKey, canonicalHash, canonicalRequest, parseRequest } from '../src/contract/validate.js';
import { VideoError } from '../src/contract/video-error.js';
import { IMAGE_BYTES_MAX, inspectImage } from '../src/media/image.js';
import { stageImageFile } from '../src/media/stage-image.js';
import { fetchGuarded } from '../src/net/guarded-fetch.js';
import { spoolToFile } from '../src/net/spool.js';
import type { AssetStore } from '../src/storage/asset-store.js';
import { readCachedResult } from './cache.js';
import type { ActivityDeps } from './deps.js';
import type { PreparedReference, VideoActivities } from './types.js';
import { withSignal } from './with-signal.js';

/** The listed sizes themselves are off their nominal shape by up to 1.9 % (1088*832 for 4:3). */
const ASPECT_TOLERANCE = 0.02;

/** Checks the request, brings its image into the store, and looks in the cache. Sends nothing to the provider. */
export function createPrepareRequest(deps: ActivityDeps): VideoActivities['prepareRequest'] {
  return ({ request: given }) =>
    withSignal(async (signal) => {
      const { reference_image, ...request } = canonicalRequest(parseRequest(given));
      const { reference, hash } = await resolveReference(reference_image, deps, signal);
      const key = cacheKey(request, MODEL, hash);
      return {
        request,
        cacheKey: key,
        // Derived, so that a retry sends the same seed and the result can name it.
        seed: request.seed ?? Number.parseInt(canonicalHash({ key, n: 1 }).slice(0, 8), 16) % (LIMITS.seedMax + 1),
        reference,
        warnings: foreseen(request, reference),
        cached: request.cache === 'use' ? await readCachedResult(deps, key, signal) : null,
        times: stepTimesOf(deps.times),
      };
    });
}

/** What can be said before anything is bought. */
function foreseen(
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
  await mkdir(deps.spoolDir, { recursive: true });
  const file = join(deps.spoolDir, `reference-${randomUUID()}`);
  try {
    if (text.startsWith('data:')) {
      await spoolToFile([Buffer.from(text.slice(text.indexOf(',') + 1), 'base64')], file, { signal });
    } else {
      const { body } = await fetchGuarded(text, {
        allow: deps.allowPrivateUrls,
        maxBytes: IMAGE_BYTES_MAX,
        timeoutMs: deps.times.referenceFetchMs,
        signal,
      });
      await spoolToFile(body, file, { signal, maxBytes: IMAGE_BYTES_MAX });
    }
    const staged = await stageImageFile(file, deps.store, { signal });
    return { reference: { kind: 'asset', ...staged.asset }, hash: staged.sha256 };
  } finally {
    await rm(file, { force: true });
  }
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
          message: 'names no staged image; stage the file into the store that the worker uses',
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
