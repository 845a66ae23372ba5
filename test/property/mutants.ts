import type { Purchase } from '../../src/contract/purchase.js';
import type { CreateTaskOptions } from '../../src/dashscope/client.js';
import type { CreateTaskRequest } from '../../src/dashscope/request-body.js';
import { awaitPurchase } from '../../src/ledger/follow.js';
import { type IntentFields, Ledger } from '../../src/ledger/ledger.js';
import type { PutAnswer } from '../../src/ledger/ledger-records.js';
import type { OpenPurchases } from '../../src/ledger/open-purchases.js';
import { LedgerPaths } from '../../src/ledger/paths.js';
import type { IntentRecord, TaskRecord } from '../../src/ledger/records.js';
import type { AssetStore, ByteStream, PutOptions } from '../../src/storage/asset-store.js';
import type { SimClient } from './sim-provider.js';
import { type Pieces, SOUND } from './world.js';

/** Puts without the condition where `picks` says so. */
function overwriting(picks: (key: string) => boolean): (store: AssetStore) => AssetStore {
  return (store) =>
    alike(store, {
      put: (key: string, body: ByteStream, options: PutOptions = {}) =>
        store.put(key, body, picks(key) ? { ...options, ifAbsent: false } : options),
    });
}

/** `base` with some of its methods replaced; private fields keep working. */
export function alike<T extends object>(base: T, change: Partial<T>): T {
  return new Proxy(base, {
    get: (target, name) => {
      const value: unknown = Reflect.get(name in change ? change : target, name);
      return typeof value === 'function' ? value.bind(name in change ? change : target) : value;
    },
  });
}

class WithoutIntent extends Ledger {
  override async openIntent(_purchase: Purchase, fields: IntentFields): Promise<PutAnswer<IntentRecord>> {
    const record = { ...fields, written_at_ms: 0 } as IntentRecord;
    return { won: true, record };
  }
}

class WithoutOthers extends Ledger {
  override async listOpenBetween(): Promise<OpenPurchases> {
    return { open: [], damaged: [], unmarked: [] };
  }
}

class WithTaskRecordsFirst extends Ledger {
  override async ensureClaim(...[task, options]: Parameters<Ledger['ensureClaim']>): Promise<'claimed' | 'extra'> {
    const { purchase, taskId, requestId, keyFingerprint } = task;
    const claimed = {
      task_id: taskId,
      request_id: requestId,
      key_fingerprint: keyFingerprint,
      found_by: 'submit' as const,
    };
    const { kind } = await this.claim(purchase, claimed, options);
    return kind === 'taken' ? super.ensureClaim(task, options) : kind;
  }
}

/** A store that answers as if it had taken what `picks` says. */
function losing(picks: (key: string) => boolean): (store: AssetStore) => AssetStore {
  return (store) =>
    alike(store, {
      put: (key: string, body: ByteStream, options?: PutOptions) =>
        picks(key) ? Promise.resolve({ stored: true }) : store.put(key, body, options),
    });
}

class WithoutTaskRecords extends Ledger {
  override async findTask(): Promise<TaskRecord | undefined> {
    return undefined;
  }
}

class WithoutBills extends Ledger {
  override finish(...[task, end, options]: Parameters<Ledger['finish']>): ReturnType<Ledger['finish']> {
    const free = end.how === 'failed' ? { ...end, error: end.error.with({ billed: false }) } : end;
    return super.finish(task, free, options);
  }
}

class WithoutNames extends Ledger {
  override markSettled(...[found, options]: Parameters<Ledger['markSettled']>): Promise<void> {
    const digests = found.digests?.map((digest) => ({ ...digest, keys: [] })) ?? [];
    return super.markSettled({ ...found, digests }, options);
  }
}

/** Each rule of buying once, taken out: what a property must notice. */
export const MUTANTS: Readonly<Record<string, Partial<Pieces>>> = {
  'a submit that announces nothing': { ledger: (options) => new WithoutIntent(options) },
  'a submit that is sent again when its outcome is unknown': {
    client: (client) =>
      alike<SimClient>(client, {
        createTask: async (body: CreateTaskRequest, options?: CreateTaskOptions) => {
          const outcome = await client.createTask(body, options);
          return outcome.kind === 'unknown' ? client.createTask(body) : outcome;
        },
      }),
  },
  'a submit that does not look at its time once the connection is open': {
    client: (client) =>
      alike<SimClient>(client, {
        createTask: (body: CreateTaskRequest) => client.createTask(body, { mayStillSend: () => true }),
      }),
  },
  'a claim that replaces a claim': { store: overwriting((key) => key.endsWith('/claim.json')) },
  'an intent that replaces an intent': { store: overwriting((key) => key.endsWith('/intent.json')) },
  'a follower that does not wait': {
    awaitPurchase: async (deps, purchase, options) => {
      const view = await deps.ledger.findPurchase(purchase);
      if (view?.state.kind !== 'unclaimed') return awaitPurchase(deps, purchase, options);
      await deps.ledger.decideNotCreated(purchase, { reason: 'none_found', failure: null });
      return { kind: 'buy' };
    },
  },
  'a reconcile that does not settle': { times: { ...SOUND.times, submitBoundMs: 0 } },
  'a reconcile that believes the first empty list': {
    times: { ...SOUND.times, submitBoundMs: 0, emptyListings: 1, emptySpanMs: 0 },
  },
  'a reconcile that knows no skew of clocks': { times: { ...SOUND.times, clockSkewMs: 0 } },
  'a reconcile that forgets other lost submits': { ledger: (options) => new WithoutOthers(options) },
  'a paid result that is refused and then bought again': { ledger: (options) => new WithoutBills(options) },
  'a task that may serve two purchases': {
    ledger: (options) => new WithoutTaskRecords(options),
    store: overwriting((key) => key.includes('/tasks/')),
  },
  'a purchase that is marked as over when it is announced': {
    store: (store) =>
      alike<AssetStore>(store, {
        put: async (key: string, body: ByteStream, options?: PutOptions) => {
          const outcome = await store.put(key, body, options);
          if (LedgerPaths.parseAnnouncement(key)?.isMarker === false) await store.put(LedgerPaths.marker(key), body);
          return outcome;
        },
      }),
  },
  'a task that was bought in addition and cannot be found by time': { store: losing((key) => key.includes('~late~')) },
  'a submit that records its task before its claim': {
    ledger: (options) => new WithTaskRecordsFirst(options),
    store: losing((key) => key.includes('/found/')),
  },
  'a found task that its purchase does not name': { store: losing((key) => key.includes('/found/')) },
  'an hour that is digested before it is over': {
    rules: { ...SOUND.rules, digestAfterMs: -3_600_000 },
  },
  'a digest that leaves out what is open': {
    ledger: (options) => new WithoutNames(options),
  },
  'a purchase that cannot be found by time': { store: losing((key) => key.includes('/recent/')) },
};
