import { rm } from 'node:fs/promises';
import type { ConformRules } from '../src/contract/conform.js';
import { FailureType } from '../src/contract/failure-type.js';
import type { PostProduction } from '../src/contract/request.js';
import type { VideoResult, VideoWarning } from '../src/contract/result.js';
import { VideoError } from '../src/contract/video-error.js';
import {
  type Colours,
  colourArguments,
  conformArguments,
  conformHash,
  isAsPlanned,
  planConform,
  posterArguments,
  readColours,
} from '../src/media/conform.js';
import { runFfmpeg } from '../src/media/ffmpeg.js';
import { inspectMp4 } from '../src/media/mp4.js';
import type { MeasuredMp4 } from '../src/media/mp4-measure.js';
import { hashFile, readSpool, type Spooled } from '../src/net/spool.js';
import { conformedKey, posterKey, videoKey } from '../src/storage/keys.js';
import { assertSameStore } from './assert-same-store.js';
import { type ActivityDeps, addressOf } from './deps.js';
import { withSpoolFile, withStored } from './download-result.js';
import { mismatchWarnings, round } from './mismatch-warnings.js';
import { withSignal } from './with-signal.js';

/** An archived video, and what is to be made from it. */
export interface ConformInput {
  readonly result: VideoResult;
  readonly delivery: PostProduction;
  /** Id of the store that has the video; absent: that of the worker. */
  readonly storeId?: string | undefined;
}

/** What one attempt works with. */
interface Work {
  readonly deps: ActivityDeps;
  readonly ffmpeg: string;
  readonly signal: AbortSignal;
  readonly onFrame: (frame: number) => void;
}

/** A stored file that was made, or that another attempt had made. */
interface MadeVideo extends Spooled {
  readonly key: string;
  readonly measured: MeasuredMp4;
}

/** Warnings about figures, which a conformed file changes; its sound is that of the original. */
const FIGURES: readonly VideoWarning['code'][] = ['fps_not_honoured', 'size_not_honoured', 'duration_not_honoured'];

/**
 * Makes from an archived video what a request says, next to the original, which is only read. Files are stored under
 * their rules and never replaced, so that another attempt, or another run with the same rules, finds what is there.
 * @throws VideoError `ConformFailed`, retryable where another worker may do better.
 */
export function createConformVideo(deps: ActivityDeps) {
  return ({ result, delivery, storeId }: ConformInput): Promise<VideoResult> => {
    let frame = 0;
    const onFrame = (written: number) => {
      frame = written;
    };
    return withSignal(
      (signal) => {
        const { ffmpeg } = deps;
        if (ffmpeg === undefined) throw conformFailed('this worker has no ffmpeg', true);
        if (storeId !== undefined) assertSameStore(deps, storeId);
        return deliver({ deps, ffmpeg, signal, onFrame }, result, delivery);
      },
      () => ({ frame }),
    );
  };
}

async function deliver(work: Work, result: VideoResult, { conform, poster }: PostProduction): Promise<VideoResult> {
  const { original_url, conformed: before, poster_url: _, ...given } = result;
  const { task_id } = given;
  const video_url = original_url ?? given.video_url;
  const made = conform === null ? undefined : await conformedVideo(work, { result, isOriginal: !before }, conform);
  const described =
    made === undefined || conform === null
      ? result
      : {
          ...given,
          ...figuresOf(made),
          video_url: addressOf(made.key, work.deps),
          original_url: video_url,
          conformed: conform,
          warnings: warningsAfter(result, conform, made.measured),
        };
  if (!poster) return described;
  const key = made?.key ?? videoKey(task_id);
  try {
    return { ...described, poster_url: addressOf(await storedPoster(work, task_id, key), work.deps) };
  } catch (error) {
    // The video is there; a picture of it is not worth another attempt unless that may have one.
    if (!(error instanceof VideoError) || error.retryable) throw error;
    const warning = {
      code: 'poster_failed',
      message: `No picture of the video could be made: ${error.message}`,
    } as const;
    return { ...described, warnings: [...described.warnings, warning] };
  }
}

const figuresOf = ({ measured, bytes, sha256 }: MadeVideo) => ({
  duration: round(measured.durationSeconds),
  fps: round(measured.fps),
  width: measured.width,
  height: measured.height,
  bytes,
  sha256,
  has_audio: measured.hasAudio,
});

/** The remarks of the original that still hold, and what the made file differs in from its rules and the request. */
function warningsAfter({ warnings, requested }: VideoResult, rules: ConformRules, measured: MeasuredMp4) {
  const wanted = {
    duration: rules.duration,
    fps: rules.fps ?? requested.fps,
    size: rules.size ?? requested.size,
    audio: measured.hasAudio,
  };
  const isSolved = ({ code }: VideoWarning) =>
    FIGURES.includes(code) || (code === 'aspect_mismatch' && rules.size !== null);
  return [...warnings.filter((warning) => !isSolved(warning)), ...mismatchWarnings(wanted, measured)];
}

/** The video under its rules: as another attempt has stored it, or made now. */
async function conformedVideo(
  work: Work,
  { result, isOriginal }: { readonly result: VideoResult; readonly isOriginal: boolean },
  rules: ConformRules,
): Promise<MadeVideo> {
  const { deps, signal } = work;
  const { task_id } = result;
  const key = conformedKey(task_id, conformHash(rules));
  const stored = () =>
    withStored(deps, key, signal, async (file, spooled) => ({
      key,
      ...spooled,
      measured: await measure(file, signal),
    }));
  if ((await deps.store.head(key, { signal })) !== undefined) return stored();
  return withStored(deps, videoKey(task_id), signal, async (file, { sha256 }) => {
    if (isOriginal && sha256 !== result.sha256)
      throw conformFailed('the archived video is not the one that was bought');
    const measured = await measure(file, signal);
    const colours = await coloursOf(work, file, measured);
    const plan = planConform(measured, rules);
    return withSpoolFile(deps, async (to) => {
      await run(work, conformArguments({ file, measured, colours }, rules, plan, to));
      const made = await measure(to, signal);
      if (!isAsPlanned(plan, made, measured.hasAudio)) throw conformFailed('the file that ffmpeg made is another one');
      const spooled = await hashFile(to);
      const options = { ifAbsent: true, ...spooled, contentType: 'video/mp4', signal };
      const { stored: isStored } = await deps.store.put(key, readSpool(to), options);
      return isStored ? { key, ...spooled, measured: made } : stored();
    });
  });
}

/** Key of the picture of a stored video, which is made unless it is there. */
async function storedPoster(work: Work, taskId: string, videoKey: string): Promise<string> {
  const { deps, signal } = work;
  const key = posterKey(taskId, videoKey);
  if ((await deps.store.head(key, { signal })) !== undefined) return key;
  await withStored(deps, videoKey, signal, async (file) => {
    const colours = await coloursOf(work, file, await measure(file, signal));
    const to = `${file}.jpg`;
    try {
      await run(work, posterArguments(file, colours, to));
      await deps.store.put(key, readSpool(to), {
        ifAbsent: true,
        ...(await hashFile(to)),
        contentType: 'image/jpeg',
        signal,
      });
    } finally {
      await rm(to, { force: true });
    }
  });
  return key;
}

async function measure(file: string, signal: AbortSignal): Promise<MeasuredMp4> {
  const { measured, fault } = await inspectMp4(file, signal).catch((error: unknown) => {
    if (!(error instanceof VideoError) || error.type !== FailureType.ResultRejected) throw error;
    throw conformFailed(error.message);
  });
  if (measured === undefined) throw conformFailed(`the video ${fault}`, true);
  return measured;
}

const coloursOf = async (work: Work, file: string, measured: MeasuredMp4): Promise<Colours> =>
  readColours(await run(work, colourArguments(file)), measured);

/** Runs ffmpeg; returns its log. */
async function run({ ffmpeg, signal, onFrame }: Work, args: readonly string[]): Promise<string> {
  const outcome = await runFfmpeg(ffmpeg, args, { signal, onFrame });
  if (outcome.kind === 'failed') throw conformFailed(`ffmpeg ${outcome.reason}`, outcome.mayPass);
  return outcome.log;
}

const conformFailed = (why: string, retryable = false): VideoError =>
  new VideoError(FailureType.ConformFailed, why, {
    retryable,
    nextStep: 'The original is archived; "wan-video conform" tries again, and buys nothing.',
  });
