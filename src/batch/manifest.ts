import { FailureType } from '../contract/failure-type.js';
import type { VideoRequest } from '../contract/request.js';
import { parseRequest, requestFingerprint, requestIssues } from '../contract/validate.js';
import { type Issue, VideoError } from '../contract/video-error.js';
import { readLines } from './line-reader.js';

/** A request with its place in a batch, as a manifest has it. */
export interface ManifestItem {
  /** Line of the manifest that was given, from 1. */
  readonly line: number;
  readonly itemId: string;
  /** For people only, such as the reason why the line is to be run again. */
  readonly comment: string | undefined;
  /** Fields of the request; the image is still to be staged when {@link ManifestItem.local} says so. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** Path of an image of this machine, as it is written in the line. */
  readonly local: string | undefined;
}

/** What is wrong with one line. */
export interface ManifestFault {
  readonly line: number;
  readonly itemId: string | null;
  readonly issues: readonly Issue[];
  /** The line's fields as far as they could be read. */
  readonly fields: Readonly<Record<string, unknown>> | null;
}

export type ManifestEntry =
  | { readonly kind: 'item'; readonly item: ManifestItem }
  | { readonly kind: 'fault'; readonly fault: ManifestFault };

/** A request is at most some 350 kB, when its image is in it as a `data:` URI of 256 KiB. */
export const LINE_BYTES_MAX = 1024 * 1024;
/**
 * What a line may be once its image is staged: a prompt of 1500 characters is 6 kB. A page of them must fit into a
 * payload.
 */
export const STORED_LINE_BYTES_MAX = 64 * 1024;

/**
 * Fields that a line may have in addition to those of the request; `line` and `same_as` are written by us each time.
 */
const OWN_FIELDS = ['item_id', 'comment', 'line', 'same_as'];
/** An id is a part of workflow ids, file names and spreadsheets. */
const ITEM_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;
/** In place of an image that is checked by itself. */
const SOME_REFERENCE = `asset:references/${'0'.repeat(64)}.png`;

/** How a manifest is read. */
export interface ReadManifestOptions {
  /** Whether an image may be a path of this machine: true for who can stage it. */
  readonly localImages: boolean;
}

/**
 * Reads a manifest line by line, in constant memory but for the ids, and judges each line by itself: JSON, fields, ids.
 * Empty lines are passed over. Sends nothing, opens no image.
 */
export async function* readManifest(
  body: AsyncIterable<Uint8Array>,
  options: ReadManifestOptions,
): AsyncGenerator<ManifestEntry> {
  const ids = new Map<string, number>();
  let lines = 0;
  for await (const { number, bytes } of readLines(body, LINE_BYTES_MAX)) {
    const entry = judge(number, bytes, ids, options);
    if (entry === undefined) continue;
    lines += 1;
    yield entry;
  }
  if (lines === 0) yield faultOf(1, [{ path: '', message: 'is missing: the manifest holds no request' }]);
}

function judge(
  line: number,
  bytes: Uint8Array | null,
  ids: Map<string, number>,
  { localImages }: ReadManifestOptions,
): ManifestEntry | undefined {
  if (bytes === null) {
    const limit = `${LINE_BYTES_MAX} bytes`;
    return faultOf(line, [{ path: '', message: `is longer than ${limit}; give the image as a path or URL` }]);
  }
  const text = textOf(bytes, line === 1);
  if (text === undefined) return faultOf(line, [{ path: '', message: 'is not UTF-8; save the file as UTF-8' }]);
  if (text.trim() === '') return undefined;
  const fields = objectOf(text);
  if (typeof fields === 'string') return faultOf(line, [{ path: '', message: fields }]);

  const { item_id: given, comment, ...rest } = fields;
  const issues: Issue[] = [];
  const itemId = given === undefined || given === null ? defaultId(line) : given;
  if (typeof itemId !== 'string' || !ITEM_ID.test(itemId)) {
    const message = 'must be 1 to 100 letters, digits, dots, dashes or underscores, a letter or digit first';
    issues.push({ path: 'item_id', message });
  } else {
    // Two names that differ in case only would be one file where case is ignored.
    const first = ids.get(itemId.toLowerCase());
    if (first === undefined) ids.set(itemId.toLowerCase(), line);
    else issues.push({ path: 'item_id', message: `is the same as that of line ${first}; give each line its own` });
  }
  if (comment !== undefined && comment !== null && typeof comment !== 'string') {
    issues.push({ path: 'comment', message: 'must be text' });
  }
  const request = Object.fromEntries(Object.entries(rest).filter(([name]) => !OWN_FIELDS.includes(name)));
  const image = request['reference_image'];
  const local = localImages && typeof image === 'string' && isLocal(image) ? image : undefined;
  issues.push(...requestIssues(local === undefined ? request : { ...request, reference_image: SOME_REFERENCE }));
  const known = typeof itemId === 'string' ? itemId : null;
  if (issues.length > 0) return faultOf(line, issues, known, fields);
  return {
    kind: 'item',
    item: {
      line,
      itemId: itemId as string,
      fields: request,
      local,
      comment: typeof comment === 'string' ? comment : undefined,
    },
  };
}

/** Lines of a file of 10 000 sort like their numbers. */
const defaultId = (line: number): string => `line-${String(line).padStart(5, '0')}`;

/** What is not a reference that worker or provider read by themselves. */
const isLocal = (image: string): boolean => image !== '' && !/^(https?|asset|oss|data):/i.test(image);

function textOf(bytes: Uint8Array, first: boolean): string | undefined {
  try {
    // A byte-order mark at the beginning of the file is no part of its first line; elsewhere it would be JSON's fault.
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: !first }).decode(bytes);
  } catch {
    return undefined;
  }
}

function objectOf(text: string): Record<string, unknown> | string {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
    return 'is not one JSON object with the fields of video.generate';
  } catch {
    // Without the parser's own words: they quote the line.
    return 'is not JSON; write one object on one line, without a comma at its end';
  }
}

const faultOf = (
  line: number,
  issues: readonly Issue[],
  itemId: string | null = null,
  fields: ManifestFault['fields'] = null,
): ManifestEntry => ({ kind: 'fault', fault: { line, itemId, issues, fields } });

/** One line of the manifest that a batch runs. */
export interface StoredItem {
  readonly item_id: string;
  /** Line of the manifest that was given. */
  readonly line: number;
  /** Id of an earlier item that asks for the same video. */
  readonly same_as?: string;
  readonly request: VideoRequest;
}

/** Finds lines that ask for the same video; remembers 40 characters of each. */
export class EqualLines {
  readonly #first = new Map<string, string>();

  /** The id of an earlier item with an equal request. With `cache: off` each asks for a video of its own. */
  earlier(itemId: string, request: VideoRequest): string | undefined {
    if (request.cache === 'off') return undefined;
    const fingerprint = requestFingerprint(request);
    const first = this.#first.get(fingerprint);
    if (first === undefined) this.#first.set(fingerprint, itemId);
    return first;
  }
}

/**
 * Writes an item as a line of the stored manifest, which is a manifest itself.
 * @param reference - The image as a worker reads it.
 * @throws VideoError `InvalidRequest` when the line is larger than {@link STORED_LINE_BYTES_MAX}.
 */
export function storedLine(
  { line, itemId, comment, fields }: ManifestItem,
  reference: unknown,
  equal: EqualLines,
): { readonly bytes: Buffer; readonly isDuplicate: boolean } {
  const request = parseRequest({ ...fields, reference_image: reference });
  const same = equal.earlier(itemId, request);
  const head = { item_id: itemId, line, ...(same !== undefined && { same_as: same }) };
  const bytes = Buffer.from(`${JSON.stringify({ ...head, ...(comment !== undefined && { comment }), ...request })}\n`);
  if (bytes.length <= STORED_LINE_BYTES_MAX) return { bytes, isDuplicate: same !== undefined };
  const message = `has ${bytes.length} bytes with labels and comment; at most ${STORED_LINE_BYTES_MAX} are possible`;
  throw new VideoError(FailureType.InvalidRequest, message, { billed: false, issues: [{ path: '', message }] });
}

/** Reads a line that {@link storedLine} has written; nothing of it is checked again. */
export function readStoredLine(bytes: Uint8Array): StoredItem {
  const {
    item_id,
    line,
    same_as,
    comment: _,
    ...request
  } = JSON.parse(Buffer.from(bytes).toString('utf8')) as {
    item_id: string;
    line: number;
    same_as?: string;
    comment?: string;
  } & VideoRequest;
  return { item_id, line, ...(same_as !== undefined && { same_as }), request };
}

/** Every fault as an issue of the manifest as a whole, `line 7: duration`. */
export const lineIssues = (faults: readonly ManifestFault[]): Issue[] =>
  faults.flatMap(({ line, issues }) =>
    issues.map(({ path, message }) => ({ path: `line ${line}${path === '' ? '' : `, ${path}`}`, message })),
  );

/** Issues that one failure carries; the rest is counted. */
export const ISSUES_MAX = 100;

/** The first issues, and how many more there are. */
export function firstIssues(issues: readonly Issue[], max: number): readonly Issue[] {
  if (issues.length <= max) return issues;
  return [...issues.slice(0, max), { path: '', message: `and ${issues.length - max} more` }];
}

/** The error for a manifest with the given faults; nothing has been bought by then. */
export function invalidManifest(name: string, faults: readonly ManifestFault[]): VideoError {
  const shown = firstIssues(lineIssues(faults), ISSUES_MAX);
  const lines = faults.length === 1 ? 'one line' : `${faults.length} lines`;
  return new VideoError(FailureType.InvalidRequest, `The manifest ${name} has faults in ${lines}`, {
    issues: shown,
    billed: false,
    nextStep:
      'Correct the named lines, or run the valid ones with --allow-invalid (allow_invalid). Nothing was bought.',
  });
}
