import { z } from 'zod';
import { FailureType } from '../src/contract/failure-type.js';
import type { Purchase } from '../src/contract/purchase.js';
import type { Attention } from '../src/contract/result.js';
import type { SlotReleaseMessage } from '../src/contract/slots.js';
import { utcSecond } from '../src/contract/utc.js';
import { VideoError } from '../src/contract/video-error.js';
import type { TaskSnapshot } from '../src/dashscope/wire.js';
import type { CandidateVideo, Evidence, UndecidedReason } from '../src/ledger/evidence.js';
import { type ReconcileOutcome, type ReconcileProgress, reconcileSubmit } from '../src/ledger/reconcile.js';
import { inspectMp4, rejectedMp4 } from '../src/media/mp4.js';
import { readSpool } from '../src/net/spool.js';
import { candidateKey } from '../src/storage/keys.js';
import { ArchiveAttempts } from './archive-attempts.js';
import { type ActivityDeps, ledgerParts, type ResultDeps } from './deps.js';
import { withResult } from './download-result.js';
import { followStep, type PurchaseStep } from './purchase-step.js';
import { NOTHING_BILLED, releaseSlot } from './slot-holders.js';
import { previousHeartbeat, withSignal } from './with-signal.js';

/** Finds out what became of a submit whose reply was lost; neither buys nor guesses. */
export function createReconcileSubmit(deps: ActivityDeps) {
  return ({ purchase }: { purchase: Purchase }): Promise<PurchaseStep> => {
    let waiting = previousHeartbeat();
    const progress = progressOf(waiting);
    return withSignal(
      async (signal) => {
        const parts = { ...ledgerParts(deps), archiveCandidate: candidateArchive(deps) };
        const onWait = (state: unknown) => {
          waiting = state;
        };
        const outcome = await reconcileSubmit(parts, purchase, { signal, progress, onWait });
        if (outcome.kind === 'undecided') deps.metrics.undecided();
        // Nothing of it is at the provider any more, or nobody knows of anything: other runs may submit.
        if (outcome.kind !== 'task') await releaseSlot(deps, purchase, settledBy(outcome));
        return reconciledStep(outcome);
      },
      () => waiting,
    );
  };
}

const heartbeatDetails = z.object({
  progress: z.object({
    seenForMs: z.record(z.string(), z.number()),
    empty: z.object({ listings: z.number(), spanMs: z.number(), key: z.string() }).nullable(),
  }),
});

/** How far an earlier attempt had come; undefined when there was none, or its heartbeat does not say. */
const progressOf = (heartbeat: unknown): ReconcileProgress | undefined =>
  heartbeatDetails.safeParse(heartbeat).data?.progress;

/**
 * What a decision settles: nothing was bought, or it was free. A bill is settled by the step that saw the task's end.
 */
export const settledBy = ({ kind }: ReconcileOutcome): SlotReleaseMessage['settled'] =>
  kind === 'buy' || kind === 'failed' ? NOTHING_BILLED : undefined;

/** Reasons that go away once key or account are fixed. */
const MAY_PASS: ReadonlySet<UndecidedReason> = new Set(['list_refused', 'another_key']);

/** The next step after what the reconciliation, or a person, has decided. */
export function reconciledStep(outcome: ReconcileOutcome): PurchaseStep {
  if (outcome.kind !== 'undecided') return followStep(outcome);
  const { purchase, evidence } = outcome;
  return { kind: 'undecided', purchase, attention: attentionOf(evidence), mayPass: MAY_PASS.has(evidence.reason) };
}

function attentionOf(evidence: Evidence): Attention {
  return {
    cause: 'SubmitOutcomeUnknown',
    reason: `${evidence.explanation} The submit was sent about ${utcSecond(evidence.attempted_at_ms)}.`,
    next_step: 'Compare the candidates, then decide with one of the commands; the run then continues by itself.',
    purchase: `${evidence.purchase_key}/${evidence.n}`,
    candidates: evidence.candidates.map(({ task_id, created_at_ms, status, compared, video_key, also_fits }) => ({
      task_id,
      evidence: [
        ...(created_at_ms === null ? [] : [`created ${utcSecond(created_at_ms)}`]),
        status,
        ...(compared === null ? [] : Object.entries(compared).map(([what, match]) => `${what} ${match}`)),
        ...(also_fits.length === 0 ? [] : [`also fits ${also_fits.join(', ')}`]),
      ].join(', '),
      archived: video_key,
    })),
    refused: null,
  };
}

/**
 * Stores the video of a task that may be the lost one, so that a decision after the provider's 24 hours still finds it.
 */
export function candidateArchive(deps: ResultDeps) {
  const attemptsOf = new Map<string, ArchiveAttempts>();
  return async ({ taskId }: TaskSnapshot, signal?: AbortSignal): Promise<CandidateVideo> => {
    const attempts = attemptsOf.get(taskId) ?? new ArchiveAttempts();
    attemptsOf.set(taskId, attempts);
    // Not the link that is known already: a refused one is requested again, and a candidate without its video parks the
    // run.
    return withResult(deps, taskId, signal, async (file, { bytes, sha256 }) => {
      // A download may have been damaged on its way: the next look at the task repeats it, until the same bytes came
      // often enough to be what the provider has.
      const refuse = (error: VideoError): void => {
        attempts.reject(sha256);
        if (!attempts.isProved) throw error.with({ retryable: true });
      };
      const { measured, fault } = await inspectMp4(file, signal).catch((error: unknown) => {
        if (error instanceof VideoError && error.type === FailureType.ResultRejected) refuse(error);
        throw error;
      });
      if (fault !== undefined) refuse(rejectedMp4(fault));
      const { width, height, durationSeconds, hasAudio } = measured ?? {};
      const key = candidateKey(taskId);
      const put = { ifAbsent: true, sha256, bytes, contentType: 'video/mp4', signal };
      await deps.store.put(key, readSpool(file), put);
      return { key, width, height, durationSeconds, hasAudio };
    });
  };
}
