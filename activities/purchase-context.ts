import { z } from 'zod';
import type { VideoWarning } from '../src/contract/result.js';
import { addressOf, type PreparedReference, type PreparedRequest, type RequestFields } from './prepared-request.js';

/** What a purchase's intent keeps so that any run can finish it: the request, its image, and the warnings so far. */
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
const purchaseContext = z.custom<PurchaseContext>((value) => shape.safeParse(value).success);

export const purchaseContextOf = ({
  request,
  reference,
  warnings,
  labels,
  queueIdentity: { batch },
}: PreparedRequest): PurchaseContext & Record<string, unknown> => ({
  request,
  reference: withoutQuery(reference),
  warnings,
  labels,
  ...(batch !== null && { batch_id: batch }),
});

/** The query of an address is often a signature, which no record keeps. */
const withoutQuery = (reference: PreparedReference): PreparedReference =>
  reference.kind === 'oss' || reference.url === undefined ? reference : { ...reference, url: addressOf(reference.url) };

/** @throws ZodError when this product did not write the context; the record around it was checked before. */
export const readPurchaseContext = (value: unknown): PurchaseContext => purchaseContext.parse(value);

/** Whether later requests for the same video may have the result. */
export const isShared = ({ request }: PurchaseContext): boolean => request.cache !== 'off';
