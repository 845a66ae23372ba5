import type { Clock } from '../src/async/clock.js';
import type { Prices } from '../src/config/prices.js';
import type { Times } from '../src/config/times.js';
import type { BatchItemEnd } from '../src/contract/batch.js';
import type { BudgetAnswer, BudgetQuestion, BudgetTerms } from '../src/contract/budget.js';
import type { SlotAnswer, SlotReleaseMessage, SlotRequestMessage, SlotsHealth } from '../src/contract/slots.js';
import type { DashScopeClient } from '../src/dashscope/client.js';
import type { Ledger } from '../src/ledger/ledger.js';
import type { RecentImages } from '../src/media/recent-images.js';
import type { StepMetrics } from '../src/metrics/step-metrics.js';
import type { Proxies } from '../src/net/proxies.js';
import type { ResultLinks } from '../src/polling/result-links.js';
import type { TaskWatcher } from '../src/polling/watch.js';
import type { AssetStore } from '../src/storage/asset-store.js';
import type { WebhookReceivers } from '../src/webhook/webhook-receivers.js';

/** What the steps need; the worker builds it once. */
export interface ActivityDeps {
  readonly dashscope: DashScopeClient;
  /** The provider's base address; on loopback it is an emulator, whose links may lead to loopback. */
  readonly providerBaseUrl: string;
  readonly store: AssetStore;
  /** Distinguishes stores: the steps of one run must all use the same one. */
  readonly storeId: string;
  readonly ledger: Ledger;
  /** Queries the provider for every task that this process watches, from one budget of requests. */
  readonly watcher: TaskWatcher;
  /** Links that the watcher saw, for the download that follows; never written anywhere. */
  readonly links: ResultLinks;
  /** Images that the first step has read, for the upload. */
  readonly images: RecentImages;
  readonly allowPrivateUrls: readonly string[];
  /** For images that callers name; default: none. */
  readonly proxies?: Proxies | undefined;
  /** Directory for files on their way; local to this worker. */
  readonly spoolDir: string;
  readonly publicBaseUrl: string | undefined;
  /** Where the runbook is published; undefined: nowhere. */
  readonly runbookUrl?: string | undefined;
  readonly times: Times;
  readonly clock: Clock;
  /** What a billed second costs; undefined: not known. */
  readonly prices: Prices | undefined;
  /** Receives the events of batches and of runs that wait for a person; undefined: there is none. */
  readonly webhook: Pick<WebhookReceivers, 'eventsOf' | 'linkSecondsOf' | 'send'> | undefined;
  /** Requests that Temporal cancels one run; the composition root provides the client. */
  readonly cancelRun: (workflowId: string, runId: string) => Promise<void>;
  /** Whether the namespace has the search attributes. */
  readonly knowsAttributes: () => Promise<boolean>;
  /**
   * Whether a payload codec keeps callers' texts from Temporal; search attributes, which no codec reaches, must not
   * have them then.
   */
  readonly payloadsEncoded?: boolean | undefined;
  /** Reads the input of a run from its history. */
  readonly readRunInput: (workflowId: string, runId: string) => Promise<unknown>;
  /** Whether a run with this workflow id is open; with `firstRunId`, whether it is that one and not a later one. */
  readonly isRunOpen: (workflowId: string, firstRunId?: string) => Promise<boolean>;
  /** The state of the run of a batch's item; `unknown` when Temporal does not have it. */
  readonly itemState: (workflowId: string, itemId: string) => Promise<BatchItemEnd | 'running' | 'unknown'>;
  readonly schedules: SchedulesPort;
  /** Decides who may submit next on this worker's account. */
  readonly slots: AccountSlotsPort;
  readonly metrics: StepMetrics;
  /** Absolute path of ffmpeg; absent: this worker does not serve the queue of what needs it. */
  readonly ffmpeg?: string | undefined;
}

/** Stable address of an object of the store, for people and results; never a signed one. */
export const addressOf = (
  key: string,
  { store, publicBaseUrl }: Pick<ActivityDeps, 'store' | 'publicBaseUrl'>,
): string => (publicBaseUrl === undefined ? store.url(key) : `${publicBaseUrl}/${key}`);

/** What the ledger's operations need of the dependencies. */
export const ledgerParts = ({ ledger, dashscope: provider, clock, times }: ResultDeps) => ({
  ledger,
  provider,
  clock,
  times: times.ledger,
});

/** The schedules of batches, which Temporal keeps; the composition root provides the client. */
export interface SchedulesPort {
  find(scheduleId: string): Promise<FoundSchedule>;
  pause(input: SchedulePauseInput): Promise<SchedulePause>;
}

/** The state of a schedule of batches. */
export interface FoundSchedule {
  /**
   * Changes with each pause, resumption and edit, not with a run. Null: the schedule starts nothing, not even the runs
   * that wait for their turn, being paused or gone.
   */
  readonly version: string | null;
}

/** A schedule to pause, unless it has changed since. */
export interface SchedulePauseInput {
  readonly scheduleId: string;
  readonly version: string;
  readonly note: string;
}

/** What came of pausing a schedule. */
export type SchedulePause = 'paused' | 'gone' | 'changed';

/** What downloading and archiving a result needs; the check of the provider does so outside of Temporal. */
export type ResultDeps = Pick<
  ActivityDeps,
  | 'dashscope'
  | 'providerBaseUrl'
  | 'store'
  | 'ledger'
  | 'allowPrivateUrls'
  | 'spoolDir'
  | 'publicBaseUrl'
  | 'times'
  | 'clock'
> &
  Partial<Pick<ActivityDeps, 'links'>>;

/** The account's slots, which are a workflow; the composition root provides the client. */
export interface AccountSlotsPort {
  readonly workflowId: string;
  /** This worker's budgets; undefined: none. */
  readonly budget: BudgetTerms | undefined;
  /**
   * Requests a slot, and starts the workflow if it does not run.
   * @returns the answer, if it comes at once; undefined: it is sent to the run as a signal.
   */
  requestSlot(request: Omit<SlotRequestMessage, 'limit' | 'budget'>): Promise<SlotAnswer | undefined>;
  /** Releases a purchase's slot; does nothing if the workflow does not run, because no slot is held then. */
  releaseSlot(release: SlotReleaseMessage): Promise<void>;
  /**
   * Asks whether a key holds a slot and whether a budget has room; undefined when the workflow does not run, which then
   * grants nothing. Rejects with Temporal's error when no worker answers.
   */
  queryBudget(question: BudgetQuestion): Promise<BudgetAnswer | undefined>;
  /** Makes the runs that wait request their slots again, if the workflow ran before; returns how many runs it asked. */
  wakeWaitingRuns(signal: AbortSignal): Promise<number>;
  /** Finds out why the slots do not answer. */
  assess(): Promise<SlotsHealth>;
}
