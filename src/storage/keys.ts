import { createHash } from 'node:crypto';
import { isDeviceName } from '../contract/delivery.js';
import type { PixelChange } from '../contract/image-reference.js';

/** Longest encoded name; file systems allow 255 bytes, and a temporary file adds its own suffix. */
const NAME_MAX = 150;

/**
 * Writes any id as one path segment that is safe on every file system and in every URL: lower-case letters, digits,
 * `-`, `_` and inner dots stay; every other byte of its UTF-8 becomes `~` and two hex digits. Different ids give
 * different names, also where case is ignored; a very long one ends with its hash instead of its tail.
 */
export function safeName(id: string): string {
  let name = '';
  for (const byte of Buffer.from(id, 'utf8')) {
    const char = String.fromCharCode(byte);
    name += /[a-z0-9_.-]/.test(char) ? char : `~${byte.toString(16).padStart(2, '0')}`;
  }
  name = name.replace(/^\.|\.$/g, '~2e').replace(/\.\./g, '.~2e');
  if (name === '' || isDeviceName(name)) name = `~${name}`;
  if (name.length <= NAME_MAX) return name;
  return `${name.slice(0, NAME_MAX - 66)}~~${createHash('sha256').update(id).digest('hex')}`;
}

/** Which provider (region of its base URL) and account a record belongs to. */
export interface Scope {
  readonly provider: string;
  readonly account: string;
}

/**
 * An image under the SHA-256 (hex) of its bytes; `ext` without the dot. The name says whether it is sent with other
 * pixels, because its purchases have another cache key then.
 */
export const referenceKey = (sha256: string, ext: string, change: PixelChange = 'none'): string =>
  `references/${sha256}.${change === 'none' ? '' : `${change}.`}${ext}`;

const TASK_OBJECT = /^(?:(?:videos|candidates|rejected)\/([^/]+)\.(?:mp4|bin)|conformed\/([^/]+)\/[^/]+)$/;
/** The keys of the objects that a task can have; its name is its {@link safeName}. */
export const taskObjectKeys = (taskName: string) => ({
  video: `videos/${taskName}.mp4`,
  candidate: `candidates/${taskName}.mp4`,
  rejected: `rejected/${taskName}.bin`,
});
/** A video under its task id; never replaced. */
export const videoKey = (taskId: string): string => taskObjectKeys(safeName(taskId)).video;
/** The video of a task that may be ours, kept until the purchase is decided. */
export const candidateKey = (taskId: string): string => taskObjectKeys(safeName(taskId)).candidate;
/** A result that is not a playable MP4, kept for inspection. */
export const rejectedKey = (taskId: string): string => taskObjectKeys(safeName(taskId)).rejected;
/** The name of the task that an object belongs to; `undefined` for an object of another kind. */
export const taskNameOf = (key: string): string | undefined => {
  const [, own, conformed] = TASK_OBJECT.exec(key) ?? [];
  return own ?? conformed;
};

/** Prefix of everything that was made from a task's video. */
export const conformedRoot = (taskName: string): string => `conformed/${taskName}/`;
/** A file that was made from a task's video, under the hash of the rules; never replaced. */
export const conformedKey = (taskId: string, rules: string): string => `${conformedRoot(safeName(taskId))}${rules}.mp4`;
/** The first frame of a video, under the key of that video. */
export const posterKey = (taskId: string, video: string): string =>
  video.startsWith('conformed/') ? video.replace(/mp4$/, 'jpg') : `${conformedRoot(safeName(taskId))}original.jpg`;

const DELIVERED = /\/((?:videos\/[^/]+|conformed\/[^/]+\/[^/]+)\.mp4)$/;
/** The key of the file that a result's `video_url` names. */
export const deliveredKey = ({
  task_id,
  video_url,
}: {
  readonly task_id: string;
  readonly video_url: string;
}): string => DELIVERED.exec(video_url)?.[1] ?? videoKey(task_id);

/** Root of the learned render times. */
export const statsRoot = ({ provider, account }: Scope): string => `stats/${safeName(provider)}/${safeName(account)}`;
/** A manifest that is kept for a schedule, under the SHA-256 (hex) of its bytes. */
export const scheduledManifestKey = (sha256: string): string => `manifests/${sha256}.jsonl`;
/** The tasks of one audit, as JSON lines; `at` is an ISO 8601 time. */
export const auditKey = ({ provider, account }: Scope, at: string): string =>
  `audits/${safeName(provider)}/${safeName(account)}/${safeName(at)}.jsonl`;
const batchRoot = (batchId: string): string => `batches/${safeName(batchId)}`;
/** The items of a batch as it runs them; never replaced. */
export const batchManifestKey = (batchId: string): string => `${batchRoot(batchId)}/manifest.jsonl`;
/** The lines of its manifest that a batch leaves out, with their faults. */
export const batchInvalidKey = (batchId: string): string => `${batchRoot(batchId)}/invalid.jsonl`;
/** Prefix of the pages of a batch's results. */
export const batchResultsRoot = (batchId: string): string => `${batchRoot(batchId)}/results/`;
/** One page of results; pages sort by their number. */
export const batchResultsKey = (batchId: string, page: number): string =>
  `${batchResultsRoot(batchId)}${String(page).padStart(6, '0')}.jsonl`;
/** Totals of a batch that has ended. */
export const batchReportKey = (batchId: string): string => `${batchRoot(batchId)}/report.json`;
/** Where a batch delivers its videos. */
export const batchDeliveryKey = (batchId: string): string => `${batchRoot(batchId)}/delivery.json`;
/** The lines whose video could not get its name; written once a delivery has ended. */
export const batchUndeliveredKey = (batchId: string): string => `${batchRoot(batchId)}/undelivered.jsonl`;
/** A document of a batch as it is delivered; made once. */
export const batchDocumentKey = (batchId: string, ext: string): string =>
  `${batchRoot(batchId)}/delivered/report.${ext}`;
/**
 * Prefix of the records of runs that a schedule has missed; each ends with the count that was announced.
 * @param name - Distinguishes the schedule from an earlier one of the same id.
 */
export const missedRunsRoot = (scheduleId: string, name: string): string => `${batchRoot(scheduleId)}/missed/${name}/`;
/** The record of one count. */
export const missedRunsKey = (scheduleId: string, name: string, missed: number): string =>
  `${missedRunsRoot(scheduleId, name)}${missed}.json`;
/** The store's own id. */
export const STORE_ID_KEY = 'store.json';
