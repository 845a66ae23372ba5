/** Longest text that goes into a message, a log line, a history or a terminal, in characters. */
export const SAFE_TEXT_MAX = 4_000;
/** Read beyond the limit, so that a secret across the cut is seen whole before the rest of it is dropped. */
const CUT_MARGIN = 512;

const ESCAPE = '\u001b';
const C1_CSI = '\u009b';
/** Terminal control sequences (ECMA-48): CSI, OSC and the other strings, and two-character escapes. */
const TERMINAL_SEQUENCES = new RegExp(
  [
    `(?:${ESCAPE}\\[|${C1_CSI})[0-?]*[ -/]*[@-~]?`,
    `${ESCAPE}[\\]PX^_][^${ESCAPE}\\u0007]*(?:\\u0007|${ESCAPE}\\\\)?`,
    `${ESCAPE}[ -/]*[0-~]?`,
  ].join('|'),
  'g',
);
/** Marks that change the direction of the text around them, or are not seen. */
const INVISIBLE_MARKS = /[\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;
/** Control characters and line breaks of every kind. */
const CONTROLS = /[\p{Cc}\p{Zl}\p{Zp}]+/gu;
const LONE_SURROGATES = /\p{Cs}/gu;

/**
 * Makes a foreign text safe for messages, logs, histories and terminals: cut to a stated length first, then one line
 * without control characters, terminal sequences and direction marks. Blanks the given secrets, everything shaped like
 * a provider key or bearer token, user names and query strings of URLs (signed links are secrets), and inline images.
 * Linear in `max`, for any text.
 * @param secrets - Exact texts that are blanked.
 * @param max - Longest result in characters; a text that was cut ends with `…`.
 */
export function redactText(text: string, secrets: readonly string[] = [], max = SAFE_TEXT_MAX): string {
  const isCut = text.length > max;
  let safe = isCut ? text.slice(0, max + CUT_MARGIN) : text;
  for (const secret of secrets) if (secret !== '') safe = safe.replaceAll(secret, '[secret]');
  // The scheme of a URL has at most some 20 characters; an open bound would make a long plain word quadratic.
  safe = safe
    .replace(TERMINAL_SEQUENCES, '')
    .replace(INVISIBLE_MARKS, '')
    .replace(CONTROLS, ' ')
    .replace(LONE_SURROGATES, '\ufffd')
    .replace(/\b(?:sk|st)-[A-Za-z0-9_-]{6,}/g, '[secret]')
    .replace(/\bBearer\s+[^\s"',]+/gi, 'Bearer [secret]')
    .replace(/\bdata:[\w.+-]{1,60}\/[\w.+-]{1,60};base64,[A-Za-z0-9+/=]*/g, 'data:[redacted]')
    .replace(/([a-z][a-z0-9+.-]{0,20}:\/\/)[^\s/?#@"'<>]+@/gi, '$1[redacted]@')
    .replace(/([a-z][a-z0-9+.-]{0,20}:\/\/[^\s?#"'<>]*)[?#][^\s"'<>]*/gi, '$1?[redacted]');
  if (!isCut) return safe;
  return `${safe.slice(0, Math.min(max - 1, Math.max(0, safe.length - CUT_MARGIN)))}…`;
}
