/** A remark that does not stop a generation; `code` is stable, `message` is for people. */
export interface VideoWarning {
  readonly code:
    | 'fps_not_honoured'
    | 'size_not_honoured'
    | 'duration_not_honoured'
    | 'motion_strength_unsupported'
    | 'aspect_mismatch'
    | 'reference_not_inspected'
    | 'audio_not_honoured';
  readonly message: string;
}

/** What a finished generation answers. */
export interface VideoResult {
  /** Stable address of the archived video (`file:`, `s3:` or `https:`), never a signed URL. */
  readonly video_url: string;
  /** Seconds, measured from the file's video track. */
  readonly duration: number;
  /** Frames per second, measured from the file. */
  readonly fps: number;
  /** The seed that was really sent. */
  readonly seed: number;
  /** Pixels, measured from the file. */
  readonly width: number;
  readonly height: number;
  readonly bytes: number;
  /** SHA-256 of the file, hex. */
  readonly sha256: string;
  readonly has_audio: boolean;
  readonly task_id: string;
  /** The provider's request id of the submit. */
  readonly request_id: string;
  readonly source: 'generated' | 'cache' | 'adopted';
  readonly requested: { readonly duration: number; readonly fps: number; readonly size: string };
  /** What the provider bills for the task: seconds, tier in lines, and whether with sound. */
  readonly usage: { readonly billed_seconds: number; readonly resolution: '720P' | '1080P'; readonly audio: boolean };
  /** Seconds: in the provider's queue, rendering, from its end to our noticing, to archive. */
  readonly timings: {
    readonly queued: number | null;
    readonly rendering: number | null;
    readonly detected: number | null;
    readonly archived: number | null;
  };
  readonly warnings: readonly VideoWarning[];
}

/** Answer of the `progress` query: complete by itself, for callers in any language. */
export interface VideoProgress {
  readonly stage:
    | 'preparing'
    | 'uploading'
    | 'submitting'
    | 'rendering'
    | 'archiving'
    | 'done'
    | 'cancelling'
    | 'cancelled'
    | 'failed';
  /** What is waited for, in plain words. */
  readonly waiting_for: string;
  readonly task_id: string | null;
  /** Milliseconds since the epoch at which the stage began. */
  readonly since_ms: number;
  /** After a cancel: what became of the task, and whether it is billed (null: nobody can know yet). */
  readonly cancel: CancelOutcome | null;
}

/** What a cancel did: in words, and whether the provider bills (null: nobody can know yet). */
export interface CancelOutcome {
  readonly outcome: string;
  readonly billed: boolean | null;
}
