import { z } from 'zod';
import { FailureType } from '../src/contract/failure-type.js';
import { VideoError } from '../src/contract/video-error.js';
import { redactText } from '../src/net/redact.js';

/**
 * Downloads of the same bytes before they count as what was bought: one may have been damaged. Of bytes that are no
 * video, or a damaged one, each of them counts only `rejectEveryMs` after the one before.
 */
const REJECTIONS_MAX = 3;
/** Measurements of the same bytes that do not end before they are kept unverified: each may cost a process. */
const UNMEASURED_MAX = 3;
/** The same where no process runs: another worker's may, and the retries last minutes, not as long as the result. */
const UNAVAILABLE_MAX = 10;
/** Most causes that are distinguished; the last one collects the others. */
const CAUSES_MAX = 8;
/** Characters of a cause. */
const CAUSE_MAX = 300;

const sameBytes = z.object({ sha256: z.string(), times: z.number(), lastMs: z.number().optional() }).nullable();
const attemptsSchema = z.object({
  rejections: sameBytes,
  unmeasured: sameBytes,
  unknownSinceMs: z.number().nullable(),
  faults: z.array(z.object({ cause: z.string(), times: z.number(), lastMs: z.number() })),
});
/** What came of the attempts so far; plain JSON, for heartbeats and for the next step of the same result. */
export type Attempts = z.infer<typeof attemptsSchema>;
/** A cause for which a result is not archived yet: how often it occurred, and when last. */
export type ArchiveFault = Attempts['faults'][number];

/** The attempts to archive one result, counted per cause: a refused link says nothing about a damaged file. */
export class ArchiveAttempts {
  state: Attempts = { rejections: null, unmeasured: null, unknownSinceMs: null, faults: [] };

  /**
   * @param heartbeat - The last one of the previous attempt, of any form.
   * @param before - Of an earlier step for the same result.
   */
  static after(heartbeat: unknown, before: Attempts | undefined): ArchiveAttempts {
    const attempts = new ArchiveAttempts();
    const { data } = z.object({ attempts: attemptsSchema }).safeParse(heartbeat);
    attempts.state = data?.attempts ?? before ?? attempts.state;
    return attempts;
  }

  /**
   * Counts a download of a file that fails a check.
   * @param spacing - Leaves out downloads of the same bytes that follow the last counted one within `everyMs`.
   */
  reject(sha256: string, spacing?: { readonly nowMs: number; readonly everyMs: number }): void {
    const { rejections } = this.state;
    if (spacing === undefined) this.state.rejections = countSame(rejections, sha256);
    else {
      const { nowMs, everyMs } = spacing;
      const isSoon = rejections?.sha256 === sha256 && nowMs - (rejections.lastMs ?? 0) < everyMs;
      if (!isSoon) this.state.rejections = { ...countSame(rejections, sha256), lastMs: nowMs };
    }
  }

  /**
   * Counts a file whose measurement did not end, which proves nothing about it.
   * @returns whether the same bytes came so often that they are kept as they came.
   */
  leaveUnmeasured(sha256: string, isUnavailable: boolean): boolean {
    const unmeasured = countSame(this.state.unmeasured, sha256);
    this.state.unmeasured = unmeasured;
    return unmeasured.times >= (isUnavailable ? UNAVAILABLE_MAX : UNMEASURED_MAX);
  }

  /** Whether the same bytes came so often in a row that they are what was bought. */
  get isProved(): boolean {
    return (this.state.rejections?.times ?? 0) >= REJECTIONS_MAX;
  }

  /** Counts why an attempt failed. */
  note(error: unknown, nowMs: number): void {
    const isUnknown = error instanceof VideoError && error.type === FailureType.ResultExpired;
    this.state.unknownSinceMs = isUnknown ? (this.state.unknownSinceMs ?? nowMs) : null;
    const cause = causeOf(error);
    const { faults } = this.state;
    const known = faults.findIndex((fault) => fault.cause === cause);
    const at = known === -1 ? Math.min(faults.length, CAUSES_MAX - 1) : known;
    faults[at] = { cause, times: (faults[at]?.times ?? 0) + 1, lastMs: nowMs };
  }
}

function countSame(before: z.infer<typeof sameBytes>, sha256: string): { sha256: string; times: number } {
  return { sha256, times: before?.sha256 === sha256 ? before.times + 1 : 1 };
}

/** Long numbers differ from attempt to attempt, such as the bytes that came. */
function causeOf(error: unknown): string {
  const text =
    error instanceof VideoError
      ? `${error.type}: ${error.message}`
      : `an unexpected fault: ${redactText(String(error))}`;
  return text.replace(/\d{4,}/g, 'N').slice(0, CAUSE_MAX);
}
