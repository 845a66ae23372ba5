/** A well-formed reference, used while an image is checked separately from the other fields of its request. */
export const PLACEHOLDER_REFERENCE = `asset:references/${'0'.repeat(64)}.png`;

/** Whether an image is a reference that worker or provider resolve; anything else is a path on this machine. */
export const isReference = (image: string): boolean => /^(https?|asset|oss|data):/i.test(image);

/** Decodes a base64 `data:` URI; that it is one was checked before. */
export const decodeDataUri = (uri: string): Buffer => Buffer.from(uri.slice(uri.indexOf(',') + 1), 'base64');
