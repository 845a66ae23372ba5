import { FailureType } from '../contract/failure-type.js';
import type { VideoRequest } from '../contract/request.js';
import { parseRequest, requestFingerprint } from '../contract/validate.js';
import { VideoError } from '../contract/video-error.js';
import type { ManifestItem } from './manifest.js';

/** One line of the manifest that a batch runs. */
export interface StoredItem {
  readonly item_id: string;
  /** Number of the line in the caller's manifest. */
  readonly line: number;
  /** Id of an earlier item that requests the same video. */
  readonly same_as?: string;
  readonly request: VideoRequest;
}

/**
 * Longest line once its image is staged: a prompt of 1500 characters has 6 kB, and a page of lines must fit into a
 * payload.
 */
export const STORED_LINE_BYTES_MAX = 64 * 1024;

/** Finds lines that request the same video; it remembers 40 characters of each. */
export class DuplicateFinder {
  readonly #first = new Map<string, string>();

  /** Returns the id of an earlier item with an equal request. With `cache: off` no two requests are equal. */
  findEarlier(itemId: string, request: VideoRequest): string | undefined {
    if (request.cache === 'off') return undefined;
    const fingerprint = requestFingerprint(request);
    const first = this.#first.get(fingerprint);
    if (first === undefined) this.#first.set(fingerprint, itemId);
    return first;
  }
}

/**
 * Encodes an item as a line of the stored manifest, which is a manifest itself.
 * @param reference - The image as a worker reads it.
 * @throws VideoError `InvalidRequest` when the line is longer than {@link STORED_LINE_BYTES_MAX}.
 */
export function encodeStoredLine(
  { line, itemId, comment, fields }: ManifestItem,
  reference: unknown,
  duplicates: DuplicateFinder,
): { readonly bytes: Buffer; readonly isDuplicate: boolean } {
  const request = parseRequest({ ...fields, reference_image: reference });
  const earlier = duplicates.findEarlier(itemId, request);
  const head = { item_id: itemId, line, ...(earlier !== undefined && { same_as: earlier }) };
  const bytes = Buffer.from(`${JSON.stringify({ ...head, ...(comment !== undefined && { comment }), ...request })}\n`);
  if (bytes.length <= STORED_LINE_BYTES_MAX) return { bytes, isDuplicate: earlier !== undefined };
  const message = `has ${bytes.length} bytes with its labels and comment; the limit is ${STORED_LINE_BYTES_MAX}`;
  throw new VideoError(FailureType.InvalidRequest, message, { billed: false, issues: [{ path: '', message }] });
}

/** Decodes a line that {@link encodeStoredLine} has written; its request was checked then. */
export function decodeStoredLine(bytes: Uint8Array): StoredItem {
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
