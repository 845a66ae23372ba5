import type { Dispatcher } from 'undici';
import type { Clock } from '../async/clock.js';
import type { Config } from '../config/config.js';
import type { VideoResult } from '../contract/result.js';
import type { VideoError } from '../contract/video-error.js';
import type { DashScopeClient } from '../dashscope/client.js';
import type { TaskSnapshot } from '../dashscope/wire.js';
import type { TaskBill } from '../ledger/bills.js';
import type { Ledger } from '../ledger/ledger.js';
import type { BoughtTask } from '../ledger/purchase-view.js';
import type { ReconcileDeps } from '../ledger/reconcile.js';
import type { StagedImage } from '../media/stage-image.js';
import type { AssetStore } from '../storage/asset-store.js';

/** What a live check works with; the command gives and closes it. */
export interface LiveTools {
  readonly provider: Config['provider'];
  readonly apiKey: string;
  /** For the provider's own addresses. */
  readonly dispatcher: Dispatcher;
  /** For the link of the result, whose host the provider chooses. */
  readonly resultDispatcher: Dispatcher;
  readonly dashscope: DashScopeClient;
  readonly store: AssetStore;
  readonly ledger: Ledger;
  readonly times: Config['times'];
  readonly allowPrivateUrls: readonly string[];
  readonly clock: Clock;
  readonly steps: LiveSteps;
}

/** Steps of a run that the check takes too, so that its video is recorded and archived like every other. */
interface LiveSteps {
  /** Returns the address of a staged image in the provider's temporary store. */
  readonly uploadImage: (image: StagedImage['asset'], signal: AbortSignal) => Promise<string>;
  readonly archiveCandidate: ReconcileDeps['archiveCandidate'];
  /** The failure of a task that ended as FAILED. */
  readonly taskFailed: (task: BoughtTask, seen: TaskSnapshot) => VideoError;
  /** Reads what a task that has SUCCEEDED is billed and how long it took. */
  readonly finishTask: (task: BoughtTask, seen: TaskSnapshot, nowMs: number) => FinishedTask;
}

/** A task that has its video. */
export interface FinishedTask extends TaskBill {
  readonly queuedSeconds: number | null;
  readonly renderingSeconds: number | null;
  /**
   * Brings the video into the store; call it again after a retryable error.
   */
  archive(signal: AbortSignal): Promise<VideoResult>;
}
