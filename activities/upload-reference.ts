import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import type { Billable, BudgetReached } from '../src/contract/budget.js';
import { MODEL } from '../src/contract/model.js';
import type { SlotAnswer, SlotName } from '../src/contract/slots.js';
import { findExistingPurchase } from '../src/ledger/buy.js';
import type { StagedImage } from '../src/media/stage-image.js';
import { assertSameStore } from './assert-same-store.js';
import { type ActivityDeps, ledgerParts } from './deps.js';
import type { PreparedReference } from './prepared-request.js';
import type { PurchaseStep } from './purchase-step.js';
import { costOf } from './slot-holders.js';
import { type PurchaseInput, purchaseQueryOf, purchaseStep } from './submit-task.js';
import { withSignal } from './with-signal.js';

/** A slot that a run has requested, and where. */
export interface RequestedSlot extends SlotName {
  /** Workflow id of the account's slots. */
  readonly slots: string;
  /** What is to be reserved; present when the worker has budgets: then nothing is bought without the slots. */
  readonly cost?: Billable;
}

/** Ready to buy, or there is no need to. */
export type Readiness =
  /** The ledger has something to follow or to take; nothing was uploaded and no slot requested. */
  | { readonly kind: 'found'; readonly step: PurchaseStep }
  /** A budget has no room; nothing was uploaded and no slot requested. */
  | { readonly kind: 'budget_reached'; readonly reached: BudgetReached }
  /** The provider can read the image, and a slot is requested. */
  | {
      readonly kind: 'requested';
      readonly imgUrl: string;
      readonly slot: RequestedSlot;
      /** What the slots have answered; absent: the answer is a signal. */
      readonly answer?: SlotAnswer;
    };

/** Makes a run ready to buy, where the first step has not done so. */
export function createUploadReference(deps: ActivityDeps) {
  return (input: PurchaseInput): Promise<Readiness> => withSignal((signal) => makeReady(deps, input, signal));
}

/**
 * Makes a run ready to buy: looks for a purchase to follow instead, uploads the image into the provider's temporary
 * store, and requests a slot. The request is not a step of its own because that would cost each generation six events;
 * it comes last, so that no slot is held during an upload, which may take minutes and may fail.
 */
export async function makeReady(deps: ActivityDeps, input: PurchaseInput, signal: AbortSignal): Promise<Readiness> {
  const { slots } = deps;
  const { reference, storeId, query, queueIdentity, request } = input.prepared;
  assertSameStore(deps, storeId);
  const { found, newest } = await findExistingPurchase(ledgerParts(deps), purchaseQueryOf(input), { signal });
  if (found !== undefined) return { kind: 'found', step: purchaseStep(found) };
  const name = { key: query.purchaseKey, afterPurchase: newest };
  const cost = costOf(request);
  if (slots.budget !== undefined) {
    // Before the upload, so that the rest of a batch whose money is spent costs next to nothing. Without an answer
    // the request decides.
    const answer = await slots.queryBudget({ ...queueIdentity, key: name.key, cost }).catch(() => undefined);
    if (answer?.reached != null) return { kind: 'budget_reached', reached: answer.reached };
  }
  const imgUrl = await addressAtProvider(reference, deps, signal);
  signal.throwIfAborted(); // a run that is cancelled needs no slot
  const answer = await slots.requestSlot({ ...name, ...queueIdentity, cost, requesterId: query.buyer.workflowId });
  const reservation = slots.budget !== undefined && { cost };
  const slot = { ...name, slots: slots.workflowId, ...reservation };
  return { kind: 'requested', imgUrl, slot, ...(answer !== undefined && { answer }) };
}

/** The address from which the provider reads an image: its own, or one in the provider's temporary store. */
async function addressAtProvider(
  reference: PreparedReference,
  deps: ActivityDeps,
  signal: AbortSignal,
): Promise<string> {
  if (reference.kind === 'oss') return reference.url;
  return reference.url ?? (await uploadImage(reference, deps, signal));
}

/** Returns the image's address at the provider, which keeps it for 48 h; each attempt has its own name and policy. */
export async function uploadImage(
  reference: Pick<StagedImage['asset'], 'key' | 'mime' | 'bytes'>,
  { dashscope, store, images }: Pick<ActivityDeps, 'dashscope' | 'store'> & Partial<Pick<ActivityDeps, 'images'>>,
  signal: AbortSignal,
): Promise<string> {
  const policy = await dashscope.getUploadPolicy(MODEL, { signal });
  const name = `${randomUUID()}.${reference.key.split('.').at(-1)}`;
  const read = images?.read(reference.key);
  const body = read === undefined ? await store.get(reference.key, { signal }) : Readable.from([read]);
  try {
    const file = { name, contentType: reference.mime, size: reference.bytes, body };
    return await dashscope.uploadFile(policy, file, { signal });
  } finally {
    body.destroy(); // also when nobody has read from it: it is an open file
  }
}
