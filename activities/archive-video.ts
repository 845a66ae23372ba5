import { Context } from '@temporalio/activity';
import { z } from 'zod';
import { FailureType } from '../src/contract/failure-type.js';
import type { VideoResult, VideoWarning } from '../src/contract/result.js';
import { VideoError } from '../src/contract/video-error.js';
import { type InspectedMp4, inspectMp4, rejectedMp4 } from '../src/media/mp4.js';
import { readSpool, type Spooled } from '../src/net/spool.js';
import { rejectedKey, videoKey } from '../src/storage/keys.js';
import type { ActivityDeps, ResultDeps } from './deps.js';
import { resultExpired, withResult, withStored } from './download-result.js';
import { mismatchWarnings, round } from './mismatch-warnings.js';
import type { FinishedTask } from './poll-task.js';
import { isShared, type PurchaseContext, readPurchaseContext } from './purchase-context.js';
import type { WatchedTask } from './purchase-step.js';
import { requireGone } from './require-gone.js';
import { previousHeartbeat, withSignal } from './with-signal.js';

type ArchivedVideo = Spooled & InspectedMp4;

/** Downloads of the same bytes that are no playable MP4 before the result counts as none: one may have been damaged. */
const REJECTIONS_MAX = 3;

/** Rejected downloads in a row with the same bytes; plain JSON, for heartbeats. */
interface Rejections {
  readonly sha256: string;
  readonly times: number;
}

const rejectionsSchema = z.object({ rejections: z.object({ sha256: z.string(), times: z.number() }) });

/** Counts downloads that are no video, over attempts; other faults between them count for nothing. */
export class RejectedDownloads {
  state: Rejections | undefined;
  readonly #onCount: (state: Rejections) => void;

  constructor(before?: Rejections, onCount: (state: Rejections) => void = () => undefined) {
    this.state = before;
    this.#onCount = onCount;
  }

  /** @returns how often these bytes have come in a row. */
  count(sha256: string): number {
    this.state = { sha256, times: this.state?.sha256 === sha256 ? this.state.times + 1 : 1 };
    this.#onCount(this.state);
    return this.state.times;
  }
}

/**
 * Archives the finished video: streamed to a file, verified, measured, then visible under its task id. Then the cache
 * points at it, and last the purchase is closed: a reader that finds it closed finds everything.
 */
export function createArchiveVideo(deps: ActivityDeps) {
  return ({ task }: { task: FinishedTask }): Promise<VideoResult> => {
    const before = rejectionsSchema.safeParse(previousHeartbeat()).data?.rejections;
    // The attempt is about to fail; the next one reads the count from the last heartbeat.
    const rejected = new RejectedDownloads(before, (rejections) => Context.current().heartbeat({ rejections }));
    return withSignal(
      (signal) => archiveFinished(deps, task, rejected, signal),
      () => ({ rejections: rejected.state }),
    );
  };
}

/**
 * Archives a finished video, also outside of Temporal.
 * @param rejected - Counts downloads that are no video; the result is abandoned at the third with the same bytes.
 */
export async function archiveFinished(
  deps: ResultDeps,
  task: FinishedTask,
  rejected: RejectedDownloads,
  signal: AbortSignal | undefined,
): Promise<VideoResult> {
  const { ledger } = deps;
  // Read during the download, which does not need it; a video whose record is damaged is stored all the same.
  const reading = ledger
    .findIntent(task, { signal })
    .then((intent) => ({ intent, context: readPurchaseContext(intent.memo) }));
  reading.catch(() => undefined); // thrown after the download
  const video = await archive(deps, task.taskId, { reading, rejected }, signal).catch(async (error: unknown) => {
    if (!(error instanceof VideoError)) throw error;
    if (error.type === FailureType.ResultExpired) {
      await reading; // in another store than the purchase's, a missing video proves nothing
      // Throws while it is not proved: a single UNKNOWN must not end what is paid.
      await requireGone(deps, task, signal);
      throw error.about(task).with({ retryable: false });
    }
    const final = await abandonAfterRetries(deps, task, error.about(task), rejected, signal);
    if (!final.retryable) await reading; // in another store than the purchase's, a missing video proves nothing
    throw final;
  });
  const { intent, context } = await reading;
  const result = describe(deps, task, context, video);
  const cacheKey = isShared(context) ? intent.cache_key : null;
  const ending = await ledger.finish(task, { how: 'archived', result, cacheKey }, { signal });
  // Another run has closed it before: its description of the same bytes is what others were given.
  return ending.how === 'archived' ? ending.result : result;
}

/** An archived video that the store has lost. */
export interface RestoreInput {
  readonly task: WatchedTask;
  readonly result: VideoResult;
}

/** Downloads an archived video again that the store has lost; only the same bytes may have its address. */
export function createRestoreVideo(deps: ActivityDeps) {
  return ({ task, result }: RestoreInput): Promise<{ result: VideoResult | null }> =>
    withSignal(async (signal) => {
      try {
        await withResult(deps, task.taskId, signal, async (file, { bytes, sha256 }) => {
          if (sha256 !== result.sha256) throw resultExpired(task.taskId, 'has other bytes now');
          await deps.store.put(videoKey(task.taskId), readSpool(file), { sha256, bytes, contentType: VIDEO, signal });
        });
        return { result };
      } catch (error) {
        if (!(error instanceof VideoError) || error.type !== FailureType.ResultExpired) throw error;
        if (error.retryable) await requireGone(deps, task, signal);
        return { result: null };
      }
    });
}

const VIDEO = 'video/mp4';

async function archive(
  deps: ResultDeps,
  taskId: string,
  { reading, rejected }: { readonly reading: Promise<unknown>; readonly rejected: RejectedDownloads },
  signal: AbortSignal | undefined,
): Promise<ArchivedVideo> {
  const { store } = deps;
  const key = videoKey(taskId);
  // An earlier attempt has stored it. Callers may have seen that copy, so it is the one to describe.
  const stored = () =>
    withStored(deps, key, signal, async (file, spooled) => ({ ...spooled, ...(await inspectMp4(file, signal)) }));
  if ((await store.head(key, { signal })) !== undefined) return stored();
  const video = await withResult(deps, taskId, signal, async (file, { bytes, sha256 }) => {
    // No other store than the purchase's gets the video.
    await reading.catch((error: unknown) => {
      if (error instanceof VideoError && error.type === FailureType.ConfigurationInvalid) throw error;
    });
    const inspected = await inspectMp4(file, signal).catch(async (error: unknown) => {
      if (!(error instanceof VideoError) || error.type !== FailureType.ResultRejected) throw error;
      // Kept for inspection: it is paid, and the provider deletes it within a day.
      const keptAs = rejectedKey(taskId);
      await store.put(keptAs, readSpool(file), { ifAbsent: true, sha256, bytes, signal });
      rejected.count(sha256);
      throw error.with({ nextStep: `Look at ${keptAs} in the asset store, and give the task id to the provider.` });
    });
    // The download may have been damaged. What comes the same three times is what was bought, and is kept as it came.
    if (inspected.fault !== undefined && rejected.count(sha256) < REJECTIONS_MAX) throw rejectedMp4(inspected.fault);
    const options = { ifAbsent: true, sha256, bytes, contentType: VIDEO, signal };
    const put = await store.put(key, readSpool(file), options);
    return put.stored ? { bytes, sha256, ...inspected } : undefined;
  });
  return video ?? stored();
}

/** Closes the purchase of a result that is no video, so that nobody waits for it and the next run may buy again. */
async function abandonAfterRetries(
  deps: ResultDeps,
  task: FinishedTask,
  error: VideoError,
  { state }: RejectedDownloads,
  signal: AbortSignal | undefined,
): Promise<VideoError> {
  if (error.type !== FailureType.ResultRejected) return error;
  // Too large a file has no checksum, and is rejected alike each time.
  if (state !== undefined && state.times < REJECTIONS_MAX) return error.with({ retryable: true });
  await deps.ledger.finish(task, { how: 'failed', error }, { signal });
  return error;
}

function describe(
  { store, publicBaseUrl, clock }: ResultDeps,
  task: FinishedTask,
  { request, warnings }: PurchaseContext,
  { bytes, sha256, measured, fault }: ArchivedVideo,
): VideoResult {
  const { taskId, requestId, seed, billedSeconds, resolution, seenAtMs, estimated, soundUnknown, oddities = [] } = task;
  const audio = soundUnknown === true ? measured.hasAudio : task.audio;
  const key = videoKey(taskId);
  return {
    video_url: publicBaseUrl === undefined ? store.url(key) : `${publicBaseUrl}/${key}`,
    duration: round(measured.durationSeconds),
    fps: round(measured.fps),
    seed,
    width: measured.width,
    height: measured.height,
    bytes,
    sha256,
    has_audio: measured.hasAudio,
    task_id: taskId,
    request_id: requestId,
    source: 'generated',
    requested: { duration: request.duration, fps: request.fps, size: request.size },
    usage: { billed_seconds: billedSeconds, resolution, audio, ...(estimated === true && { estimated }) },
    timings: {
      queued: task.queuedSeconds,
      rendering: task.renderingSeconds,
      detected: task.detectedSeconds,
      archived: (clock.now() - seenAtMs) / 1000,
    },
    warnings: [
      ...warnings,
      ...duplicatePurchaseWarning(task),
      ...mismatchWarnings(request, measured),
      ...oddAnswerWarning(oddities),
      ...unverifiedWarning(fault),
    ],
  };
}

function unverifiedWarning(fault: string | undefined): VideoWarning[] {
  if (fault === undefined) return [];
  return [{ code: 'unverified', message: `The video was archived as it came, although it ${fault}.` }];
}

function oddAnswerWarning(oddities: readonly string[]): VideoWarning[] {
  if (oddities.length === 0) return [];
  const message = `The provider's answer is not as documented: ${oddities.join(', ')}.`;
  return [{ code: 'provider_answer_odd', message }];
}

function duplicatePurchaseWarning({ claim, taskId }: FinishedTask): VideoWarning[] {
  if (claim !== 'extra') return [];
  const message = `Task ${taskId} was bought in addition to another one for the same request; both are billed.`;
  return [{ code: 'second_purchase', message }];
}
