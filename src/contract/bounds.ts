// Bounds of what others send, and of what Temporal accepts from us. They are documented in docs/limits.md.

/**
 * Bytes of a request as JSON: far above the largest one, which has some 350 kB when it holds its image as a `data:` URI
 * of 256 KiB, and below the 2 MB of one payload, in which a step gets it together with other values.
 */
export const REQUEST_BYTES_MAX = 1_048_576;
/** Fields of a request; there are some twenty. */
export const REQUEST_FIELDS_MAX = 64;
/** Levels of an input: a text of a million brackets would exhaust the stack of what walks through it. */
export const INPUT_DEPTH_MAX = 16;
/** Faults that one failure lists; it counts the others. */
export const ISSUES_MAX = 100;
/** Characters of the path of a fault, in which a caller's names are. */
export const ISSUE_PATH_MAX = 200;
/** Seconds of the longest deadline of a run: 30 days. */
export const DEADLINE_SECONDS_MAX = 2_592_000;
/**
 * Seconds of the longest wait for a manifest: 2 days. A look a minute adds some eleven events to the history, which may
 * have 51,200.
 */
export const MANIFEST_WAIT_SECONDS_MAX = 172_800;
/**
 * Seconds of the longest life of a signed address of S3, signature version 4
 * (https://docs.aws.amazon.com/AmazonS3/latest/userguide/ShareObjectPreSignedURL.html).
 */
export const PRESIGN_SECONDS_MAX = 604_800;

/** Bytes that Temporal accepts as the value of one search attribute (`limit.searchAttributesSizeOfValue`). */
export const ATTRIBUTE_BYTES_MAX = 2_048;
/** Bytes that Temporal accepts as a summary (`limit.userMetadataSummarySize`). */
export const SUMMARY_BYTES_MAX = 400;
/** Bytes that Temporal accepts as details (`limit.userMetadataDetailsSize`). */
export const DETAILS_BYTES_MAX = 20_000;
/** Bytes that Temporal accepts as an id (`limit.maxIDLength`). */
export const ID_BYTES_MAX = 1_000;

/** Bytes of a text in UTF-8. */
export const bytesOf = (text: string): number => new TextEncoder().encode(text).length;

/** Whether a value has more levels of objects and lists than `levels`. Linear in the value's size. */
export function isDeeperThan(levels: number, value: unknown): boolean {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return false;
  return levels === 0 || Object.values(value).some((member) => isDeeperThan(levels - 1, member));
}

/** Shortens a text to `maxBytes` of UTF-8, between two characters; one that was cut ends with `…`. */
export function cutToBytes(text: string, maxBytes: number): string {
  if (text.length <= maxBytes && bytesOf(text) <= maxBytes) return text;
  const kept: string[] = [];
  let bytes = bytesOf('…');
  for (const character of text.slice(0, maxBytes)) {
    bytes += bytesOf(character);
    if (bytes > maxBytes) break;
    kept.push(character);
  }
  return `${kept.join('')}…`;
}
