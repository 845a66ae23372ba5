/** `type` of every failure that leaves an activity. Published: renaming one is a breaking change. */
export const FailureType = {
  /** The request breaks the contract; nothing was sent. */
  InvalidRequest: 'InvalidRequest',
  /** The reference image was read and is not usable; nothing was bought. */
  ReferenceRejected: 'ReferenceRejected',
  /** The reference image cannot be downloaded for now. */
  ReferenceUnreachable: 'ReferenceUnreachable',
  /** No provider key is configured. */
  CredentialsMissing: 'CredentialsMissing',
  /** The provider refused the key. */
  CredentialsRejected: 'CredentialsRejected',
  /** The account cannot buy: overdue, not activated, quota used up. */
  AccountBlocked: 'AccountBlocked',
  /** A budget has no room for the video; nothing was bought. It is an outcome of its own, no failure of the product. */
  BudgetReached: 'BudgetReached',
  /** Content inspection or a rights check refused prompt, image or result. */
  ContentRejected: 'ContentRejected',
  /** The provider limits the rate of requests. */
  ProviderThrottled: 'ProviderThrottled',
  /** The provider failed or could not be reached; nothing was bought by the failing call. */
  ProviderUnavailable: 'ProviderUnavailable',
  /** A submit was sent and no readable answer came back: a paid task may exist. */
  SubmitOutcomeUnknown: 'SubmitOutcomeUnknown',
  /** The task ended FAILED at the provider (free of charge). */
  TaskFailed: 'TaskFailed',
  /** The task was cancelled at the provider (free of charge). */
  TaskCancelled: 'TaskCancelled',
  /** A step after the purchase did not end in time; a salvage continues it. */
  StepTimedOut: 'StepTimedOut',
  /** `deadline_seconds` passed. */
  DeadlineExceeded: 'DeadlineExceeded',
  /** The provider no longer knows the task or its result. */
  ResultExpired: 'ResultExpired',
  /**
   * The result exists and cannot be downloaded for now: its link, host or encoding is not accepted. The purchase stays
   * open.
   */
  ResultUnreachable: 'ResultUnreachable',
  /** The result was downloaded and is not a playable MP4. */
  ResultRejected: 'ResultRejected',
  /** No other file could be made from an archived video; the video itself is there, and nothing was bought. */
  ConformFailed: 'ConformFailed',
  /** The asset store could not be read or written for now. */
  StoreUnavailable: 'StoreUnavailable',
  /** Nothing is in the asset store under the requested key. */
  AssetNotFound: 'AssetNotFound',
  /** A record in the store is damaged or foreign. */
  RecordDamaged: 'RecordDamaged',
  /** The webhook's receiver could not be reached, or answered that it cannot take the event now. */
  WebhookUnavailable: 'WebhookUnavailable',
  /** The webhook's receiver refused the event for good. */
  WebhookRefused: 'WebhookRefused',
  /** A message to a receiver does not carry a valid signature, or is too old. */
  WebhookNotVerified: 'WebhookNotVerified',
  /** Environment or files do not give a usable configuration. */
  ConfigurationInvalid: 'ConfigurationInvalid',
  /** Temporal does not answer, or refused the connection. */
  TemporalUnreachable: 'TemporalUnreachable',
  /** Temporal answers, and no worker does; only a worker knows what was requested. */
  NoWorker: 'NoWorker',
  /** Workers run, and none answers in time: they are overloaded, or the workflow's task fails. */
  WorkerBusy: 'WorkerBusy',
  /** A run cannot read a message, or has no use for it now; nothing has changed. */
  MessageRefused: 'MessageRefused',
  /** Temporal knows no run under the requested id. */
  RunNotFound: 'RunNotFound',
} as const;

export type FailureType = (typeof FailureType)[keyof typeof FailureType];
