import type { FailureType } from './failure-type.js';

/** One fault of one field, for people and programs. */
export interface Issue {
  /** Field path such as `duration` or `labels.team`; empty for the request as a whole. */
  readonly path: string;
  /** The value's fault and the fix, in one sentence. */
  readonly message: string;
}

/** What an error says beyond its message. */
export interface ErrorContext {
  /** Whether the same step can be retried safely. */
  readonly retryable?: boolean | undefined;
  /** Milliseconds to wait before the next try, when the other side requested it. */
  readonly retryAfterMs?: number | undefined;
  /** The provider's own code, such as `Throttling.RateQuota`. */
  readonly code?: string | undefined;
  readonly taskId?: string | undefined;
  readonly requestId?: string | undefined;
  readonly issues?: readonly Issue[] | undefined;
  /** Whether the provider bills what happened; absent when nobody can know. */
  readonly billed?: boolean | undefined;
  /** What a person can do now, in plain words. */
  readonly nextStep?: string | undefined;
  readonly cause?: unknown;
}

/** Every error that is thrown on purpose. Match on `type`, never on the message. */
export class VideoError extends Error {
  override readonly name = 'VideoError';
  readonly type: FailureType;
  readonly retryable: boolean;
  readonly retryAfterMs: number | undefined;
  readonly code: string | undefined;
  readonly taskId: string | undefined;
  readonly requestId: string | undefined;
  readonly issues: readonly Issue[] | undefined;
  readonly billed: boolean | undefined;
  readonly nextStep: string | undefined;

  constructor(type: FailureType, message: string, context: ErrorContext = {}) {
    super(message, context.cause === undefined ? undefined : { cause: context.cause });
    this.type = type;
    this.retryable = context.retryable ?? false;
    this.retryAfterMs = context.retryAfterMs;
    this.code = context.code;
    this.taskId = context.taskId;
    this.requestId = context.requestId;
    this.issues = context.issues;
    this.billed = context.billed;
    this.nextStep = context.nextStep;
  }

  /** Returns the same error with parts of its context replaced. */
  with(changed: Omit<ErrorContext, 'cause'>): VideoError {
    const { type, message, retryable, retryAfterMs, code, taskId, requestId, issues, billed, nextStep, cause } = this;
    const kept = { retryable, retryAfterMs, code, taskId, requestId, issues, billed, nextStep, cause };
    return new VideoError(type, message, { ...kept, ...changed });
  }

  /** Returns the same error with the task that it is about, unless it names one. */
  about(task: { readonly taskId: string; readonly requestId?: string | null | undefined }): VideoError {
    return this.with({
      taskId: this.taskId ?? task.taskId,
      requestId: this.requestId ?? task.requestId ?? undefined,
    });
  }
}
