import { DATE_PLACEHOLDER } from '../contract/delivery.js';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import { keySegments } from '../storage/store-key.js';

/**
 * The key of a manifest at one moment, with `{date}` replaced by the date in `timezone`, such as `2026-03-31`.
 * @param time - ISO 8601.
 * @throws VideoError `InvalidRequest` for an invalid key, an unknown placeholder, or an unknown time zone.
 */
export function manifestKeyAt(template: string, time: string, timezone: string): string {
  const key = template.replaceAll(DATE_PLACEHOLDER, dateIn(timezone, new Date(time)));
  if (/[{}]/.test(key)) {
    throw invalid('manifest_key', `may hold ${DATE_PLACEHOLDER} and no other placeholder: ${template}`);
  }
  keySegments(key);
  return key;
}

/**
 * The date at `time` in a time zone, such as `2026-03-31`.
 * @throws VideoError `InvalidRequest` for a time zone that the IANA database does not have.
 */
export function dateIn(timezone: string, time: Date): string {
  try {
    // The Canadian format is that of ISO 8601.
    return new Intl.DateTimeFormat('en-CA', { timeZone: timezone, dateStyle: 'short' }).format(time);
  } catch {
    throw invalid('timezone', `is not a time zone of the IANA database, such as Europe/Berlin: ${timezone}`);
  }
}

const invalid = (path: string, message: string): VideoError =>
  new VideoError(FailureType.InvalidRequest, `${path} ${message}`, { issues: [{ path, message }], billed: false });
