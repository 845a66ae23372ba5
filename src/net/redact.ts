/**
 * Makes a text safe for messages, logs and history: blanks the given secrets, anything shaped like a provider
 * key or bearer token, URL user names and query strings (signed links are secrets), and inline images.
 */
export function redactText(text: string, secrets: readonly string[] = []): string {
  let safe = text;
  for (const secret of secrets) if (secret !== '') safe = safe.replaceAll(secret, '[secret]');
  return safe
    .replace(/\b(?:sk|st)-[A-Za-z0-9_-]{6,}/g, '[secret]')
    .replace(/\bBearer\s+[^\s"',]+/gi, 'Bearer [secret]')
    .replace(/\bdata:[\w.+-]+\/[\w.+-]+;base64,[A-Za-z0-9+/=]*/g, 'data:[redacted]')
    .replace(/([a-z][a-z0-9+.-]*:\/\/)[^\s/?#@"'<>]+@/gi, '$1[redacted]@')
    .replace(/([a-z][a-z0-9+.-]*:\/\/[^\s?#"'<>]*)[?#][^\s"'<>]*/gi, '$1?[redacted]');
}
