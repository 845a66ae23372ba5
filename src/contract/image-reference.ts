/** A well-formed reference, used while an image is checked separately from the other fields of its request. */
export const PLACEHOLDER_REFERENCE = `asset:references/${'0'.repeat(64)}.png`;

/** Whether an image is a reference that worker or provider resolve; anything else is a path on this machine. */
export const isReference = (image: string): boolean => /^(https?|asset|oss|data):/i.test(image);

/** Decodes a base64 `data:` URI; that it is one was checked before. */
export const decodeDataUri = (uri: string): Buffer => Buffer.from(uri.slice(uri.indexOf(',') + 1), 'base64');

/**
 * Version of the rules by which an image is made fit. It is part of the cache key of an image whose pixels they change,
 * so a change of the rules that changes pixels needs another version.
 */
const FIT_RULES = 1;
/** Colour behind transparent parts when the request names none. */
export const DEFAULT_BACKGROUND = '#ffffff';

/** Whether an image is sent with the pixels of its file, with other ones, or with other ones and a background. */
export type PixelChange = 'none' | 'fit' | 'flat';

/** An image in the store. */
export interface StagedReference {
  readonly key: string;
  /** SHA-256 (hex) of the file. */
  readonly hash: string;
  /** What was found when it was staged. */
  readonly change: PixelChange;
}

const STAGED = /^asset:(references\/([0-9a-f]{64})\.(?:(fit|flat)\.)?(?:jpg|png|webp|bmp|gif|tif|avif))$/;

/** Reads the name of a staged image; `undefined` for an image that is elsewhere, or has no such name. */
export function readStagedReference(text: string): StagedReference | undefined {
  const [, key, hash, change = 'none'] = STAGED.exec(text) ?? [];
  if (key === undefined || hash === undefined) return undefined;
  return { key, hash, change: change as PixelChange };
}

/** What the cache key has of an image's change; undefined for an image that is sent with the pixels of its file. */
export function fitOfKey(
  change: PixelChange,
  background: string | undefined,
): { readonly rules: number; readonly background?: string } | undefined {
  if (change === 'none') return undefined;
  return { rules: FIT_RULES, ...(change === 'flat' && { background: background ?? DEFAULT_BACKGROUND }) };
}
