import type { ConformRules } from './conform.js';
import type { Resolution } from './model.js';
import type { SlotPlace } from './slots.js';

/** A remark that does not stop a generation; `code` is stable, `message` is for people. */
export interface VideoWarning {
  readonly code:
    | 'fps_not_honoured'
    | 'size_not_honoured'
    | 'duration_not_honoured'
    | 'motion_strength_unsupported'
    | 'aspect_mismatch'
    | 'reference_not_inspected'
    /** The provider fetches the image itself, after it was checked here: it may have changed meanwhile. */
    | 'reference_not_pinned'
    /** The image was turned upright before it was sent, as its EXIF orientation says. */
    | 'reference_rotated'
    /** Its transparent parts were filled with `reference_background`. */
    | 'reference_flattened'
    /** It was converted: another format, more than 8 bits, CMYK, another colour profile, an animation. */
    | 'reference_converted'
    /** Its metadata was removed; the picture itself is the same. */
    | 'reference_stripped'
    /** The provider fetches the image itself, so that nothing of the above could be done to it. */
    | 'reference_not_fitted'
    | 'audio_not_honoured'
    /** A field of the provider's answer could not be read; dependent values are estimated or absent. */
    | 'provider_answer_odd'
    /** The video is playable as far as its index goes, and fails a check; it was archived as it came. */
    | 'unverified'
    /** The video could not be made what `conform` says; it is the original. */
    | 'conform_failed'
    /** No picture of the first frame could be made. */
    | 'poster_failed'
    /** The reply to a submit came after the run had abandoned it, and both tasks are billed. */
    | 'second_purchase';
  readonly message: string;
}

/** What the provider bills for a result: seconds, tier in lines, and whether with sound. */
export interface VideoUsage {
  /** 0 for a video that this run did not buy, so that a sum over results counts each purchase once. */
  readonly billed_seconds: number;
  readonly resolution: Resolution;
  readonly audio: boolean;
  /**
   * True when the provider did not say all of it: seconds and tier are then those of the request, and the sound is that
   * of the measured file. Absent otherwise.
   */
  readonly estimated?: boolean | undefined;
  /** For a video that this run did not buy: what its purchase was billed. Absent otherwise. */
  readonly original_billed_seconds?: number | undefined;
}

/** Result of a finished generation. */
export interface VideoResult {
  /** Stable address of the archived video (`file:`, `s3:` or `https:`), never a signed URL. */
  readonly video_url: string;
  /** After `conform`: the address of the video as the provider made it. Absent otherwise. */
  readonly original_url?: string | undefined;
  /** By which rules the file at `video_url` was made from the original, to which the measured fields then belong. */
  readonly conformed?: ConformRules | undefined;
  /** JPEG of the first frame of the file at `video_url`; absent unless `poster` was true and it could be made. */
  readonly poster_url?: string | undefined;
  /**
   * Seconds, measured from the file's video track. Like the other measured fields it is that of the request when the
   * warning `unverified` says so: the file could not be measured.
   */
  readonly duration: number;
  /** Frames per second, measured from the file. */
  readonly fps: number;
  /** The seed that was sent: the caller's, or one derived from the purchase. */
  readonly seed: number;
  /** Pixels, measured from the file. */
  readonly width: number;
  readonly height: number;
  readonly bytes: number;
  /** SHA-256 of the file, hex. */
  readonly sha256: string;
  readonly has_audio: boolean;
  readonly task_id: string;
  /** The provider's request id of the submit; null when nobody saw its answer. */
  readonly request_id: string | null;
  readonly source: 'generated' | 'cache' | 'adopted';
  readonly requested: { readonly duration: number; readonly fps: number; readonly size: string };
  readonly usage: VideoUsage;
  /** Seconds in the provider's queue, of rendering, from the task's end until it was noticed, and of archiving. */
  readonly timings: {
    readonly queued: number | null;
    readonly rendering: number | null;
    readonly detected: number | null;
    readonly archived: number | null;
  };
  readonly warnings: readonly VideoWarning[];
}

/** Answer of the query `progress`: self-contained, for callers in any language. */
export interface VideoProgress {
  readonly stage:
    | 'preparing'
    | 'uploading'
    /** Everything is ready, but the account has as many tasks at the provider as it may. See `slot`. */
    | 'waiting_for_slot'
    | 'submitting'
    /** Another run buys the same video; this one follows it. */
    | 'following'
    /** The reply to a submit was lost: the provider's task list shows what became of it. */
    | 'reconciling'
    /** Only a person can decide what a lost submit has bought, or what to do about a result; see `attention`. */
    | 'needs_attention'
    /** The provider has accepted the task and not started it. */
    | 'queued'
    | 'rendering'
    | 'archiving'
    /** The video is archived; a worker with ffmpeg makes from it what `conform` and `poster` say. */
    | 'conforming'
    | 'cancelling'
    | 'done'
    | 'cancelled'
    | 'failed'
    /** A budget has no room for the video; nothing was bought. */
    | 'budget_reached';
  /** What the run waits for, in plain words. */
  readonly waiting_for: string;
  readonly task_id: string | null;
  /** From 1; a task that failed for a fault of the provider is bought again, as the next attempt. */
  readonly attempt: number;
  /** Milliseconds since the epoch at which the stage began. */
  readonly since_ms: number;
  /** Seconds that the task waited at the provider before it started; null until then. */
  readonly queued_seconds: number | null;
  /** Milliseconds since the epoch at which the provider started to render; null until then. */
  readonly rendering_since_ms: number | null;
  /** When the video is expected, from the render times of earlier ones; null until it renders. */
  readonly eta: Eta | null;
  /** In `waiting_for_slot`, once the account's slots have answered: who is ahead. Null otherwise. */
  readonly slot: SlotPlace | null;
  /** Remarks so far, such as fields of the provider's answers that are not as documented. */
  readonly notes: readonly string[];
  /** In `needs_attention`: what was seen, and how to decide. */
  readonly attention: Attention | null;
  /** After a cancel: what became of the task, and whether it is billed. */
  readonly cancel: CancelOutcome | null;
}

/** A range in milliseconds since the epoch, based on so many renders of the same kind (0: a guess). */
export interface Eta {
  readonly earliest_ms: number;
  readonly latest_ms: number;
  readonly samples: number;
}

/** Why a run waits for a person, and what that person needs to decide. */
export interface Attention {
  /** What is in question: what a submit has bought, or the result of a task that is paid and cannot be archived. */
  readonly cause: 'SubmitOutcomeUnknown' | 'ResultUnreachable';
  readonly reason: string;
  /** What to look at before the decision, in plain words. */
  readonly next_step: string;
  /** The purchase that waits: `<key>/<n>`. */
  readonly purchase: string;
  /** Tasks that may belong to the run; the archived copy of each outlives the provider's 24 hours. */
  readonly candidates: readonly {
    readonly task_id: string;
    readonly evidence: string;
    readonly archived: string | null;
  }[];
  /** Why the last decision was refused; null when none was. */
  readonly refused: string | null;
}

/**
 * A person's decision in `needs_attention`, sent as the Update or the signal `resolveSubmit`. `task_id`: this task
 * belongs to the run, or its result is tried again at once; `buy_again`: no task does, or its result is given up.
 */
export type SubmitDecision = { readonly task_id: string } | { readonly buy_again: true };

/** Answer of the Update `resolveSubmit`: the decision was accepted. */
export interface DecisionOutcome {
  readonly decision: SubmitDecision;
  /** The task that the run continues with; null: none, or the result of the same task is tried again. */
  readonly task_id: string | null;
}

/** What a cancel did; also the answer of the Update `cancel`. */
export interface CancelOutcome {
  /** In words. */
  readonly outcome: string;
  /** The task concerned, where one was known. */
  readonly task_id?: string | undefined;
  /** Whether the provider bills; null: if the running task succeeds. */
  readonly billed: boolean | null;
  /** Why, in the words of the person or program that cancelled; null when nobody said. */
  readonly reason: string | null;
}
