import type { z } from 'zod';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import type { AssetStore, StoreOptions } from '../storage/asset-store.js';
import { readRecord, writeRecord } from '../storage/json-record.js';
import type { Scope } from '../storage/keys.js';

/** What every record says of itself. */
interface Stamped {
  readonly provider: string;
  readonly account: string;
  readonly token: string;
  readonly purchase_key: string;
  readonly n: number;
}

/** Which purchase a record must be of; left out where the key does not tell. */
export interface Place {
  readonly key: string;
  readonly n: number;
}

/** What a put-if-absent came to: ours, or what stands there. */
export type PutAnswer<T> = { readonly won: true; readonly record: T } | { readonly won: false; readonly record: T };

/**
 * Reads one record.
 * @param scope - Left out where records of every scope are wanted.
 * @param place - The purchase that the record's own key names.
 * @returns `undefined` when nothing is there.
 * @throws VideoError `RecordDamaged` when it cannot be understood, is of another scope, or lies at the wrong place.
 */
export async function readLedgerRecord<T extends Stamped>(
  store: AssetStore,
  scope: Scope | undefined,
  key: string,
  schema: z.ZodType<T>,
  place: Place | undefined,
  options: StoreOptions = {},
): Promise<T | undefined> {
  const value = await readRecord(store, key, options);
  if (value === undefined) return undefined;
  const version = value['v'];
  if (typeof version === 'number' && version > 1) {
    throw recordDamaged(store, key, `has version ${version}, which this program does not know`, {
      nextStep: `Use the newer program that wrote ${key}. Nothing was bought and nothing was overwritten.`,
    });
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    // Paths only: values may hold a caller's prompt.
    const fields = [...new Set(parsed.error.issues.map((issue) => issue.path.join('.') || 'record'))].join(', ');
    throw recordDamaged(store, key, `is not as this program writes it: ${fields}`);
  }
  const record = parsed.data;
  if (scope !== undefined && (record.provider !== scope.provider || record.account !== scope.account)) {
    throw recordDamaged(store, key, `is of another provider or account (${record.provider}, ${record.account})`);
  }
  if (place !== undefined && (record.purchase_key !== place.key || record.n !== place.n)) {
    throw recordDamaged(store, key, `tells of another purchase (${record.purchase_key}/${record.n})`);
  }
  return record;
}

/**
 * Puts a record where none is. A put that answers "exists" or fails is read back: our own token there means that we
 * won, because the store's client may have tried twice and lost against itself.
 * @throws VideoError `StoreUnavailable` when nobody can tell whether the record stands (it may still appear).
 */
export async function putLedgerRecord<T extends Stamped>(
  store: AssetStore,
  scope: Scope,
  key: string,
  schema: z.ZodType<T>,
  record: T,
  place: Place | undefined,
  options: StoreOptions = {},
): Promise<PutAnswer<T>> {
  let fault: unknown;
  try {
    if ((await writeRecord(store, key, record, { ...options, ifAbsent: true })).stored) return { won: true, record };
  } catch (error) {
    if (options.signal?.aborted || !(error instanceof VideoError && error.retryable)) throw error;
    fault = error;
  }
  const found = await readLedgerRecord(store, scope, key, schema, place, options);
  if (found !== undefined) return { won: found.token === record.token, record: found };
  throw (
    fault ??
    new VideoError(FailureType.StoreUnavailable, `${key} in ${store.name} exists and cannot be read`, {
      retryable: true,
      nextStep: 'Wait; the step is tried again. If it stays, the store does not show what it holds.',
    })
  );
}

/** The error for a record that must not be trusted. */
export function recordDamaged(
  store: Pick<AssetStore, 'name'>,
  key: string,
  fault: string,
  { nextStep }: { readonly nextStep?: string } = {},
): VideoError {
  return new VideoError(
    FailureType.RecordDamaged,
    `The ledger record ${key} in the asset store ${store.name} ${fault}`,
    {
      nextStep:
        nextStep ??
        `Restore ${key} from a backup; move it away only when the provider's task list shows what became of the purchase. ` +
          'Nothing was bought and nothing was overwritten.',
    },
  );
}
