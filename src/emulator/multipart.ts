import { StoreError } from './wire.js';

/** One field of a form. */
interface FormPart {
  readonly name: string;
  readonly filename: string | undefined;
  readonly data: Buffer;
}

/** Splits a multipart/form-data body into its fields. @throws StoreError 400 for a malformed body. */
export function readForm(contentType: string, body: Buffer): FormPart[] {
  const match = /boundary=(?:"([^"]+)"|([^;]+))/i.exec(contentType);
  const boundary = match?.[1] ?? match?.[2]?.trim();
  const malformed = new StoreError(400, 'MalformedPOSTRequest', 'The body is not well-formed multipart/form-data.');
  if (boundary === undefined) throw malformed;
  const delimiter = Buffer.from(`\r\n--${boundary}`);
  const all = Buffer.concat([Buffer.from('\r\n'), body]); // The first delimiter now has the form of the others.
  const parts: FormPart[] = [];
  let at = all.indexOf(delimiter);
  for (;;) {
    if (at < 0) throw malformed;
    const start = at + delimiter.length;
    if (all.toString('latin1', start, start + 2) === '--') return parts;
    const headersEnd = all.indexOf('\r\n\r\n', start);
    at = all.indexOf(delimiter, start);
    if (headersEnd < 0 || at < 0) throw malformed;
    const headers = all.toString('utf8', start, headersEnd);
    parts.push({
      name: /[; ]name="?([^";\r\n]*)"?/i.exec(headers)?.[1] ?? '',
      filename: /filename="?([^";\r\n]*)"?/i.exec(headers)?.[1],
      data: all.subarray(headersEnd + 4, Math.max(headersEnd + 4, at)),
    });
  }
}
