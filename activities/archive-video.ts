import { Context } from '@temporalio/activity';
import { FailureType } from '../src/contract/failure-type.js';
import type { VideoResult, VideoWarning } from '../src/contract/result.js';
import { VideoError } from '../src/contract/video-error.js';
import { endingOfTask } from '../src/ledger/purchase-view.js';
import { fromFailureRecord } from '../src/ledger/records.js';
import { inspectMp4, rejectedMp4, type UnmeasuredMp4, unmeasuredMp4 } from '../src/media/mp4.js';
import type { InspectedMp4 } from '../src/media/mp4-measure.js';
import { readSpool, type Spooled } from '../src/net/spool.js';
import { candidateKey, rejectedKey, videoKey } from '../src/storage/keys.js';
import { ArchiveAttempts, type Attempts } from './archive-attempts.js';
import { type ActivityDeps, addressOf, type ResultDeps } from './deps.js';
import { resultExpired, withResult, withStored } from './download-result.js';
import type { FinishedTask } from './finished-task.js';
import { type MeasuredFigures, mismatchWarnings, round } from './mismatch-warnings.js';
import { isShared, type PurchaseContext, readPurchaseContext } from './purchase-context.js';
import type { WatchedTask } from './purchase-step.js';
import { requireGone } from './require-gone.js';
import { previousHeartbeat, withSignal } from './with-signal.js';

type ArchivedVideo = Spooled & (InspectedMp4 | UnmeasuredMp4);

export interface ArchiveInput {
  readonly task: FinishedTask;
  /**
   * When a result that is still not archived is reported instead of tried again, in milliseconds since the epoch;
   * absent: never.
   */
  readonly untilMs?: number | undefined;
  /** What came of the attempts of earlier steps. */
  readonly before?: Attempts | undefined;
}

/** Result of the step; failures of the result itself are thrown. */
export type ArchiveOutcome =
  | { readonly kind: 'archived'; readonly result: VideoResult }
  /** The result is paid and cannot be archived yet; nothing is lost, and it can be tried further. */
  | { readonly kind: 'late'; readonly attempts: Attempts }
  /** A person has decided meanwhile to do without the result. */
  | { readonly kind: 'abandoned' };

/** Attempts after which one that began too late reports at once: those before it may have hung, half an hour each. */
const TRIES_BEFORE_REPORT = 3;
/** A result that is late for so long is tried again after a tenth of that time. */
const PATIENCE = 10;
/** Longest pause between two attempts: a result that is reachable again waits no longer, and 24 h cost some 150. */
const PAUSE_MAX_MS = 600_000;

/**
 * Archives the finished video: streamed to a file, verified, measured, then visible under its task id. Then the cache
 * points at it, and last the purchase is closed: a reader that finds it closed finds everything.
 */
export function createArchiveVideo(deps: ActivityDeps) {
  return ({ task, untilMs, before }: ArchiveInput): Promise<ArchiveOutcome> => {
    const { clock } = deps;
    const attempts = ArchiveAttempts.after(previousHeartbeat(), before);
    const { info } = Context.current();
    // Most likely nobody has archived it yet.
    const isFirstTry =
      info.attempt === 1 && before === undefined && info.workflowExecution?.workflowId === task.boughtBy.workflowId;
    const isLate = () => untilMs !== undefined && clock.now() >= untilMs;
    const late = (): ArchiveOutcome => ({ kind: 'late', attempts: attempts.state });
    return withSignal(
      async (signal) => {
        if (info.attempt > TRIES_BEFORE_REPORT && isLate()) return late();
        try {
          return { kind: 'archived', result: await archiveFinished(deps, task, attempts, signal, { isFirstTry }) };
        } catch (error) {
          if (signal.aborted || (error instanceof VideoError && !error.retryable)) throw error;
          if (await isAbandoned(deps, task, signal)) return { kind: 'abandoned' };
          if (isLate()) return late();
          // The attempt is about to fail; the next one reads the counts from this heartbeat.
          Context.current().heartbeat({ attempts: attempts.state });
          const pauseMs = Math.min(PAUSE_MAX_MS, (clock.now() - info.scheduledTimestampMs) / PATIENCE);
          // Earlier the step's own policy has the longer pause.
          if (!(error instanceof VideoError) || pauseMs < deps.times.retryMaximumMs) throw error;
          throw error.with({ retryAfterMs: pauseMs });
        }
      },
      () => ({ attempts: attempts.state }),
    );
  };
}

/**
 * Whether a person has decided to do without the result.
 * @throws VideoError the failure with which another run has closed the purchase.
 */
async function isAbandoned({ ledger }: ResultDeps, task: FinishedTask, signal: AbortSignal): Promise<boolean> {
  const view = await ledger.findPurchase(task.purchase, { signal }).catch(() => undefined);
  const ending = view === undefined ? undefined : endingOfTask(view, task.taskId);
  if (ending?.how === 'failed') throw fromFailureRecord(ending.failure);
  return ending?.how === 'abandoned';
}

/**
 * Archives a finished video, also outside of Temporal.
 * @param attempts - Counts why the result was not archived, over calls.
 * @param how.isFirstTry - Nobody else has tried, most likely, so the store is not searched for the video first.
 * @param how.booked - The task as its bill says, which is being recorded; the purchase is closed after it.
 * @throws VideoError retryable while the result may still come; not retryable once it is proved to be no video, or
 * gone.
 */
export async function archiveFinished(
  deps: ResultDeps,
  task: FinishedTask,
  attempts: ArchiveAttempts,
  signal: AbortSignal | undefined,
  { isFirstTry = false, booked }: { readonly isFirstTry?: boolean; readonly booked?: Promise<FinishedTask> } = {},
): Promise<VideoResult> {
  const { ledger, clock } = deps;
  // Read during the download, which does not need it; a video whose record is damaged is stored all the same.
  const reading = ledger
    .findIntent(task, { signal })
    .then((intent) => ({ intent, context: readPurchaseContext(intent.memo) }));
  reading.catch(() => undefined); // thrown after the download
  let isNoVideo = false;
  const onRefusal = () => {
    isNoVideo = attempts.isProved;
  };
  const video = await archive(deps, task.taskId, { reading, attempts, isFirstTry, onRefusal }, signal).catch(
    async (error: unknown) => {
      if (signal?.aborted !== true) attempts.note(error, clock.now());
      if (!(error instanceof VideoError)) throw error;
      const isExpired = error.type === FailureType.ResultExpired;
      // Our limits, our rules and our copies prove nothing about what was paid.
      if (!isExpired && !isNoVideo) throw error.about(task).with({ retryable: true });
      await reading; // in another store than the purchase's, a missing video proves nothing
      if (isExpired) await requireForgotten(deps, task, attempts, signal);
      else await ledger.finish(task, { how: 'failed', error: error.about(task) }, { signal });
      throw error.about(task).with({ retryable: false });
    },
  );
  const { intent, context } = await reading;
  const result = describe(deps, (await booked) ?? task, context, video);
  const cacheKey = isShared(context) ? intent.cache_key : null;
  const ending = await ledger.finish(task, { how: 'archived', result, cacheKey }, { signal });
  // Another run has closed it before: its description of the same bytes is what others were given.
  return ending.how === 'archived' ? ending.result : result;
}

/** Throws a retryable error unless the provider has denied the task for long enough, and it is proved to be gone. */
async function requireForgotten(
  deps: ResultDeps,
  task: FinishedTask,
  { state }: ArchiveAttempts,
  signal: AbortSignal | undefined,
): Promise<void> {
  const deniedMs = deps.clock.now() - (state.unknownSinceMs ?? deps.clock.now());
  if (deniedMs < deps.times.unknownForMs) throw resultExpired(task.taskId, 'has no result').with({ retryable: true });
  await requireGone(deps, task, signal);
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
          if (sha256 !== result.sha256) throw otherBytes(task.taskId);
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

/** A damaged download, or a link that leads elsewhere for a while: it proves nothing about the video. */
const otherBytes = (taskId: string): VideoError =>
  new VideoError(FailureType.ResultUnreachable, `The link of task ${taskId} leads to another file than was archived`, {
    taskId,
    retryable: true,
    nextStep: 'Nothing is bought: the link is requested again. `cache: refresh` buys another video.',
  });

const VIDEO = 'video/mp4';

interface ArchiveSteps {
  readonly reading: Promise<unknown>;
  readonly attempts: ArchiveAttempts;
  readonly isFirstTry: boolean;
  /** Called after a download that is no video was counted. */
  readonly onRefusal: () => void;
}

async function archive(
  deps: ResultDeps,
  taskId: string,
  { reading, attempts, isFirstTry, onRefusal }: ArchiveSteps,
  signal: AbortSignal | undefined,
): Promise<ArchivedVideo> {
  const { store } = deps;
  const key = videoKey(taskId);
  // An earlier attempt has stored it. Callers may have seen that copy, so it is the one to describe.
  const stored = () =>
    withStored(deps, key, signal, async (file, spooled) => {
      const inspected = await inspectMp4(file, signal);
      requireMeasured(inspected, spooled, attempts);
      return { ...spooled, ...inspected };
    });
  if (!isFirstTry && (await store.head(key, { signal })) !== undefined) return stored();
  let isDownloaded = false;
  // No other store than the purchase's gets the video.
  const requireOwnStore = () =>
    reading.catch((error: unknown) => {
      if (error instanceof VideoError && error.type === FailureType.ConfigurationInvalid) throw error;
    });
  const put = async (file: string, { bytes, sha256 }: Spooled, inspected: InspectedMp4 | UnmeasuredMp4) => {
    const options = { ifAbsent: true, sha256, bytes, contentType: VIDEO, signal };
    const { stored: isStored } = await deps.store.put(key, readSpool(file), options);
    return isStored ? { bytes, sha256, ...inspected } : stored();
  };
  // The provider has denied the task for long: there are no better bytes than those of the copy.
  const isForgotten = () => {
    const { unknownSinceMs } = attempts.state;
    return unknownSinceMs !== null && deps.clock.now() - unknownSinceMs >= deps.times.unknownForMs;
  };
  // Three reads of one copy are one download: a copy with a fault proves nothing, and the provider's file is better.
  const keepCopy = async (file: string, spooled: Spooled): Promise<ArchivedVideo | undefined> => {
    await requireOwnStore();
    const inspected = await inspectMp4(file, signal).catch((error: unknown) => {
      if (error instanceof VideoError && error.type === FailureType.ResultRejected) return undefined;
      throw error;
    });
    if (inspected === undefined || (inspected.fault !== undefined && !isForgotten())) return undefined;
    return put(file, spooled, inspected);
  };
  const spacing = () => ({ nowMs: deps.clock.now(), everyMs: deps.times.rejectEveryMs });
  const keep = async (file: string, { bytes, sha256 }: Spooled): Promise<ArchivedVideo> => {
    isDownloaded = true;
    await requireOwnStore();
    const inspected = await inspectMp4(file, signal).catch(async (error: unknown) => {
      if (!(error instanceof VideoError) || error.type !== FailureType.ResultRejected) throw error;
      // Kept for inspection: it is paid, and the provider deletes it within a day.
      const keptAs = rejectedKey(taskId);
      await store.put(keptAs, readSpool(file), { ifAbsent: true, sha256, bytes, signal });
      attempts.reject(sha256, spacing());
      onRefusal();
      throw error.with({ nextStep: `Look at ${keptAs} in the asset store, and give the task id to the provider.` });
    });
    requireMeasured(inspected, { sha256 }, attempts);
    // The download may have been damaged, or the link lead to a part of the file for a while. What comes the same three
    // times is what was bought, and is kept as it came.
    if (inspected.measured !== undefined && inspected.fault !== undefined) {
      attempts.reject(sha256, inspected.isDamaged ? spacing() : undefined);
      if (!attempts.isProved) throw rejectedMp4(inspected.fault).with({ retryable: true });
    }
    return put(file, { bytes, sha256 }, inspected);
  };
  try {
    return await withResult(deps, taskId, signal, async (file, spooled, source) => {
      if (source === 'download') return keep(file, spooled);
      const kept = await keepCopy(file, spooled);
      if (kept === undefined) throw resultExpired(taskId, 'has no result').with({ retryable: true });
      return kept;
    });
  } catch (error) {
    // A candidate, or a file that a person has put there because the link is of no use.
    const copy = candidateKey(taskId);
    if (isDownloaded || signal?.aborted === true || (await store.head(copy, { signal })) === undefined) throw error;
    const kept = await withStored(deps, copy, signal, keepCopy);
    if (kept === undefined) throw error;
    return kept;
  }
}

/** Throws a retryable error until the same bytes could not be measured several times. */
function requireMeasured(
  inspected: InspectedMp4 | UnmeasuredMp4,
  { sha256 }: Pick<Spooled, 'sha256'>,
  attempts: ArchiveAttempts,
): void {
  if (inspected.measured !== undefined) return;
  if (!attempts.leaveUnmeasured(sha256, inspected.isUnavailable)) throw unmeasuredMp4(inspected);
}

function describe(
  deps: ResultDeps,
  task: FinishedTask,
  { request, warnings }: PurchaseContext,
  { bytes, sha256, measured: found, fault }: ArchivedVideo,
): VideoResult {
  const { taskId, requestId, seed, billedSeconds, resolution, seenAtMs, estimated, soundUnknown, oddities = [] } = task;
  const measured = found ?? requestedFigures(request);
  const audio = soundUnknown === true && found !== undefined ? found.hasAudio : task.audio;
  return {
    video_url: addressOf(videoKey(taskId), deps),
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
      archived: (deps.clock.now() - seenAtMs) / 1000,
    },
    warnings: [
      ...warnings,
      ...duplicatePurchaseWarning(task),
      ...mismatchWarnings(request, measured),
      ...oddAnswerWarning(oddities),
      ...unverifiedWarning(fault, found !== undefined),
    ],
  };
}

/** What a file that cannot be measured most likely has. */
function requestedFigures({ duration, fps, size, audio }: PurchaseContext['request']): MeasuredFigures {
  const [width = 0, height = 0] = size.split('*').map(Number);
  return { durationSeconds: duration, fps, width, height, hasAudio: audio };
}

function unverifiedWarning(fault: string | undefined, isMeasured: boolean): VideoWarning[] {
  if (fault === undefined) return [];
  const figures = isMeasured ? '' : ' Its length, frame rate, size and sound are those of the request.';
  return [{ code: 'unverified', message: `The video was archived as it came, although it ${fault}.${figures}` }];
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
