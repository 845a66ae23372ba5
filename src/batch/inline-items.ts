import { FailureType } from '../contract/failure-type.js';
import { type Issue, VideoError } from '../contract/video-error.js';
import { firstIssues, ISSUES_MAX, type ManifestFault, readManifest } from './manifest.js';

/** Items that came with a batch itself, as the lines of a manifest. */
export async function* linesOfItems(items: readonly unknown[]): AsyncGenerator<Uint8Array> {
  for (const item of items) yield Buffer.from(`${JSON.stringify(item)}\n`);
}

/** Every fault of such items, each with its place; an image that is part of one is not judged here. */
export async function inlineIssues(items: readonly unknown[]): Promise<Issue[]> {
  if (items.length === 0) return [];
  const faults: ManifestFault[] = [];
  for await (const entry of readManifest(linesOfItems(items), { localImages: false })) {
    if (entry.kind === 'fault') faults.push(entry.fault);
  }
  return issuesOfItems(faults);
}

/** Faults as issues of the batch's input: `items.2.fps` is that of the third item. */
export const issuesOfItems = (faults: readonly ManifestFault[]): Issue[] =>
  faults.flatMap(({ line, issues }) =>
    issues.map(({ path, message }) => ({ path: `items.${line - 1}${path === '' ? '' : `.${path}`}`, message })),
  );

/** Issues that the message itself lists, which the Web UI shows first. */
const MESSAGE_ISSUES_MAX = 10;

/** The error for a batch that cannot be started as it is; nothing has been bought by then. */
export function invalidBatch(issues: readonly Issue[]): VideoError {
  const first = firstIssues(issues, MESSAGE_ISSUES_MAX);
  const text = first.map(({ path, message }) => `${path} ${message}`.trim()).join('; ');
  return new VideoError(FailureType.InvalidRequest, `The batch cannot be started: ${text}`, {
    issues: firstIssues(issues, ISSUES_MAX),
    billed: false,
    nextStep: 'Correct the named fields and start it again. Nothing was bought.',
  });
}
