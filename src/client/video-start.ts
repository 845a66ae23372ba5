import type { Client } from '@temporalio/client';
import type { VideoRequest } from '../contract/request.js';
import type { AssetStore } from '../storage/asset-store.js';
import type { SpanSource } from '../tracing/span-source.js';
import type { ImageSource } from './reference.js';

/** What a client of generations needs. */
export interface WanVideoClientOptions {
  /** A connected Temporal client; the caller closes its connection. */
  readonly client: Client;
  /** The workers' queue for runs; default `video-generate`. */
  readonly taskQueue?: string;
  /** The workers' asset store; required for images given as path, bytes, `Blob` or stream. */
  readonly store?: AssetStore;
  /** What the spans of calls to Temporal are made with; OpenTelemetry's SDK must be started. Default: no spans. */
  readonly tracerProvider?: SpanSource;
}

/** A request whose image may be given in any form of {@link ImageSource}. */
export type VideoGenerateRequest = Omit<VideoRequest, 'reference_image'> & { readonly reference_image: ImageSource };

/** How a run is started. */
export interface StartOptions {
  /** Workflow id; by default equal requests share `video/<fingerprint>`. */
  readonly id?: string | undefined;
  /** Stops the staging of an image, with the signal's reason; it does not cancel a started run (see `cancel`). */
  readonly signal?: AbortSignal | undefined;
}

/** How long a caller waits; the run continues in any case. */
export interface WaitOptions {
  /** Stops waiting, with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Longest wait in milliseconds; default: as long as the run takes. */
  readonly timeoutMs?: number | undefined;
}

/** A started run. */
export interface StartedVideo {
  /** Workflow id. */
  readonly id: string;
  readonly runId: string;
  /** Whether the run of an equal request was running already and is shared now. */
  readonly joined: boolean;
}

/** Which run of an id is meant. */
export interface RunOptions {
  /** Default: the latest run of the id. */
  readonly runId?: string | undefined;
}
