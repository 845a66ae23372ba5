import { FailureType } from '../contract/failure-type.js';
import { firstIssues } from '../contract/issues.js';
import { type Issue, VideoError } from '../contract/video-error.js';
import { encodeLines } from './line-reader.js';
import { checkManifest, type ManifestFault } from './manifest.js';

/** Lists every fault of inline items, each with its place; their images are not checked. */
export async function inlineIssues(items: readonly unknown[]): Promise<Issue[]> {
  if (items.length === 0) return [];
  return issuesOfItems((await checkManifest(encodeLines(items))).faults);
}

/** The faults as issues of the batch's input; `items.2.fps` is a field of the third item. */
export const issuesOfItems = (faults: readonly ManifestFault[]): Issue[] =>
  faults.flatMap(({ line, issues }) =>
    issues.map(({ path, message }) => ({ path: `items.${line - 1}${path === '' ? '' : `.${path}`}`, message })),
  );

/** Most issues in the message itself, which the Web UI shows first. */
const MESSAGE_ISSUES_MAX = 10;

/** The error for a batch with an invalid input; nothing has been bought. */
export function invalidBatch(issues: readonly Issue[]): VideoError {
  const first = firstIssues(issues, MESSAGE_ISSUES_MAX);
  const text = first.map(({ path, message }) => `${path} ${message}`.trim()).join('; ');
  return new VideoError(FailureType.InvalidRequest, `The batch cannot be started: ${text}`, {
    issues: firstIssues(issues),
    billed: false,
    nextStep: 'Correct the named fields and start the batch again. Nothing was bought.',
  });
}
