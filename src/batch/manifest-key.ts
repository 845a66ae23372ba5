import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import { keySegments } from '../storage/store-key.js';

/** Placeholder for the nominal date of a scheduled run. */
export const DATE_PLACEHOLDER = '{date}';

/**
 * The key of the manifest for one moment: `{date}` becomes its date in `timezone`, `2026-03-31`.
 * @param time - ISO 8601.
 * @throws VideoError `InvalidRequest` for a key that cannot be one, an unknown placeholder, and an unknown zone.
 */
export function manifestKeyAt(template: string, time: string, timezone: string): string {
  const key = template.replaceAll(DATE_PLACEHOLDER, dateIn(timezone, new Date(time)));
  if (/[{}]/.test(key))
    throw invalid('manifest_key', `may hold ${DATE_PLACEHOLDER} and no other placeholder: ${template}`);
  keySegments(key);
  return key;
}

/**
 * The date at `time` in a zone, `2026-03-31`.
 * @throws VideoError `InvalidRequest` for a zone that the IANA database does not have.
 */
export function dateIn(timezone: string, time: Date): string {
  try {
    // Canada writes dates as ISO 8601 does.
    return new Intl.DateTimeFormat('en-CA', { timeZone: timezone, dateStyle: 'short' }).format(time);
  } catch {
    throw invalid('timezone', `is not a time zone of the IANA database, such as Europe/Berlin: ${timezone}`);
  }
}

const invalid = (path: string, message: string): VideoError =>
  new VideoError(FailureType.InvalidRequest, `${path} ${message}`, { issues: [{ path, message }], billed: false });
