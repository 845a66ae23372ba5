import { WorkflowType } from '../contract/names.js';
import { VideoRunError } from './run-error.js';

/** A run that is no generation: what it is, and what a person does instead of treating it as one. */
export interface OtherKind {
  readonly what: string;
  /** A sentence that names the command. */
  readonly instead: string;
}

/** Whether a run of this workflow type answers `progress` as a generation does, and ends with a video. */
export const hasVideo = (workflowType: string): boolean =>
  workflowType === WorkflowType.videoGenerate || workflowType === WorkflowType.salvageVideo;

/** What a run is when it is no generation; undefined for a generation. */
export function otherKind(id: string, workflowType: string): OtherKind | undefined {
  switch (workflowType) {
    case WorkflowType.videoGenerate:
      return undefined;
    case WorkflowType.salvageVideo:
      return {
        what: 'a salvage, which keeps the video of a purchase that another run has made',
        instead:
          'Leave it: it buys nothing, ending it would save nothing, and the next sweep would start it again. ' +
          'When it waits for a person, ' +
          `decide with "wan-video resolve ${id}" and --task or --buy.`,
      };
    case WorkflowType.videoBatch: {
      const batchId = id.replace(/^batch\//, '');
      return {
        what: 'a batch',
        instead: `See "wan-video batch status ${batchId}"; end it with "wan-video batch cancel ${batchId}".`,
      };
    }
    case WorkflowType.accountSlots:
      return { what: 'the slots of an account', instead: 'See "wan-video slots".' };
    case WorkflowType.sweepPurchases:
      return { what: 'a sweep', instead: 'It ends by itself; see "wan-video doctor".' };
    case WorkflowType.deliverWebhook:
      return { what: 'the delivery of one event to the webhook', instead: 'It ends by itself; see docs/webhook.md.' };
    default:
      return { what: `a ${workflowType}, which is none of ours`, instead: 'Use the tools of Temporal for it.' };
  }
}

/**
 * The refusal to cancel what is no generation; undefined for a generation. Sent to a salvage, a cancel would be
 * ignored.
 */
export function notCancellable(id: string, workflowType: string): VideoRunError | undefined {
  const other = otherKind(id, workflowType);
  if (other === undefined) return undefined;
  const message = `Only generations are cancelled: ${id} is ${other.what}`;
  return new VideoRunError(id, { type: 'NotCancelled', message, next_step: other.instead });
}

/** The refusal to follow what does not end with a video. */
export function notWatchable(id: string, workflowType: string): VideoRunError | undefined {
  const other = otherKind(id, workflowType);
  if (other === undefined || hasVideo(workflowType)) return undefined;
  const message = `Only runs of a video are followed: ${id} is ${other.what}`;
  return new VideoRunError(id, { type: 'NotWatched', message, next_step: other.instead });
}
