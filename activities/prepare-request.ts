import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Context } from '@temporalio/activity';
import { FailureType } from '../src/contract/failure-type.js';
import { LIMITS, MODEL } from '../src/contract/model.js';
import type { VideoWarning } from '../src/contract/result.js';
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

/** Checks the request, brings its image into the store, and looks in the cache. Sends nothing to the provider. */
export function createPrepareRequest(deps: ActivityDeps): VideoActivities['prepareRequest'] {
  return ({ request }) =>
    withSignal(async (signal) => {
      const canonical = canonicalRequest(parseRequest(request));
      const { reference, hash } = await resolveReference(canonical.reference_image, deps, signal);
      const key = cacheKey(canonical, MODEL, hash);
      const cached = canonical.cache === 'use' ? await readCachedResult(deps, key, signal) : null;
      const warnings: VideoWarning[] = [];
      if (reference.kind === 'oss') {
        warnings.push({
          code: 'reference_not_inspected',
          message: 'An oss:// image cannot be read here; the provider judges it.',
        });
      } else {
        const [width, height] = canonical.size.split('*').map(Number) as [number, number];
        const asked = width / height;
        const real = reference.width / reference.height;
        // 2 %: the listed sizes themselves are off their nominal shape by up to 1.9 % (1088*832 for 4:3).
        if (Math.abs(asked / real - 1) > 0.02) {
          warnings.push({
            code: 'aspect_mismatch',
            message: `The video takes the image's shape (${reference.width}x${reference.height}), not that of size ${canonical.size}.`,
          });
        }
      }
      if (canonical.motion_strength !== null) {
        warnings.push({
          code: 'motion_strength_unsupported',
          message: 'The provider documents no motion_strength and may ignore it.',
        });
      }
      // Derived, so that a retry sends the same seed and the result can name it.
      const seed =
        canonical.seed ?? Number.parseInt(canonicalHash({ key, n: 1 }).slice(0, 8), 16) % (LIMITS.seedMax + 1);
      return { canonical, cacheKey: key, seed, reference, warnings, cached };
    });
}

async function resolveReference(
  text: string,
  deps: ActivityDeps,
  signal: AbortSignal,
): Promise<{ reference: PreparedReference; hash: string }> {
  if (text.startsWith('oss://')) {
    return { reference: { kind: 'oss', url: text }, hash: createHash('sha256').update(text).digest('hex') };
  }
  if (text.startsWith('asset:')) return readStaged(text.slice('asset:'.length), deps.store, signal);
  const file = join(
    deps.spoolDir,
    `reference-${Context.current().info.base64TaskToken.slice(-12).replaceAll(/\W/g, '')}-${process.hrtime.bigint()}`,
  );
  try {
    if (text.startsWith('data:')) {
      const comma = text.indexOf(',');
      await spoolToFile([Buffer.from(text.slice(comma + 1), 'base64')], file, { signal });
    } else {
      const answer = await fetchGuarded(text, {
        allow: deps.allowPrivateUrls,
        maxBytes: IMAGE_BYTES_MAX,
        timeoutMs: deps.times.referenceFetchMs,
        signal,
      });
      await spoolToFile(answer.body, file, { signal, maxBytes: IMAGE_BYTES_MAX });
    }
    const staged = await stageImageFile(file, deps.store, { signal });
    return { reference: { kind: 'asset', ...staged.asset }, hash: staged.sha256 };
  } finally {
    await rm(file, { force: true });
  }
}

async function readStaged(key: string, store: AssetStore, signal: AbortSignal) {
  const match = /^references\/([0-9a-f]{64})\.(jpg|jpeg|png|bmp|webp)$/.exec(key);
  const info = match === null ? undefined : await store.head(key, { signal });
  if (match?.[1] === undefined || info === undefined) {
    throw new VideoError(FailureType.ReferenceRejected, `reference_image asset:${key} is not in the asset store`, {
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
  let bytes = 0;
  const stream = await store.get(key, { signal });
  for await (const chunk of stream as AsyncIterable<Uint8Array>) {
    head.push(chunk);
    bytes += chunk.length;
    if (bytes >= 1024 * 1024) break; // inspectImage needs at most this much
  }
  const image = inspectImage(Buffer.concat(head), info.bytes);
  const reference: PreparedReference = {
    kind: 'asset',
    key,
    mime: image.mime,
    bytes: info.bytes,
    width: image.width,
    height: image.height,
  };
  return { reference, hash: match[1] };
}
