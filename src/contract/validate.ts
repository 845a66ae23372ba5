import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import { INPUT_DEPTH_MAX, ISSUE_PATH_MAX, isDeeperThan, REQUEST_FIELDS_MAX } from './bounds.js';
import { conformRules } from './conform.js';
import { FailureType } from './failure-type.js';
import { cleanIssues, firstIssues } from './issues.js';
import { SIZES } from './model.js';
import type { CanonicalRequest, VideoRequest } from './request.js';
import { conflictIssues, fieldIssues, LABELS_KIND, REQUEST_FIELDS } from './request-fields.js';
import { cleanText } from './safe-text.js';
import { type Issue, VideoError } from './video-error.js';

/** What a request is, for the message about other inputs. */
const REQUEST_KIND = 'must be one JSON object with the fields of videoGenerate';
/** What `conform` is, for the message about other values. */
const CONFORM_KIND = 'must be off, exact or an object such as {"fps":24}';
/** Characters of the name of a class, and of the reason why an object cannot be read. */
const CLASS_NAME_MAX = 100;
const REASON_MAX = 200;

/** What an input is: its faults, or a request. */
interface Reading {
  readonly issues: readonly Issue[];
  readonly request?: VideoRequest;
}

/** Lists every fault of `input`, each with its field path; empty for a valid request. */
export function requestIssues(input: unknown): Issue[] {
  return [...readRequest(input).issues];
}

/**
 * Parses a request. Every member of `input` is read once, and the request shares nothing with it.
 * @throws VideoError `InvalidRequest` with all faults together in `issues`.
 */
export function parseRequest(input: unknown): VideoRequest {
  const { issues, request } = readRequest(input);
  if (request === undefined) throw invalidRequest(issues);
  return request;
}

/**
 * Reads each member of a request once, for a caller that changes one of them before the request is parsed.
 * @throws VideoError `InvalidRequest` for an object that is not plain, or cannot be read.
 */
export function requestMembers(input: unknown): Readonly<Record<string, unknown>> {
  const members = copyOf(input, REQUEST_KIND, REQUEST_FIELDS_MAX);
  if (typeof members === 'string') throw invalidRequest([{ path: '', message: members }]);
  return members;
}

function readRequest(input: unknown): Reading {
  const fields = copyOf(input, REQUEST_KIND, REQUEST_FIELDS_MAX);
  if (typeof fields === 'string') return { issues: [{ path: '', message: fields }] };
  const { labels } = fields;
  if (typeof labels === 'object' && labels !== null) {
    const copy = copyOf(labels, LABELS_KIND);
    if (typeof copy === 'string') return { issues: [{ path: 'labels', message: copy }] };
    fields['labels'] = copy;
  }
  const { conform } = fields;
  if (typeof conform === 'object' && conform !== null) {
    const copy = copyOf(conform, CONFORM_KIND);
    if (typeof copy === 'string') return { issues: [{ path: 'conform', message: copy }] };
    fields['conform'] = copy;
  }
  if (isDeeperThan(INPUT_DEPTH_MAX, fields)) {
    return { issues: [{ path: '', message: 'is nested too deeply, or holds itself; a request is flat' }] };
  }
  const names: readonly string[] = REQUEST_FIELDS;
  const message = 'is not a field of videoGenerate; remove it or correct its name';
  const unknown = Object.keys(fields).flatMap((path) => (names.includes(path) ? [] : [{ path, message }]));
  const issues = [...REQUEST_FIELDS.flatMap((name) => fieldIssues(name, fields[name])), ...unknown];
  if (issues.length > 0) {
    return { issues: issues.map((issue) => ({ ...issue, path: cleanText(issue.path, ISSUE_PATH_MAX) })) };
  }
  const given = REQUEST_FIELDS.filter((name) => (fields[name] ?? undefined) !== undefined);
  const request = Object.fromEntries(given.map((name) => [name, fields[name]])) as unknown as VideoRequest;
  const conflicts = conflictIssues(request);
  return conflicts.length > 0 ? { issues: conflicts } : { issues: [], request };
}

/**
 * Reads each member of a plain object once, so that what is checked is what is sent.
 * @param kind - What the object must be, for the message about one that is something else.
 * @returns a copy, or the fault of an object that is not plain or cannot be read.
 */
function copyOf(input: unknown, kind: string, membersMax = Number.POSITIVE_INFINITY): Record<string, unknown> | string {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) return kind;
  try {
    const prototype: unknown = Object.getPrototypeOf(input);
    // Judged by its shape: the Object.prototype of a sandbox is another one.
    if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
      return `${kind}, not an instance of ${cleanText(String((prototype as object).constructor.name), CLASS_NAME_MAX)}`;
    }
    const names = Object.keys(input);
    if (names.length > membersMax) return `has ${names.length} fields; remove those that are not of video.generate`;
    // Entries, because an assignment to __proto__ makes no member; such a name is refused by what follows.
    return Object.fromEntries(names.map((name) => [name, (input as Record<string, unknown>)[name]]));
  } catch (error) {
    return `cannot be read: ${cleanText(error instanceof Error ? error.message : String(error), REASON_MAX)}`;
  }
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
    ...deliveryOf({ ...request, size }),
    cache: request.cache ?? 'use',
    tenant: request.tenant ?? null,
  };
}

function deliveryOf(request: VideoRequest): Pick<CanonicalRequest, 'delivery'> {
  const conform = conformRules(request.conform, request) ?? null;
  const poster = request.poster === true;
  return conform === null && !poster ? {} : { delivery: { conform, poster } };
}

/** SHA-256 (hex) of `value` as JSON with sorted keys. */
export function canonicalHash(value: unknown): string {
  return bytesToHex(sha256(utf8ToBytes(canonicalJson(value))));
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
  request: Omit<CanonicalRequest, 'reference_image' | 'delivery'>,
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
