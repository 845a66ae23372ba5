import { z } from 'zod';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';

/** The answer to one question. */
export interface LiveAnswer {
  /** Stable name of the question. */
  readonly id: string;
  readonly question: string;
  /** In few words; equal behaviour gives equal words. */
  readonly answer: string;
  /**
   * `behaviour` is compared with the emulator's; `measure` differs from day to day or from task to task, and is only
   * shown.
   */
  readonly kind: 'behaviour' | 'measure';
  /** Setting of the emulator for this behaviour; null when there is none. */
  readonly emulator: string | null;
  /** What was seen, redacted. */
  readonly seen: unknown;
}

/** The outcome of the one purchase. */
export interface LivePurchase {
  /**
   * `bought`: by this check; `found`: by an earlier one, nothing was bought; `refused`: by the provider, nothing was
   * bought; `undecided`: its reply was lost and nothing proves yet whether a task exists; `declined`: you said no;
   * `unexpected`: the provider accepted an invalid request and may bill its task, so nothing else was bought.
   */
  readonly outcome: 'bought' | 'found' | 'refused' | 'undecided' | 'declined' | 'unexpected';
  /** For the provider's console; useless without a key of the account. */
  readonly task_id: string | null;
  /** Stable address of the archived video. */
  readonly video_url: string | null;
  readonly billed_seconds: number | null;
  /** Why there is no video. */
  readonly why: string | null;
}

/**
 * The file that `wan-video doctor --live` writes. It contains no key, no signed address and only the id of its own
 * task.
 */
export interface LiveRecord {
  readonly v: 1;
  readonly kind: 'going-live';
  /** ISO 8601, UTC. */
  readonly made_at: string;
  readonly model: string;
  /** Region, or `emulator`. */
  readonly provider: string;
  /** Host of the base address. */
  readonly host: string;
  readonly purchase: LivePurchase;
  readonly answers: readonly LiveAnswer[];
}

const shape = z.looseObject({
  v: z.literal(1),
  kind: z.literal('going-live'),
  made_at: z.string(),
  provider: z.string(),
  answers: z.array(
    z.looseObject({
      id: z.string(),
      question: z.string(),
      answer: z.string(),
      kind: z.enum(['behaviour', 'measure']),
      emulator: z.string().nullable(),
    }),
  ),
});

/**
 * Reads the text of a record.
 * @param file - Its name, for messages.
 * @throws VideoError `InvalidRequest` for a text that is not a record.
 */
export function parseRecord(text: string, file: string): Pick<LiveRecord, 'made_at' | 'provider' | 'answers'> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  const parsed = shape.safeParse(value);
  if (parsed.success) return parsed.data as unknown as LiveRecord;
  const message = `${file} is not a record of "wan-video doctor --live"`;
  throw new VideoError(FailureType.InvalidRequest, message, {
    issues: [{ path: '--compare', message }],
    billed: false,
    nextStep: 'Give a going-live-….json file that the command wrote.',
  });
}

/** One question that two records answer differently. */
export interface LiveDifference extends Pick<LiveAnswer, 'id' | 'question' | 'emulator'> {
  /** Null: this record does not answer it. */
  readonly record: string | null;
  readonly emulator_says: string | null;
}

/** An answer that could not be observed; it counts as no difference. */
export const NOT_SEEN = 'not seen';

/** Where a record's behaviour differs from the emulator's. */
export function differences(record: readonly LiveAnswer[], emulator: readonly LiveAnswer[]): LiveDifference[] {
  const known = new Map(emulator.map((answer) => [answer.id, answer]));
  const behaviour = record.filter(({ kind, answer }) => kind === 'behaviour' && answer !== NOT_SEEN);
  return behaviour.flatMap(({ id, question, answer, emulator: setting }) => {
    const other = known.get(id)?.answer ?? null;
    if (other === answer || other === NOT_SEEN) return [];
    return [{ id, question, emulator: setting, record: answer, emulator_says: other }];
  });
}
