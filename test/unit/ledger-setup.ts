import type { Clock } from '../../src/async/clock.js';
import type { SubmitOutcome } from '../../src/dashscope/submit-outcome.js';
import type { ListedTask, TaskSnapshot } from '../../src/dashscope/wire.js';
import type { PurchaseOrder } from '../../src/ledger/buy.js';
import { type IntentFields, Ledger } from '../../src/ledger/ledger.js';
import { DEFAULT_LEDGER_TIMES } from '../../src/ledger/times.js';
import { MemoryStore } from '../property/memory-store.js';

export const KEY = 'ab'.repeat(32);
export const START = Date.UTC(2026, 0, 1, 12);
export const ROOT = 'ledger/emulator/default';

/** A clock that jumps over every sleep; only good where one thing happens at a time. */
function jumpingClock() {
  let nowMs = START;
  const clock: Clock & { advance(ms: number): void } = {
    now: () => nowMs,
    monotonicMs: () => nowMs,
    sleep: async (ms, signal) => {
      // A bound that is not reached must not move time: give the work a turn first.
      await new Promise((done) => setImmediate(done));
      if (signal?.aborted) throw signal.reason;
      nowMs += ms;
    },
    advance: (ms) => {
      nowMs += ms;
    },
  };
  return clock;
}

export function setUp(
  outcome: SubmitOutcome | (() => SubmitOutcome) = { kind: 'accepted', taskId: 't1', requestId: 'r1' },
) {
  const clock = jumpingClock();
  const store = new MemoryStore(clock.now);
  const ledger = new Ledger({ store, scope: { provider: 'emulator', account: 'default' }, now: clock.now });
  const posts: number[] = [];
  const rows: ListedTask[] = [];
  const snapshots = new Map<string, Partial<TaskSnapshot>>();
  const archived: string[] = [];
  const provider = {
    listings: 0,
    unreadable: 0,
    fingerprint: 'f1',
    /** Answers one listing; replaced by tests. */
    list: (): readonly ListedTask[] => rows,
    createTask: async (body: { parameters: { seed: number } }) => {
      posts.push(body.parameters.seed);
      return typeof outcome === 'function' ? outcome() : outcome;
    },
    keyFingerprint: async () => provider.fingerprint,
    listTasks: async () => {
      provider.listings += 1;
      const tasks = provider.list();
      return { tasks, unreadable: provider.unreadable, total: tasks.length, pageNo: 1, totalPages: 1 };
    },
    queryTask: async (taskId: string): Promise<TaskSnapshot> => ({
      taskId,
      status: 'UNKNOWN',
      requestId: 'q',
      ...snapshots.get(taskId),
    }),
  };
  /** What every candidate's file shows. */
  const shape = { width: 1280, height: 720, durationSeconds: 4, hasAudio: false };
  const archiveCandidate = async ({ taskId }: TaskSnapshot) => {
    archived.push(taskId);
    return { key: `candidates/${taskId}.mp4`, ...shape };
  };
  const deps = {
    ledger,
    clock,
    times: DEFAULT_LEDGER_TIMES,
    provider: provider as never,
    archiveCandidate,
    random: () => 1,
  };
  return { clock, store, ledger, posts, deps, provider, rows, snapshots, archived, shape };
}

export function order(change: Partial<PurchaseOrder> = {}): PurchaseOrder {
  return {
    purchaseKey: KEY,
    cacheKey: KEY,
    cache: 'use',
    buyer: { workflowId: 'w1', firstRunId: 'r1' },
    firstStartedAtMs: START,
    attempt: 1,
    expects: { prompt: 'p', duration: 4, resolution: '720P', audio: false, image: { width: 16, height: 9 } },
    seed: null,
    tenant: null,
    memo: {},
    body: (seed) => ({ parameters: { seed } }) as never,
    ossResolve: false,
    ...change,
  };
}

/** What another run announces, as `Ledger.openIntent` takes it. */
export function intentFields(): IntentFields {
  const { cacheKey: cache_key, attempt, expects, tenant, memo } = order();
  return {
    cache_key,
    workflow_id: 'w',
    first_run_id: 'r',
    attempt,
    expects,
    seed: 1,
    tenant,
    key_fingerprint: null,
    memo,
  };
}
