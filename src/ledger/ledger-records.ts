import { randomUUID } from 'node:crypto';
import type { z } from 'zod';
import { FailureType } from '../contract/failure-type.js';
import type { Purchase } from '../contract/purchase.js';
import { VideoError } from '../contract/video-error.js';
import type { AssetStore, StoreOptions } from '../storage/asset-store.js';
import { readRecord, writeRecord } from '../storage/json-record.js';
import type { Scope } from '../storage/keys.js';
import { DIGEST_RULES, type DigestRules } from './digest-rules.js';
import { checkedKey, LedgerPaths } from './paths.js';
import type {
  BillDayRecord,
  BillRecord,
  ClaimRecord,
  ClosedRecord,
  ExtraTaskRecord,
  FoundTaskRecord,
  IntentRecord,
  RecentRecord,
  Stamp,
  TaskRecord,
} from './records.js';

export interface LedgerOptions {
  readonly store: AssetStore;
  readonly scope: Scope;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Text that no other execution makes; default a random UUID. */
  readonly newToken?: (() => string) | undefined;
  /** Receives every record that this ledger has written, once each even when a step is repeated. Must not throw. */
  readonly onRecordWritten?: ((record: WrittenRecord) => void) | undefined;
  /** Default {@link DIGEST_RULES}; tests have smaller worlds. */
  readonly rules?: DigestRules | undefined;
}

/** A record that is written once and never replaced. */
export type WrittenRecord =
  | IntentRecord
  | ClaimRecord
  | ClosedRecord
  | TaskRecord
  | ExtraTaskRecord
  | FoundTaskRecord
  | BillRecord
  | BillDayRecord
  | RecentRecord;

/** What became of a conditional put: the record that is stored now, and whether it is ours. */
export interface PutAnswer<T> {
  readonly won: boolean;
  readonly record: T;
}

/**
 * Records that are remembered at most: an intent, a claim and a task record for each of the 500 tasks that a worker
 * watches, twice. An intent is a few kB.
 */
const REMEMBERED_MAX = 3_000;

/** Reads and writes the records of one account. */
export class LedgerRecords {
  readonly store: AssetStore;
  readonly scope: Scope;
  readonly paths: LedgerPaths;
  /**
   * Milliseconds since the epoch, by the store's clock where it has one: what different writers date, such as the hour
   * of an announcement, is then comparable although a writer's clock is wrong.
   */
  readonly now: () => number;
  /** The same by this machine's clock alone. */
  readonly localNow: () => number;
  readonly rules: DigestRules;
  /** By key, the oldest first; a record never changes once it is written. */
  readonly #remembered = new Map<string, Stamp>();
  readonly #newToken: () => string;
  readonly #onRecordWritten: (record: WrittenRecord) => void;

  constructor({ store, scope, now, ...options }: LedgerOptions) {
    this.store = store;
    this.scope = scope;
    this.paths = LedgerPaths.of(scope);
    this.now = () => store.now?.() ?? now();
    this.localNow = now;
    this.rules = options.rules ?? DIGEST_RULES;
    this.#newToken = options.newToken ?? randomUUID;
    this.#onRecordWritten = options.onRecordWritten ?? (() => undefined);
  }

  /** What every record of a purchase begins with. */
  stamp({ key, n }: Purchase): Stamp {
    return {
      v: 1,
      ...this.scope,
      token: this.#newToken(),
      written_at_ms: this.now(),
      purchase_key: checkedKey(key),
      n,
    };
  }

  /** Keeps an immutable record, so that the later steps of its purchase need not read it again. */
  remember(key: string, record: Stamp | undefined): void {
    if (record === undefined) return;
    this.#remembered.delete(key);
    this.#remembered.set(key, record);
    const [oldest] = this.#remembered.keys();
    if (oldest !== undefined && this.#remembered.size > REMEMBERED_MAX) this.#remembered.delete(oldest);
  }

  /** A record that this process has written or read before. What decides on buying is always read from the store. */
  recall<T extends Stamp>(key: string): T | undefined {
    return this.#remembered.get(key) as T | undefined;
  }

  /** Reads one record of this account; see {@link readLedgerRecord}. */
  read<T extends Stamp>(
    key: string,
    schema: z.ZodType<T>,
    purchase: Purchase | undefined,
    options: StoreOptions,
  ): Promise<T | undefined> {
    return readLedgerRecord(this.store, key, schema, { scope: this.scope, purchase, ...options });
  }

  /**
   * Puts a record where none is. A put that answers "exists" or fails is read back: our own token there means that we
   * won, because the store's client may have tried twice and lost against itself.
   * @param purchase - The purchase that `key` names; `undefined` where it names none.
   * @throws VideoError `StoreUnavailable` when it is unknown whether the record is stored; it may still appear.
   */
  async put<T extends WrittenRecord>(
    key: string,
    schema: z.ZodType<T>,
    record: T,
    purchase: Purchase | undefined,
    options: StoreOptions,
  ): Promise<PutAnswer<T>> {
    let fault: unknown;
    const { stored } = await writeRecord(this.store, key, record, { ...options, ifAbsent: true }).catch((error) => {
      if (options.signal?.aborted || !(error instanceof VideoError && error.retryable)) throw error;
      fault = error;
      return { stored: false };
    });
    const found = stored ? record : await this.read(key, schema, purchase, options);
    if (found === undefined) throw fault ?? this.#unreadable(key);
    const won = found.token === record.token;
    if (won) this.#onRecordWritten(found);
    return { won, record: found };
  }

  #unreadable(key: string): VideoError {
    return new VideoError(FailureType.StoreUnavailable, `${key} in ${this.store.name} exists and cannot be read`, {
      retryable: true,
      nextStep: 'Wait; the step is tried again. If this persists, the store does not return what it holds.',
    });
  }

  /** The error for a record that must not be trusted; see {@link recordDamaged}. */
  damaged(key: string, fault: string): VideoError {
    return recordDamaged(this.store, key, fault);
  }
}

/**
 * Reads one record.
 * @param options.scope - The account that the record must belong to; left out: any.
 * @param options.purchase - The purchase that the record's own key names; left out where it names none.
 * @returns `undefined` when nothing is there.
 * @throws VideoError `RecordDamaged` when it cannot be understood, or belongs to another account or purchase.
 */
export async function readLedgerRecord<T extends Stamp>(
  store: AssetStore,
  key: string,
  schema: z.ZodType<T>,
  {
    scope,
    purchase,
    ...options
  }: StoreOptions & { readonly scope?: Scope | undefined; readonly purchase?: Purchase | undefined },
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
    throw recordDamaged(store, key, `belongs to another provider or account (${record.provider}, ${record.account})`);
  }
  if (purchase !== undefined && (record.purchase_key !== purchase.key || record.n !== purchase.n)) {
    throw recordDamaged(store, key, `belongs to another purchase (${record.purchase_key}/${record.n})`);
  }
  return record;
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
        `Restore ${key} from a backup; move it away only when the provider's task list shows what became of the ` +
          'purchase. Nothing was bought and nothing was overwritten.',
    },
  );
}

/** For `catch`: what is damaged counts as absent; every other fault is thrown. */
export function ignoreDamage(error: unknown): undefined {
  if (!(error instanceof VideoError && error.type === FailureType.RecordDamaged)) throw error;
}
