/** Names of query parameters that sign links: those of S3, OSS, GCS, Azure and CloudFront, and home-made ones. */
const SIGNS = new RegExp(
  'sign|^sig$|token|expire|^exp$|credential|secret|^pass|passw|^pwd$|policy|hmac|hash|auth|jwt|key|session|ticket|' +
    '^otp$|^code$|^[as]k$|^s[eptv]$|' +
    '^(?:x-)?(?:amz|goog|oss|cos|obs)-',
  'i',
);
/** A value that nobody types: letters and digits that may be a signature or a token under any name. */
const OPAQUE = /^[A-Za-z0-9+/_=.~%-]{24,}$/;

/** Whether an address carries what only its receiver may know: a user, or a query that looks like a signature. */
export function isSignedUrl(text: string): boolean {
  const [address = '', query] = split(text);
  if (/^[a-z][a-z0-9+.-]{0,20}:\/\/[^/]*@/i.test(address)) return true;
  // A fragment may have parameters of its own, and a careless writer puts a second question mark.
  return (query ?? '').split(/[&;?#]/).some((pair) => {
    const [name = '', value = ''] = pair.split('=', 2);
    return SIGNS.test(decoded(name)) || OPAQUE.test(value === '' ? name : value);
  });
}

/** A name as its receiver reads it. */
function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

/** The address without user, query and fragment, for places that are kept. */
export function withoutSignature(text: string): string {
  const [address = ''] = split(text);
  return `${address.replace(/^([a-z][a-z0-9+.-]{0,20}:\/\/)[^/]*@/i, '$1[redacted]@')}?[redacted]`;
}

/** Address, and query with fragment if there is one. */
function split(text: string): [address: string, query?: string] {
  const at = text.search(/[?#]/);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

/**
 * A request whose `audio_url`, if it is signed, is left where the caller put it: in the input of the run. The steps
 * that need it read it from there. What is no request is returned as it is.
 */
export function withoutSignedAudio<Request>(request: Request): Request {
  const url = (request as { audio_url?: unknown } | null | undefined)?.audio_url;
  if (typeof url !== 'string' || !isSignedUrl(url)) return request;
  return { ...request, audio_url: withoutSignature(url) };
}
