import { randomUUID } from 'node:crypto';
import { MODEL } from '../src/contract/model.js';
import { findExistingPurchase } from '../src/ledger/buy.js';
import { assertSameStore } from './assert-same-store.js';
import type { ActivityDeps } from './deps.js';
import { costOf } from './slot-holders.js';
import { purchaseQueryOf, purchaseStep } from './submit-task.js';
import type { PreparedReference, VideoActivities } from './types.js';
import { withSignal } from './with-signal.js';

/**
 * Makes a run ready to buy: looks whether there is a purchase to follow instead, puts the image into the provider's temporary store, and
 * asks for a slot. The asking is no step of its own because that would cost each generation six events; it comes last, so that no slot
 * is held during an upload, which may take minutes and may fail.
 */
export function createUploadReference(deps: ActivityDeps): VideoActivities['uploadReference'] {
  const { ledger, clock, times, slots } = deps;
  return (input) =>
    withSignal(async (signal) => {
      const { reference, storeId } = input.prepared;
      assertSameStore(deps, storeId);
      const interest = purchaseQueryOf(input);
      const { found, newest } = await findExistingPurchase({ ledger, clock, times: times.ledger }, interest, {
        signal,
      });
      if (found !== undefined) return { kind: 'found', step: purchaseStep(found) };
      const name = { key: interest.purchaseKey, afterPurchase: newest };
      const cost = costOf(input.prepared.request);
      if (slots.budget !== undefined) {
        // Before the upload, so that what follows in a batch whose money is spent costs next to nothing. No answer is none: the ask decides.
        const answer = await slots.queryBudget({ ...input.queueIdentity, key: name.key, cost }).catch(() => undefined);
        if (answer?.reached != null) return { kind: 'budget_reached', reached: answer.reached };
      }
      const imgUrl = await upload(reference, deps, signal);
      await slots.requestSlot({ ...name, ...input.queueIdentity, cost, requesterId: input.buyer.workflowId });
      const reserves = slots.budget !== undefined && { cost };
      return { kind: 'requested', imgUrl, slot: { ...name, slots: slots.workflowId, ...reserves } };
    });
}

/** The image's address at the provider, where it is kept for 48 h; a fresh name and policy for each attempt. */
async function upload(
  reference: PreparedReference,
  { dashscope, store }: ActivityDeps,
  signal: AbortSignal,
): Promise<string> {
  if (reference.kind === 'oss') return reference.url;
  const policy = await dashscope.getUploadPolicy(MODEL, { signal });
  const name = `${randomUUID()}.${reference.key.split('.').at(-1)}`;
  const body = await store.get(reference.key, { signal });
  try {
    return await dashscope.uploadFile(
      policy,
      { name, contentType: reference.mime, size: reference.bytes, body },
      { signal },
    );
  } finally {
    body.destroy(); // also one that was never begun: it is an open file
  }
}
