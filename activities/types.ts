import type { Billable, BudgetReached } from '../src/contract/budget.js';
import type { VideoFailure } from '../src/contract/failure.js';
import type { Buyer, Purchase } from '../src/contract/purchase.js';
import type { CanonicalRequest, VideoRequest } from '../src/contract/request.js';
import type { Attention, SubmitDecision, VideoResult, VideoWarning } from '../src/contract/result.js';
import type {
  DeadSlot,
  HeldSlot,
  OpenSlot,
  QueueIdentity,
  SlotName,
  SlotRequestMessage,
  SpendingQuery,
  SpendingReport,
} from '../src/contract/slots.js';
import type { StepTimes } from '../src/contract/times.js';
import type { WebhookEvent, WebhookEvents } from '../src/contract/webhook.js';
import type { BoughtTask, ClaimState } from '../src/ledger/purchase-view.js';
import type { BatchActivities } from './batch-types.js';

export type { Purchase } from '../src/contract/purchase.js';

/** A request that was checked, with its image at a known place; ids and keys only, beside the caller's own words. */
export interface PreparedRequest {
  /** Without the reference, which may be a long `data:` URI. */
  readonly request: RequestFields;
  readonly labels: Readonly<Record<string, string>>;
  readonly cacheKey: string;
  /** Batch that the run belongs to; absent or null: none. */
  readonly batchId?: string | null;
  /** Of the store that the image, the ledger and the video are in. */
  readonly storeId: string;
  readonly reference: PreparedReference;
  readonly warnings: readonly VideoWarning[];
  readonly cached: VideoResult | null;
  /** Whether the namespace knows our search attributes; a run that sets unknown ones stands still. */
  readonly attributes: boolean;
  /** Whether labels must not stand in search attributes, because payloads are encoded; absent: they may. */
  readonly labelsHidden?: boolean;
  /** The worker's times for the steps that follow. */
  readonly times: StepTimes;
  /** What is told to the webhook; absent: there is none. */
  readonly webhookEvents?: WebhookEvents;
}

/** What a failed `prepareRequest` tells its run beside the failure: how the run ends can then be found all the same. */
export type FailedPreparation = Pick<PreparedRequest, 'attributes'>;

export type RequestFields = Omit<CanonicalRequest, 'reference_image'>;

/** Where the image is: in our store, or already at the provider. */
export type PreparedReference =
  | {
      readonly kind: 'asset';
      readonly key: string;
      readonly mime: string;
      readonly bytes: number;
      readonly width: number;
      readonly height: number;
    }
  | { readonly kind: 'oss'; readonly url: string };

/** A task to watch: bought by this run, or by another one for the same video. */
export interface WatchedTask extends BoughtTask {
  /** What the ledger knows of it: `unwritten` is written by the poll, `extra` was bought beside another and is told. */
  readonly claim: ClaimState;
}

/** What the ledger and the provider say of a purchase, and thereby what comes next. */
export type PurchaseStep =
  /** Watch this task to its end. */
  | { readonly kind: 'task'; readonly task: WatchedTask }
  /** The video was bought and archived before. */
  | { readonly kind: 'archived'; readonly result: VideoResult }
  /** It was, but the store lost it and the provider still has it. */
  | { readonly kind: 'restore'; readonly task: WatchedTask; readonly result: VideoResult }
  /** Another execution is buying it. */
  | { readonly kind: 'follow'; readonly purchase: Purchase }
  /** A paid task may exist: nothing is sent before the reconciliation has said so. */
  | { readonly kind: 'unknown'; readonly purchase: Purchase; readonly why: string }
  /** Only a person can tell. */
  | {
      readonly kind: 'undecided';
      readonly purchase: Purchase;
      readonly attention: Attention;
      /** Whether another look may decide it without a person: the list was refused, or the key was another one. */
      readonly mayPass: boolean;
    }
  /** It failed for good, and the ledger says how: whoever followed it fails the same way. */
  | { readonly kind: 'failed'; readonly failure: VideoFailure }
  /** Nothing was bought: submit. */
  | { readonly kind: 'buy' };

/** What watching a task told; `started` only when it was asked until then. */
export type TaskSeen =
  | { readonly kind: 'started'; readonly render: RenderProgress }
  | { readonly kind: 'succeeded'; readonly task: FinishedTask }
  /** It failed for good, for what was asked; the ledger says so. */
  | { readonly kind: 'failed'; readonly failure: VideoFailure }
  /** It ended without a video and free of charge, for no fault of the request: it may be bought anew. */
  | { readonly kind: 'free'; readonly failure: VideoFailure }
  /** The provider has forgotten it, and nobody has kept its video. */
  | { readonly kind: 'gone'; readonly failure: VideoFailure };

/** How far a task is, and when its video is expected; milliseconds since the epoch. */
export interface RenderProgress {
  /** Since when the provider renders; null while it is queued. */
  readonly startedAtMs: number | null;
  readonly earliestAtMs: number;
  readonly latestAtMs: number;
  /** Renders that the expectation rests on; 0: a guess. */
  readonly samples: number;
}

export interface PollInput {
  readonly task: WatchedTask;
  /** Whether the task's start is to be told, too, or only its end. */
  readonly until: 'started' | 'ended';
}

/** A task that has SUCCEEDED; seconds, null where the provider gave no time. */
export interface FinishedTask extends WatchedTask {
  readonly queuedSeconds: number | null;
  readonly renderingSeconds: number | null;
  readonly detectedSeconds: number | null;
  readonly billedSeconds: number;
  /** Billed tier; null where the provider did not say. */
  readonly resolution: '720P' | '1080P' | null;
  readonly audio: boolean;
  /** Milliseconds since the epoch at which the end was noticed. */
  readonly seenAtMs: number;
}

/** What a submit needs to know of the run that buys. */
export interface SubmitInput {
  readonly prepared: PreparedRequest;
  readonly imgUrl: string;
  readonly buyer: Buyer;
  /** Start of the run's first execution, milliseconds since the epoch. */
  readonly firstStartedAtMs: number;
  /** Purchases whose lost video could not be fetched again. */
  readonly unrestorable: readonly Purchase[];
}

/** What a run needs to get ready to buy: itself, its request, and the queue that it waits in. */
export interface ReadyInput extends Omit<SubmitInput, 'imgUrl'> {
  readonly queueIdentity: QueueIdentity;
}

/** Whether a run is ready to buy. */
export type Readiness =
  /** The ledger shows a purchase to follow or to take: nothing was uploaded, and no slot was requested. */
  | { readonly kind: 'found'; readonly step: PurchaseStep }
  /** A budget has no room: nothing was uploaded, and no slot was requested. */
  | { readonly kind: 'budget_reached'; readonly reached: BudgetReached }
  /** The image is at the provider, and a slot is requested. */
  | { readonly kind: 'requested'; readonly imgUrl: string; readonly slot: RequestedSlot };

/** A slot that a run has requested. */
export interface RequestedSlot extends SlotName {
  /** Workflow id of the account's slots. */
  readonly slots: string;
  /** The most to reserve; present when the worker has budgets: nothing is then bought without a grant. */
  readonly cost?: Billable;
}

/** An open purchase, or an open task beside one, that no run sees to. */
export interface OrphanedPurchase {
  readonly purchase: Purchase;
  /** A task that was bought beside the purchase's own. */
  readonly late: WatchedTask | null;
  readonly workflowId: string;
}

/** Every durable step: one object in, one object out. */
export interface VideoActivities extends BatchActivities {
  prepareRequest(input: { request: VideoRequest; batchId?: string | null }): Promise<PreparedRequest>;
  uploadReference(input: ReadyInput): Promise<Readiness>;
  requestSlot(input: Omit<SlotRequestMessage, 'limit' | 'budget'>): Promise<void>;
  submitTask(input: SubmitInput): Promise<PurchaseStep>;
  findPurchase(input: ReadyInput): Promise<{ found: PurchaseStep | null }>;
  awaitPurchase(input: { purchase: Purchase; parked: boolean }): Promise<PurchaseStep>;
  reconcileSubmit(input: { purchase: Purchase }): Promise<PurchaseStep>;
  resolvePurchase(input: { purchase: Purchase; decision: SubmitDecision }): Promise<PurchaseStep>;
  pollTask(input: PollInput): Promise<TaskSeen>;
  archiveVideo(input: { task: FinishedTask }): Promise<VideoResult>;
  restoreVideo(input: { task: WatchedTask; result: VideoResult }): Promise<{ result: VideoResult | null }>;
  cancelTask(input: { taskId: string }): Promise<{ cancelled: boolean }>;
  requestCancellation(input: { workflowId: string; runId: string }): Promise<void>;
  findOrphans(): Promise<{
    orphans: OrphanedPurchase[];
    damaged: string[];
    attributes: boolean;
    webhookEvents?: WebhookEvents;
  }>;
  findOpenSlots(): Promise<{ open: OpenSlot[] }>;
  notifyWebhook(input: { event: WebhookEvent }): Promise<{ status: number }>;
  findDeadSlots(input: { holders: readonly HeldSlot[] }): Promise<{ dead: DeadSlot[] }>;
  findSpending(input: SpendingQuery): Promise<SpendingReport>;
}
