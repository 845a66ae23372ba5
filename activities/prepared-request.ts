import type { CanonicalRequest, PostProduction } from '../src/contract/request.js';
import type { VideoResult, VideoWarning } from '../src/contract/result.js';
import type { QueueIdentity } from '../src/contract/slots.js';
import type { StepTimes } from '../src/contract/times.js';
import type { WebLinks } from '../src/contract/web-links.js';
import type { WebhookEvents } from '../src/contract/webhook.js';
import type { PurchaseQuery } from '../src/ledger/buy.js';

/** A checked request whose image is at a known place; ids and keys only, except for the caller's own words. */
export interface PreparedRequest {
  /** Without the reference, which may be a long `data:` URI. */
  readonly request: RequestFields;
  readonly labels: Readonly<Record<string, string>>;
  readonly cacheKey: string;
  /** How the ledger finds a purchase for this run; the purchase key is computed here and nowhere else. */
  readonly query: Omit<PurchaseQuery, 'unrestorable'>;
  /** The queue of the account's slots that the run waits in. */
  readonly queueIdentity: QueueIdentity;
  /** Workflow id of the account's slots, of which the run requests one. */
  readonly slots?: string;
  /** Id of the store that has the image, the ledger and the video. */
  readonly storeId: string;
  readonly reference: PreparedReference;
  readonly warnings: readonly VideoWarning[];
  readonly cached: VideoResult | null;
  /** What is made from the archived video; absent: nothing. */
  readonly delivery?: PostProduction;
  /** Whether the namespace has the search attributes; a run that sets unknown ones is stuck. */
  readonly attributes: boolean;
  /** Whether labels must not become search attributes, because a payload codec keeps them from Temporal. */
  readonly labelsHidden: boolean;
  /** The worker's times for the following steps. */
  readonly times: StepTimes;
  /** Events that the worker's webhook is subscribed to; absent: there is no webhook. */
  readonly webhookEvents?: WebhookEvents;
  /** Where the details of the run lead; absent: nowhere. */
  readonly webLinks?: WebLinks;
}

/** What a failed `prepareRequest` reports in addition to the failure, so that a search finds how the run ended. */
export type FailedPreparation = Pick<PreparedRequest, 'attributes' | 'webhookEvents'>;

export type RequestFields = Omit<CanonicalRequest, 'reference_image' | 'delivery'>;

/** Where the image is: in the store, or already at the provider. */
export type PreparedReference =
  | {
      readonly kind: 'asset';
      readonly key: string;
      readonly mime: string;
      readonly bytes: number;
      readonly width: number;
      readonly height: number;
      /** Its own address, when the provider is to fetch it there. */
      readonly url?: string;
      /** Key of the image that it was made from, which may be in the store as well; absent when it is that image. */
      readonly source?: string;
    }
  | { readonly kind: 'oss'; readonly url: string };

/** An address without its query, which is often a signature. */
export function addressOf(url: string): string {
  const { origin, pathname } = new URL(url);
  return `${origin}${pathname}`;
}
