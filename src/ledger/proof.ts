import { VideoError } from '../contract/video-error.js';
import type { TaskSnapshot } from '../dashscope/wire.js';
import type { StoreOptions } from '../storage/asset-store.js';
import type { Ledger } from './ledger.js';
import type { QueryApi } from './provider.js';
import type { BoughtTask } from './purchase-view.js';
import type { Expectation } from './records.js';
import { earlierReadings, hasLostCharacters } from './text-readings.js';

/** How one property of a found task compares: `unsure` forbids a guess either way. */
export type Match = 'equal' | 'unsure' | 'different';

/** A finished candidate, property by property. */
export interface Comparison {
  readonly prompt: Match;
  readonly usage: Match;
  readonly shape: Match;
}

/** Pixels of each tier, image-to-video API reference. */
const PIXELS = { '720P': 921_600, '1080P': 2_073_600 } as const;
const LINES = { '720P': 720, '1080P': 1080 } as const;
/** The provider rounds each side down to a multiple of 16 by its documents, of 2 where it was measured. */
const ROUNDING = 16;
/** Queries at most: one task that the key sees proves it, and the account may query 20 times per second. */
const QUERIES_MAX = 10;
/** The provider keeps a task 24 hours. */
const TASK_HOURS = 24;

/** Removes differences that the way to the provider and back can make: space, line ends and composed characters. */
const normalize = (text: string): string => text.normalize('NFC').replace(/\s+/g, ' ').trim();
/**
 * Keeps letters and digits alone, without case, width, accents, punctuation and space. Accents go, because a text that
 * was truncated after a letter may have lost the accent that belongs to it.
 */
const reduceToLetters = (text: string): string =>
  text
    .normalize('NFKD')
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, '');

/**
 * Compares the prompt that was sent with the one that the provider shows.
 * @returns `unsure` for one that is absent, truncated, extended, escaped, in the wrong encoding, or differs only in
 * case, width, accents, punctuation or space.
 */
export function comparePrompts(sent: string, shown: string | undefined): Match {
  if (shown === undefined || shown.trim() === '') return 'unsure';
  if (normalize(sent) === normalize(shown)) return 'equal';
  if (hasLostCharacters(sent, shown)) return 'unsure';
  const a = reduceToLetters(sent);
  const isAlike = [shown, ...earlierReadings(shown)].map(reduceToLetters).some((b) => a.includes(b) || b.includes(a));
  return isAlike ? 'unsure' : 'different';
}

/** A candidate's file, as far as it was measured. */
export interface MeasuredCandidate {
  /** Pixels. */
  readonly width?: number | undefined;
  readonly height?: number | undefined;
  readonly durationSeconds?: number | undefined;
  readonly hasAudio?: boolean | undefined;
}

/**
 * Seconds that two statements about one clip may differ by: the provider rounds, and a file ends with a whole frame.
 */
const NEAR_SECONDS = 0.5;

const isNear = (a: number, b: number): boolean => Math.abs(a - b) <= NEAR_SECONDS;

/**
 * Judges one property by what the provider says of it and by what the file shows; each `undefined` when it is not
 * known. A provider's figure that does not fit is a doubt, because figures drift; only together with the file, which
 * cannot, it is a difference.
 */
function judgeProperty(saidFits: boolean | undefined, fileFits: boolean | undefined): Match {
  if (saidFits === true) return 'equal';
  if (saidFits === undefined) return fileFits === undefined ? 'unsure' : fileFits ? 'equal' : 'different';
  return fileFits === false ? 'different' : 'unsure';
}

const fits = <T>(value: T | undefined, isFit: (value: T) => boolean): boolean | undefined =>
  value === undefined ? undefined : isFit(value);

/** Compares what would be billed for the request with what was billed for the task, and with its file. */
export function compareUsage(
  expects: Expectation,
  usage: TaskSnapshot['usage'],
  video: MeasuredCandidate | undefined,
): Match {
  const { duration, sr, audio } = usage ?? {};
  return weakest([
    judgeProperty(
      fits(duration, (seconds) => isNear(seconds, expects.duration)),
      fits(video?.durationSeconds, (seconds) => isNear(seconds, expects.duration)),
    ),
    judgeProperty(
      fits(sr, (lines) => lines === LINES[expects.resolution]),
      fits(tierOf(video), (tier) => tier === expects.resolution),
    ),
    judgeProperty(
      fits(audio, (sound) => sound === expects.audio),
      fits(video?.hasAudio, (sound) => sound === expects.audio),
    ),
  ]);
}

/** The tier whose count of pixels is nearer, in ratio, to that of a file. */
function tierOf({ width, height }: MeasuredCandidate = {}): keyof typeof PIXELS | undefined {
  if (width === undefined || height === undefined) return undefined;
  return width * height < Math.sqrt(PIXELS['720P'] * PIXELS['1080P']) ? '720P' : '1080P';
}

/**
 * Compares a video's pixels with those that the provider makes of the image: the tier's count in the image's shape.
 * @returns `unsure` for the shape turned on its side, because an EXIF orientation may have been applied twice, or not
 * at all; and for any other shape of an image that the provider fetched itself, because it may have changed.
 */
export function compareShape(expects: Expectation, video: MeasuredCandidate | undefined): Match {
  if (expects.image === null || video?.width === undefined || video.height === undefined) return 'unsure';
  const ratio = expects.image.width / expects.image.height;
  const width = Math.sqrt(PIXELS[expects.resolution] * ratio);
  const near = (real: number, ideal: number) => Math.abs(real - ideal) <= ROUNDING;
  if (near(video.width, width) && near(video.height, width / ratio)) return 'equal';
  const isTurned = near(video.height, width) && near(video.width, width / ratio);
  return isTurned || expects.image.mayDiffer === true ? 'unsure' : 'different';
}

/** Compares a finished task and its file with what was asked. */
export function compareTask(
  expects: Expectation,
  task: TaskSnapshot | undefined,
  video: MeasuredCandidate | undefined,
): Comparison {
  return {
    prompt: comparePrompts(expects.prompt, task?.origPrompt),
    usage: compareUsage(expects, task?.usage, video),
    shape: compareShape(expects, video),
  };
}

/** Combines the properties: a single difference excludes, a single doubt forbids a guess. */
export function combineMatches({ prompt, usage, shape }: Comparison): Match {
  return weakest([prompt, usage, shape]);
}

function weakest(all: readonly Match[]): Match {
  if (all.includes('different')) return 'different';
  return all.includes('unsure') ? 'unsure' : 'equal';
}

interface ProofDeps {
  readonly ledger: Ledger;
  readonly provider: QueryApi;
}

/**
 * Whether the answer UNKNOWN proves that a task is gone: only under the key it was bought with, or under one that has
 * seen another task bought with that key. A key of another account or region knows nothing of it. For the step
 * `pollTask`, before it closes a purchase as `expired`.
 */
export async function provesGone(
  deps: ProofDeps,
  task: Pick<BoughtTask, 'taskId' | 'keyFingerprint' | 'intentAtMs'>,
  options: StoreOptions = {},
): Promise<boolean> {
  if (task.keyFingerprint === null) return false;
  const { keyFingerprint, intentAtMs, taskId } = task;
  return isKeyOfAccount(deps, { keyFingerprint, intentAtMs }, options, taskId);
}

/**
 * Whether the key in use belongs to the account of the key with that fingerprint: it is that key, or it has seen a task
 * that was bought with it. A null fingerprint comes from a record that did not keep it, and every key passes.
 * @param bought - `intentAtMs` is when it was bought: purchases of that time were most likely made with the same key.
 * @param exceptTaskId - A task whose answer is what is in question.
 */
export async function isKeyOfAccount(
  { ledger, provider }: ProofDeps,
  { keyFingerprint, intentAtMs }: Pick<BoughtTask, 'keyFingerprint' | 'intentAtMs'>,
  options: StoreOptions = {},
  exceptTaskId?: string,
): Promise<boolean> {
  if (keyFingerprint === null || keyFingerprint === (await provider.keyFingerprint())) return true;
  const when = { hours: TASK_HOURS, aroundMs: intentAtMs };
  let queries = 0;
  for await (const other of ledger.tasksClaimedWith(keyFingerprint, when, options)) {
    if (other.task_id === exceptTaskId) continue;
    if (++queries > QUERIES_MAX) return false;
    try {
      if ((await provider.queryTask(other.task_id, options)).status !== 'UNKNOWN') return true;
    } catch (error) {
      if (options.signal?.aborted || !(error instanceof VideoError)) throw error;
    }
  }
  return false;
}
