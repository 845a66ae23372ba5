import type { ListedTask, TaskSnapshot, TaskStatus } from '../dashscope/wire.js';
import type { Comparison, MeasuredCandidate } from './proof.js';
import type { PurchaseView } from './purchase-view.js';

/** A candidate's video in the store, measured. */
export interface CandidateVideo extends MeasuredCandidate {
  /** Its key, `candidates/<task id>.mp4`. */
  readonly key: string;
}

/** A listed task that may be the one whose reply was lost, and what is known about it so far. */
export interface Candidate {
  readonly row: ListedTask;
  status: TaskStatus;
  /** Queries in a row that denied it. */
  unknownAnswers: number;
  compared?: Comparison;
  video?: CandidateVideo;
  snapshot?: TaskSnapshot;
  /** Its last status word is one that nobody documents, so that it may never end as far as we can read. */
  hasOddStatus?: boolean | undefined;
  /** Answers in a row that left something open that is compared. */
  doubtfulLooks?: number;
  /** Nothing more will be learned about it. */
  isFinal: boolean;
}

/** Why a purchase stays undecided, in the words that people read. */
const EXPLANATIONS = {
  several_fit: 'Several tasks of the account may be the one whose reply was lost.',
  fits_another_purchase: 'The task that fits may also belong to another purchase whose reply was lost.',
  not_comparable: 'A task may be ours, but its prompt, usage or picture cannot be compared with the request.',
  list_refused: "The provider does not show the account's task list.",
  too_old: "The submit is older than the provider's task list, which shows 24 hours.",
  another_key: 'The key in use did not send the submit, and nothing shows that both keys belong to one account.',
  record_damaged: 'A damaged ledger record may be that of a purchase that the task fits as well.',
} as const;
export type UndecidedReason = keyof typeof EXPLANATIONS;

/** One task that may be ours, as people need it to decide. */
interface CandidateEvidence {
  readonly task_id: string;
  /** By the provider's clock, in milliseconds since the epoch. */
  readonly created_at_ms: number | null;
  readonly status: TaskStatus;
  readonly compared: Comparison | null;
  /** Where its video is kept for the decision; null when there is none. */
  readonly video_key: string | null;
  /** Other open purchases (`<key>/<n>`) that it fits. */
  readonly also_fits: readonly string[];
}

/** What a person needs to decide. Plain JSON, for details and queries. */
export interface Evidence {
  readonly reason: UndecidedReason;
  readonly explanation: string;
  readonly purchase_key: string;
  readonly n: number;
  /** When its submit was announced, in milliseconds since the epoch. */
  readonly attempted_at_ms: number;
  readonly candidates: readonly CandidateEvidence[];
}

/**
 * Describes for a person why a purchase stays undecided.
 * @param others - Open purchases that the candidate fits as well.
 */
export function evidenceOf(
  { purchase, intent }: PurchaseView,
  reason: UndecidedReason,
  candidates: Iterable<Candidate>,
  others: readonly PurchaseView[],
): Evidence {
  return {
    reason,
    explanation: EXPLANATIONS[reason],
    purchase_key: purchase.key,
    n: purchase.n,
    attempted_at_ms: intent.written_at_ms,
    candidates: [...candidates].map(({ row, status, compared, video }) => ({
      task_id: row.taskId,
      created_at_ms: row.createdAtMs ?? null,
      status,
      compared: compared ?? null,
      video_key: video?.key ?? null,
      also_fits: others.map((other) => `${other.purchase.key}/${other.purchase.n}`),
    })),
  };
}
