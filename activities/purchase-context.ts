import { z } from 'zod';
import type { VideoResult, VideoWarning } from '../src/contract/result.js';
import type { PreparedReference, PreparedRequest, RequestFields } from './types.js';

/** What a purchase's intent keeps so that anybody can finish it: the request, its image, and what was foreseen. */
export interface PurchaseContext {
  readonly request: RequestFields;
  readonly reference: PreparedReference;
  readonly warnings: readonly VideoWarning[];
  readonly labels: Readonly<Record<string, string>>;
  /** Batch that it was bought for; `cost --by batch` reads it. */
  readonly batch_id?: string;
}

const shape = z.looseObject({
  request: z.looseObject({ prompt: z.string(), duration: z.number(), fps: z.number(), size: z.string() }),
  reference: z.looseObject({ kind: z.string() }),
  warnings: z.array(z.looseObject({ code: z.string() })),
  labels: z.record(z.string(), z.string()),
});
const memo = z.custom<PurchaseContext>((value) => shape.safeParse(value).success);

export const purchaseContextOf = ({
  request,
  reference,
  warnings,
  labels,
  batchId,
}: PreparedRequest): PurchaseContext & Record<string, unknown> => ({
  ...{ request, reference, warnings, labels },
  ...(batchId != null && { batch_id: batchId }),
});

/** @throws ZodError when the memo was not written by this product; the record itself was checked before. */
export const readPurchaseContext = (value: unknown): PurchaseContext => memo.parse(value);

/** Whether the result may be handed to equal requests later. */
export const isShared = ({ request }: PurchaseContext): boolean => request.cache !== 'off';

/** The same video for another caller: nothing was bought for it. */
export const fromCache = (result: VideoResult): VideoResult => ({ ...result, source: 'cache' });
