/** A well-formed reference, used while an image is checked separately from the other fields of its request. */
export const PLACEHOLDER_REFERENCE = `asset:references/${'0'.repeat(64)}.png`;

/** Whether an image is a reference that worker or provider resolve; anything else is a path on this machine. */
export const isReference = (image: string): boolean => /^(https?|asset|oss|data):/i.test(image);
