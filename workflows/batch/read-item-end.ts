import type { BatchItemEnd, BatchItemOutcome } from '../../src/contract/batch.js';
import { cleanText } from '../../src/contract/safe-text.js';
import { fieldsOf, isAmount, isObject, isPlainName } from '../shared/message-checks.js';

const OUTCOMES: Readonly<Record<BatchItemOutcome, true>> = {
  generated: true,
  cache: true,
  adopted: true,
  failed: true,
  cancelled: true,
  needs_attention: true,
  budget_reached: true,
};
/** Characters of the texts of an end: a hundred of them are one payload. */
const MESSAGE_MAX = 300;
const CODE_MAX = 100;
const URL_MAX = 2_000;
/** Longer than any video. */
const SECONDS_MAX = 86_400;
/** More than there are kinds of warnings. */
const WARNINGS_MAX = 20;
const TIMINGS = ['queued', 'rendering', 'detected', 'archived'] as const;

/** Reads the argument of `itemEnded`, without the members that an end does not have. */
export function readItemEnd(message: unknown): BatchItemEnd | undefined {
  const end = fieldsOf(message);
  const { item_id, outcome, cause, run, sha256, billed, billed_seconds, resolution, audio, duration } = end;
  const [startedAtMs, endedAtMs] = [end['started_at_ms'], end['ended_at_ms']];
  if (!isPlainName(item_id) || !isPlainName(run) || !isOutcome(outcome)) return undefined;
  // The causes are counted by name: none may be a member that every object has, and those begin with small letters.
  if (cause !== null && !(typeof cause === 'string' && /^[A-Z][A-Za-z]{0,59}$/.test(cause))) return undefined;
  if (sha256 !== null && !(typeof sha256 === 'string' && /^[0-9a-f]{64}$/.test(sha256))) return undefined;
  if (billed !== null && typeof billed !== 'boolean') return undefined;
  if (!isSeconds(billed_seconds) || !(duration === null || isSeconds(duration))) return undefined;
  if (resolution !== null && resolution !== '720P' && resolution !== '1080P') return undefined;
  if (typeof audio !== 'boolean' || !isAmount(startedAtMs) || !isAmount(endedAtMs)) return undefined;
  return {
    item_id,
    outcome,
    cause,
    code: textOrNull(end['code'], CODE_MAX),
    message: textOrNull(end['message'], MESSAGE_MAX),
    run,
    task_id: textOrNull(end['task_id'], CODE_MAX),
    video_url: textOrNull(end['video_url'], URL_MAX),
    ...(typeof end['poster_url'] === 'string' && { poster_url: cleanText(end['poster_url'], URL_MAX) }),
    sha256,
    billed,
    billed_seconds,
    ...(end['estimated'] === true && { estimated: true }),
    resolution,
    audio,
    duration,
    timings: timingsOf(end['timings']),
    ...warningsOf(end['warnings']),
    started_at_ms: startedAtMs,
    ended_at_ms: endedAtMs,
  };
}

/** Codes of warnings, as many as there are kinds. */
function warningsOf(value: unknown): Pick<BatchItemEnd, 'warnings'> {
  const isCode = (code: unknown): code is string => typeof code === 'string' && /^[a-z_]{1,40}$/.test(code);
  const codes = Array.isArray(value) ? value.slice(0, WARNINGS_MAX).filter(isCode) : [];
  return codes.length === 0 ? {} : { warnings: codes };
}

function timingsOf(value: unknown): BatchItemEnd['timings'] {
  if (!isObject(value)) return null;
  const [queued, rendering, detected, archived] = TIMINGS.map((name) => {
    const seconds = value[name];
    return typeof seconds === 'number' && Number.isFinite(seconds) ? seconds : null;
  });
  return {
    queued: queued ?? null,
    rendering: rendering ?? null,
    detected: detected ?? null,
    archived: archived ?? null,
  };
}

const isOutcome = (value: unknown): value is BatchItemOutcome =>
  typeof value === 'string' && Object.hasOwn(OUTCOMES, value);

const isSeconds = (value: unknown): value is number => isAmount(value) && value <= SECONDS_MAX;

const textOrNull = (value: unknown, max: number): string | null =>
  typeof value === 'string' ? cleanText(value, max) : null;
