import { cleanText, SAFE_TEXT_MAX } from '../contract/safe-text.js';

/**
 * Makes a foreign text safe as {@link cleanText} does, and blanks the given secrets, everything shaped like a provider
 * key or bearer token, user names and query strings of URLs (signed links are secrets), and inline images.
 * @param secrets - Exact texts that are blanked.
 * @param max - Longest result in characters; a text that was cut ends with `…`.
 */
export const redactText = (text: string, secrets: readonly string[] = [], max = SAFE_TEXT_MAX): string =>
  cleanText(text, max, (clean) => blankSecrets(clean, secrets));

/** A part of a signature without its URL, as servers quote it. */
const SIGNING_PARAMETER =
  /\b((?:x-[a-z]{2,5}-)?(?:signature|credential|security-token)|(?:OSS|AWS)AccessKeyId)=[^\s&;,"'<>]+/gi;

function blankSecrets(text: string, secrets: readonly string[]): string {
  let safe = text;
  for (const secret of secrets) if (secret !== '') safe = safe.replaceAll(secret, '[secret]');
  // The scheme of a URL has at most some 20 characters; an open bound would make a long plain word quadratic.
  return safe
    .replace(/\b(?:sk|st)-[A-Za-z0-9_-]{6,}/g, '[secret]')
    .replace(/\bBearer\s+[^\s"',]+/gi, 'Bearer [secret]')
    .replace(/\bdata:[\w.+-]{1,60}\/[\w.+-]{1,60};base64,[A-Za-z0-9+/=]*/g, 'data:[redacted]')
    .replace(SIGNING_PARAMETER, '$1=[redacted]')
    .replace(/([a-z][a-z0-9+.-]{0,20}:\/\/)[^\s/?#@"'<>]+@/gi, '$1[redacted]@')
    .replace(/([a-z][a-z0-9+.-]{0,20}:\/\/[^\s?#"'<>]*)[?#][^\s"'<>]*/gi, '$1?[redacted]');
}
