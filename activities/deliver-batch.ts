import { z } from 'zod';
import type { BatchSummary } from '../src/contract/batch.js';
import type { BatchDelivery, BatchDeliveryPlan } from '../src/contract/delivery.js';
import { type DeliveryProgress, deliverBatch } from '../src/delivery/deliver-batch.js';
import type { ActivityDeps } from './deps.js';
import { previousHeartbeat, withSignal } from './with-signal.js';

/** Which batch is delivered, and where. */
export interface DeliverBatchInput {
  readonly summary: BatchSummary;
  readonly plan: BatchDeliveryPlan;
}

/** A heartbeat of another version counts as none: what is delivered is found again. */
const progressSchema = z.object({
  rows: z.number(),
  files: z.number(),
  missing: z.number(),
  problems: z.array(z.object({ item_id: z.string().nullable(), key: z.string().nullable(), message: z.string() })),
});

/** Copies the videos of a batch to their names and writes the documents; an attempt goes on from the previous one. */
export function createDeliverBatch({ store, prices, clock }: ActivityDeps) {
  return ({ summary, plan }: DeliverBatchInput): Promise<BatchDelivery> => {
    const from = progressSchema.safeParse(previousHeartbeat()).data;
    let progress: DeliveryProgress | undefined = from;
    return withSignal(
      (signal) => {
        const onProgress = (done: DeliveryProgress) => {
          progress = done;
        };
        return deliverBatch(store, { summary, plan, prices, from, onProgress, nowMs: clock.now() }, { signal });
      },
      () => progress,
    );
  };
}
