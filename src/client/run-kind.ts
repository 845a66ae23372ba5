import { WorkflowType } from '../contract/names.js';
import { VideoRunError } from './run-error.js';

/** A run that is not a generation: what it is, and what to do instead of treating it as one. */
export interface OtherKind {
  readonly what: string;
  /** A sentence that names the command. */
  readonly instead: string;
}

/** Whether runs of this workflow type answer `progress` as a generation does, and end with a video. */
export const hasVideo = (workflowType: string): boolean =>
  workflowType === WorkflowType.videoGenerate || workflowType === WorkflowType.salvageVideo;

/** Says what a run is that is not a generation; undefined for a generation. */
export function otherKind(id: string, workflowType: string): OtherKind | undefined {
  switch (workflowType) {
    case WorkflowType.videoGenerate:
      return undefined;
    case WorkflowType.salvageVideo:
      return {
        what: 'a salvage, which keeps the video of a purchase that another run has made',
        instead:
          'Let it run: it buys nothing, ending it saves nothing, and the next sweep would start it again. ' +
          `If it waits for a person, decide with "wan-video resolve ${id}" and --task or --buy.`,
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
    case WorkflowType.keepSlotsPage:
      return { what: 'a part of the slots of an account', instead: 'It ends by itself; see "wan-video slots".' };
    case WorkflowType.sweepPurchases:
      return { what: 'a sweep', instead: 'It ends by itself; see "wan-video doctor".' };
    case WorkflowType.conformVideo:
      return { what: 'the making of another file from an archived video', instead: 'It ends by itself.' };
    case WorkflowType.auditAccount:
      return { what: 'an audit', instead: 'It ends by itself; see "wan-video audit".' };
    case WorkflowType.deliverWebhook:
      return { what: 'the delivery of one webhook event', instead: 'It ends by itself; see docs/webhook.md.' };
    default:
      return {
        what: `a ${workflowType}, which is not a workflow of wan-video`,
        instead: "Use Temporal's own tools for it.",
      };
  }
}

/** The error when a run cannot be cancelled because it is not a generation; a salvage, for one, ignores a cancel. */
export function notCancellable(id: string, workflowType: string): VideoRunError | undefined {
  const other = otherKind(id, workflowType);
  if (other === undefined) return undefined;
  const message = `Only a generation can be cancelled: ${id} is ${other.what}`;
  return new VideoRunError(id, { type: 'NotCancelled', message, next_step: other.instead });
}

/** The error when a run cannot be watched because it does not end with a video. */
export function notWatchable(id: string, workflowType: string): VideoRunError | undefined {
  const other = otherKind(id, workflowType);
  if (other === undefined || hasVideo(workflowType)) return undefined;
  const message = `Only a run with a video can be watched: ${id} is ${other.what}`;
  return new VideoRunError(id, { type: 'NotWatched', message, next_step: other.instead });
}
