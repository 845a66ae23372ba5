/** Decodes a base64 `data:` URI; that it is one was checked before. */
export const decodeDataUri = (uri: string): Buffer => Buffer.from(uri.slice(uri.indexOf(',') + 1), 'base64');
