import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';

/** S3's limit in bytes; keys are ASCII. A file system's own limit of 4096 for a path is farther off. */
const KEY_MAX = 1024;
/** Limit of one name on every common file system, in bytes. */
const SEGMENT_MAX = 255;
/** No dot first (the store's own names, never listed) or last (Windows drops it); nothing special in a shell or URL. */
const SEGMENT = /^[A-Za-z0-9_~=@+,-](?:[A-Za-z0-9._~=@+,-]*[A-Za-z0-9_~=@+,-])?$/;

/** Whether a name can be one segment of a key. */
export function isKeySegment(name: string): boolean {
  return name.length <= SEGMENT_MAX && SEGMENT.test(name) && !name.includes('..');
}

/**
 * Splits a key into its segments.
 * @throws {@link VideoError} `InvalidRequest` for a key that is empty, absolute, too long, or has a malformed segment.
 */
export function keySegments(key: string): string[] {
  const segments = key.split('/');
  if (key.length <= KEY_MAX && segments.every(isKeySegment)) return segments;
  const shown = JSON.stringify(key.length > 200 ? `${key.slice(0, 200)}…` : key);
  throw new VideoError(FailureType.InvalidRequest, `${shown} cannot be a key of the asset store`, {
    issues: [{ path: 'key', message: 'must be plain names (ASCII letters, digits, . _ ~ = @ + , -) separated by /' }],
    billed: false,
  });
}
