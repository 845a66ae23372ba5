import { createHash } from 'node:crypto';
import { FailureType } from './failure-type.js';
import { SIZES } from './model.js';
import type { CanonicalRequest, VideoRequest } from './request.js';
import { videoRequestSchema } from './request.schema.js';
import { type Issue, VideoError } from './video-error.js';

/** Lists every fault of `input`, each with its field path; empty for a valid request. */
export function requestIssues(input: unknown): Issue[] {
  const parsed = videoRequestSchema.safeParse(input);
  if (parsed.success) return [];
  return parsed.error.issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => ({
          path: [...issue.path, key].join('.'),
          message: 'is not a field of videoGenerate; remove it or correct its name',
        }))
      : [{ path: issue.path.join('.'), message: issue.message }],
  );
}

/**
 * Parses a request.
 * @throws VideoError `InvalidRequest` with all faults together in `issues`.
 */
export function parseRequest(input: unknown): VideoRequest {
  const issues = requestIssues(input);
  if (issues.length > 0) throw invalidRequest(issues);
  return videoRequestSchema.parse(input);
}

/** The error for a request with the given faults. */
export function invalidRequest(issues: readonly Issue[]): VideoError {
  const text = issues.map(({ path, message }) => (path === '' ? message : `${path} ${message}`)).join('; ');
  return new VideoError(FailureType.InvalidRequest, `The request is invalid: ${text}`, {
    issues,
    billed: false,
    nextStep: 'Correct the named fields and send the request again.',
  });
}

/** Fills in the defaults and brings every value into its canonical form. */
export function canonicalRequest(request: VideoRequest): CanonicalRequest {
  const size = request.size.replace('x', '*');
  return {
    prompt: request.prompt,
    negative_prompt: request.negative_prompt || null,
    duration: request.duration,
    fps: request.fps,
    size,
    resolution: SIZES[size] ?? '720P',
    seed: request.seed ?? null,
    reference_image: request.reference_image,
    motion_strength: request.motion_strength ?? null,
    // The provider's default is with sound, which doubles the price.
    audio: request.audio ?? request.audio_url !== undefined,
    audio_url: request.audio_url ?? null,
    prompt_extend: request.prompt_extend ?? null,
    shot_type: request.shot_type ?? null,
    watermark: request.watermark ?? null,
    cache: request.cache ?? 'use',
    tenant: request.tenant ?? null,
  };
}

/** SHA-256 (hex) of `value` as JSON with sorted keys. */
export function canonicalHash(value: unknown): string {
  return createHash('sha256').update(canonicalJson(value)).digest('hex');
}

function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) =>
    typeof item === 'object' && item !== null && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
      : item,
  );
}

/** Identifies the run that equal requests share: a hash of the canonical request, which has no labels. */
export function requestFingerprint(request: VideoRequest): string {
  return canonicalHash({ v: 1, ...canonicalRequest(request) }).slice(0, 40);
}

/**
 * The key under which an equal request finds this video: a hash of everything that changes picture or sound.
 * @param referenceHash - SHA-256 (hex) of the image's bytes, or of the text of an `oss://` URL.
 */
export function cacheKey(
  request: Omit<CanonicalRequest, 'reference_image'>,
  model: string,
  referenceHash: string,
): string {
  const { prompt, negative_prompt, duration, fps, size, seed, motion_strength } = request;
  const { audio, audio_url, prompt_extend, shot_type, watermark } = request;
  return canonicalHash({
    version: 1,
    model,
    prompt,
    negative_prompt,
    duration,
    fps,
    size,
    seed,
    reference: referenceHash,
    motion_strength,
    audio,
    audio_url,
    prompt_extend,
    shot_type,
    watermark,
  });
}
