import { z } from 'zod';
import type { Attention } from '../src/contract/result.js';
import type { SlotReleaseMessage } from '../src/contract/slots.js';
import type { TaskSnapshot } from '../src/dashscope/wire.js';
import type { CandidateVideo, Evidence, UndecidedReason } from '../src/ledger/evidence.js';
import { type ReconcileOutcome, type ReconcileProgress, reconcileSubmit } from '../src/ledger/reconcile.js';
import { measureMp4 } from '../src/media/mp4.js';
import { readSpool } from '../src/net/spool.js';
import { candidateKey } from '../src/storage/keys.js';
import type { ActivityDeps, ResultDeps } from './deps.js';
import { withResult } from './download-result.js';
import { followStep } from './purchase-step.js';
import { NOTHING_BILLED, releaseSlot } from './slot-holders.js';
import type { PurchaseStep, VideoActivities } from './types.js';
import { previousHeartbeat, withSignal } from './with-signal.js';

/** Finds out what became of a submit whose reply was lost; neither buys nor guesses. */
export function createReconcileSubmit(deps: ActivityDeps): VideoActivities['reconcileSubmit'] {
  const { ledger, dashscope: provider, clock, times } = deps;
  return ({ purchase }) => {
    let waiting = previousHeartbeat();
    const progress = progressBefore(waiting);
    return withSignal(
      async (signal) => {
        const outcome = await reconcileSubmit(
          { ledger, provider, clock, times: times.ledger, archiveCandidate: candidateArchive(deps) },
          purchase,
          {
            signal,
            progress,
            onWait: (state) => {
              waiting = state;
            },
          },
        );
        if (outcome.kind === 'undecided') deps.metrics.undecided();
        // Nothing of it is at the provider any more, or not that anybody knows: others go on.
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

/** What an earlier attempt had waited for; undefined when there was none, or its heartbeat did not say. */
const progressBefore = (details: unknown): ReconcileProgress | undefined =>
  heartbeatDetails.safeParse(details).data?.progress;

/** What a decision settles: nothing was bought, or what was is free. A bill is settled by whoever saw the task's end. */
export const settledBy = ({ kind }: ReconcileOutcome): SlotReleaseMessage['settled'] =>
  kind === 'buy' || kind === 'failed' ? NOTHING_BILLED : undefined;

/** Refusals that end when somebody mends key or account. */
const MAY_PASS: ReadonlySet<UndecidedReason> = new Set(['list_refused', 'another_key']);

/** What the reconciliation, or a person, decided. */
export function reconciledStep(outcome: ReconcileOutcome): PurchaseStep {
  if (outcome.kind !== 'undecided') return followStep(outcome);
  const { purchase, evidence } = outcome;
  return { kind: 'undecided', purchase, attention: attentionOf(evidence), mayPass: MAY_PASS.has(evidence.reason) };
}

function attentionOf(evidence: Evidence): Attention {
  return {
    reason: evidence.explanation,
    purchase: `${evidence.purchase_key}/${evidence.n}`,
    candidates: evidence.candidates.map(({ task_id, status, compared, video_key, also_fits }) => ({
      task_id,
      evidence: [
        status,
        ...(compared === null ? [] : Object.entries(compared).map(([what, likeness]) => `${what} ${likeness}`)),
        ...(also_fits.length === 0 ? [] : [`also fits ${also_fits.join(', ')}`]),
      ].join(', '),
      archived: video_key,
    })),
    refused: null,
  };
}

/** Keeps the video of a task that may be ours, so that a decision after the provider's 24 hours still finds it. */
export function candidateArchive(deps: ResultDeps) {
  return async ({ taskId }: TaskSnapshot, signal?: AbortSignal): Promise<CandidateVideo> => {
    // Asks for the link itself: one that is refused is asked for anew, and a candidate without its picture parks the run.
    return withResult(deps, taskId, signal, async (file, { bytes, sha256 }) => {
      const key = candidateKey(taskId);
      const { width, height } = await measureMp4(file);
      const put = { ifAbsent: true, sha256, bytes, contentType: 'video/mp4', signal };
      await deps.store.put(key, readSpool(file), put);
      return { key, width, height };
    });
  };
}
