import { Context } from '@temporalio/activity';
import { FailureType } from '../src/contract/failure-type.js';
import { isSignedUrl, withoutSignature } from '../src/contract/signed-url.js';
import { VideoError } from '../src/contract/video-error.js';
import type { ActivityDeps } from './deps.js';

/** The end of an address whose signature was left in the input of the run. */
const LEFT_OUT = '?[redacted]';

/**
 * Reads a signed `audio_url` from the input of the step's own run, which alone has it.
 * @param kept - What the request says; anything but an address without its signature needs no reading.
 * @returns `undefined` when there is nothing to read.
 */
export async function signedAudioUrl(deps: ActivityDeps, kept: unknown): Promise<string | undefined> {
  if (typeof kept !== 'string' || !kept.endsWith(LEFT_OUT)) return undefined;
  const { workflowId = '', runId = '' } = Context.current().info.workflowExecution ?? {};
  const url = ((await deps.readRunInput(workflowId, runId)) as { audio_url?: unknown } | null | undefined)?.audio_url;
  if (typeof url === 'string' && isSignedUrl(url) && withoutSignature(url) === kept) return url;
  throw new VideoError(FailureType.InvalidRequest, 'The request names no audio_url that can be read', {
    issues: [{ path: 'audio_url', message: 'is an address whose signature was removed; give the whole address' }],
    billed: false,
    nextStep: 'Correct the named fields and send the request again.',
  });
}
