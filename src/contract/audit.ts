/** What the audit found a task of the account to be. */
export const AUDIT_VERDICTS = [
  /** Paid, ours, and its video is in the store. */
  'archived',
  /** The same, of a task whose submit reply was lost: it was found by proof, or named by a person. */
  'adopted',
  /** Ours, failed or cancelled: the provider does not bill it. */
  'free',
  /** Ours, not over, and a run or a salvage works on it. */
  'open',
  /** Ours and paid; a person has decided to do without its video, or it was refused as no video. */
  'given_up',
  /** Nothing leads from it to a purchase of this ledger. */
  'other_software',
  /** It may be ours: only a person can decide. */
  'unclear',
  /**
   * Paid and ours by proof, without a video in the store and without a run that fetches it. One that was archived is
   * only reported: its video may have been deleted on purpose.
   */
  'orphan',
] as const;
export type AuditVerdict = (typeof AUDIT_VERDICTS)[number];

/** Argument of the workflow `auditAccount`. */
export interface AuditInput {
  /** Tasks that were created in the last so many seconds; default, and the most that the provider lists: 24 hours. */
  readonly since_seconds?: number;
}

/** A task of the account, explained. */
export interface AuditedTask {
  readonly task_id: string;
  /** By the provider's clock, in milliseconds since the epoch. */
  readonly created_at_ms: number | null;
  /** The provider's status word. */
  readonly status: string;
  readonly verdict: AuditVerdict;
  /** Why, for people. */
  readonly why: string;
  /** `<key>/<n>`; null for a task that is not known as ours. */
  readonly purchase: string | null;
  /** Seconds that the provider bills by its answer; null when it did not say, or the task is not known as ours. */
  readonly provider_seconds: number | null;
  /** Seconds in the ledger's bill; null: there is none. */
  readonly ledger_seconds: number | null;
}

/** Result of `auditAccount`. Every task is listed in the object `tasks_key` of the store. */
export interface AuditReport {
  readonly since_ms: number;
  readonly until_ms: number;
  readonly tasks: number;
  readonly counts: Readonly<Record<AuditVerdict, number>>;
  /**
   * Of the tasks that are ours, without those that the provider deleted meanwhile. They differ when a bill is missing
   * or was estimated.
   */
  readonly seconds: { readonly provider: number; readonly ledger: number };
  /** Orphans and unclear tasks, at most 50. */
  readonly findings: readonly AuditedTask[];
  /** Rows of the provider's list that name no readable task. */
  readonly unreadable: number;
  /** JSON lines, one {@link AuditedTask} each. */
  readonly tasks_key: string;
  /** Workflow ids of the salvages that were started, and tasks that were claimed and have a salvage already. */
  readonly rescued: readonly string[];
}
