import type { Times } from '../src/config/times.js';
import type { DashScopeClient } from '../src/dashscope/client.js';
import type { AssetStore } from '../src/storage/asset-store.js';
import type { Scope } from '../src/storage/keys.js';

/** What the steps need; built once by the worker. */
export interface ActivityDeps {
  readonly dashscope: DashScopeClient;
  readonly store: AssetStore;
  /** Provider and account whose records these steps read and write. */
  readonly scope: Scope;
  readonly allowPrivateUrls: readonly string[];
  /** Directory for files on their way; local to this worker. */
  readonly spoolDir: string;
  readonly publicBaseUrl: string | undefined;
  readonly times: Times;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Uniform in 0..1. */
  readonly random: () => number;
  /** Asks Temporal to cancel one run; the composition root gives the client. */
  readonly cancelRun: (workflowId: string, runId: string) => Promise<void>;
}
