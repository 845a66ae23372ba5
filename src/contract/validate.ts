import { createHash } from 'node:crypto';
import { INPUT_DEPTH_MAX, ISSUE_PATH_MAX, isDeeperThan, REQUEST_FIELDS_MAX } from './bounds.js';
import { FailureType } from './failure-type.js';
import { cleanIssues, firstIssues } from './issues.js';
import { LIMITS, SIZES } from './model.js';
import type { CanonicalRequest, VideoRequest } from './request.js';
import { videoRequestSchema } from './request.schema.js';
import { cleanText } from './safe-text.js';
import { type Issue, VideoError } from './video-error.js';

/** Lists every fault of `input`, each with its field path; empty for a valid request. */
export function requestIssues(input: unknown): Issue[] {
  const oversized = sizeIssue(input);
  if (oversized !== undefined) return [oversized];
  const parsed = videoRequestSchema.safeParse(input);
  if (parsed.success) return [];
  return parsed.error.issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => ({
          path: cleanText([...issue.path, key].join('.'), ISSUE_PATH_MAX),
          message: 'is not a field of videoGenerate; remove it or correct its name',
        }))
      : [{ path: cleanText(issue.path.join('.'), ISSUE_PATH_MAX), message: issue.message }],
  );
}

/**
 * The fault of an input that is too large to be checked field by field: that would take long and list every field.
 */
function sizeIssue(input: unknown): Issue | undefined {
  if (isDeeperThan(INPUT_DEPTH_MAX, input)) return { path: '', message: 'is nested too deeply; a request is flat' };
  if (typeof input !== 'object' || input === null) return undefined;
  const { length: fields } = Object.keys(input);
  if (fields > REQUEST_FIELDS_MAX) {
    return { path: '', message: `has ${fields} fields; remove those that are not of video.generate` };
  }
  const { labels } = input as { labels?: unknown };
  if (typeof labels !== 'object' || labels === null) return undefined;
  const names = Object.keys(labels);
  if (names.length > LIMITS.labelsMax) {
    return { path: 'labels', message: `has ${names.length} labels; leave out all but ${LIMITS.labelsMax}` };
  }
  // The parser drops it silently.
  if (names.includes('__proto__')) return { path: 'labels', message: 'has the name "__proto__"; use another one' };
  return undefined;
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

/** Faults in the message itself, which the Web UI shows first. */
const MESSAGE_ISSUES_MAX = 20;

/** The error for a request with the given faults. */
export function invalidRequest(issues: readonly Issue[]): VideoError {
  const text = firstIssues(issues, MESSAGE_ISSUES_MAX)
    .map(({ path, message }) => (path === '' ? message : `${path} ${message}`))
    .join('; ');
  return new VideoError(FailureType.InvalidRequest, `The request is invalid: ${text}`, {
    issues: cleanIssues(issues),
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
    reference_upload: request.reference_upload ?? 'provider',
    ...(request.reference_fit === 'strict' && { reference_fit: 'strict' }),
    ...(request.reference_background !== undefined && {
      reference_background: request.reference_background.toLowerCase(),
    }),
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

/** The image of a request, as the cache key knows it. */
export interface KeyReference {
  /** SHA-256 (hex) of the image's own bytes, or of the text of an `oss://` URL. */
  readonly hash: string;
  /**
   * The rules by which its pixels were changed before it was sent, and the colour that was put behind it; absent for an
   * image that is sent with the pixels of its file.
   */
  readonly fit?: { readonly rules: number; readonly background?: string } | undefined;
  /**
   * Where the provider fetches the image itself, without the query. Such a video never answers a request whose image is
   * uploaded: the file may have changed after its bytes were read here.
   */
  readonly fetchedFrom?: string | undefined;
}

/** The key under which an equal request finds this video: a hash of everything that changes picture or sound. */
export function cacheKey(
  request: Omit<CanonicalRequest, 'reference_image'>,
  model: string,
  { hash, fit, fetchedFrom }: KeyReference,
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
    reference: hash,
    motion_strength,
    audio,
    audio_url,
    prompt_extend,
    shot_type,
    watermark,
    // Absent from the hash unless they are given, so that every other key is what it was.
    fit,
    fetchedFrom,
  });
}
