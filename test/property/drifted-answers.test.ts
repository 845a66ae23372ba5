import { expect, test } from 'vitest';
import { VideoError } from '../../src/contract/video-error.js';
import type { DashScopeClient } from '../../src/dashscope/client.js';
import type { TaskPage, TaskSnapshot } from '../../src/dashscope/wire.js';
import { runDrifted } from './drifted-world.js';

/** Some 30 ms of one core each; a machine that is shared takes several times as long. */
const TIMEOUT_MS = 180_000;
/** The long run has thousands more. */
const SEEDS = 60;
/** Within so many a broken reader is noticed; most of them in the first few. */
const MUTANT_SEEDS = 600;

test(
  'no change of any documented answer buys twice, closes what the provider has, books wrongly or throws what has no type',
  async () => {
    let archived = 0;
    const drifted = new Set<string>();
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      const world = await runDrifted(seed);
      if (world.end === 'archived') archived += 1;
      for (const operation of world.drifted.keys()) drifted.add(operation);
    }
    // What the provider says in the end as documented is archived; the rest is left to a person, or was free.
    expect(archived).toBeGreaterThan(0.9 * SEEDS);
    expect([...drifted].sort()).toEqual(['cancel', 'download', 'list', 'policy', 'query', 'submit']);
  },
  TIMEOUT_MS,
);

type Mutant = (client: DashScopeClient) => Partial<DashScopeClient>;

/** Readers of earlier versions, and others that are too strict or too generous: what the property must notice. */
const MUTANTS: Readonly<Record<string, Mutant>> = {
  'a submit whose answer has no id counts as not sent': (client) => ({
    createTask: async (...call) => {
      const outcome = await client.createTask(...call);
      return outcome.kind === 'unknown'
        ? { kind: 'not_sent', error: outcome.error.with({ retryable: true }) }
        : outcome;
    },
  }),
  'usage that is absent is the cheapest': (client) => ({
    queryTask: async (...call): Promise<TaskSnapshot> => {
      const seen = await client.queryTask(...call);
      return { ...seen, usage: { duration: 0, sr: 720, audio: false, ...seen.usage } };
    },
  }),
  'an answer that cannot be read is a failure': (client) => ({
    queryTask: async (taskId, options): Promise<TaskSnapshot> => {
      const failed = { taskId, status: 'FAILED', requestId: undefined } as const;
      return client.queryTask(taskId, options).catch(() => failed);
    },
  }),
  'an odd status is a failure': (client) => ({
    queryTask: async (...call): Promise<TaskSnapshot> => {
      const seen = await client.queryTask(...call);
      return seen.hasOddStatus === true ? { ...seen, status: 'FAILED' } : seen;
    },
  }),
  'a list that cannot be read is empty': (client) => ({
    listTasks: async (query): Promise<TaskPage> => {
      const empty = { tasks: [], unreadable: 0, total: 0, pageNo: 1, totalPages: 1 };
      return client.listTasks(query).catch(() => empty);
    },
  }),
  'rows that cannot be read are no rows': (client) => ({
    listTasks: async (query): Promise<TaskPage> => {
      const page = await client.listTasks(query);
      return { ...page, unreadable: 0, total: page.tasks.length };
    },
  }),
  'a cancel counts without regard to its answer': (client) => ({
    cancelTask: (...call) => client.cancelTask(...call).catch(() => true),
  }),
  'a fault has no type': (client) => ({
    queryTask: (...call) =>
      client.queryTask(...call).catch((error: unknown) => {
        throw error instanceof VideoError ? new TypeError(error.message) : error;
      }),
  }),
};

test.each(Object.entries(MUTANTS))(
  'the same answers notice that %s',
  async (_name, client) => {
    const worlds = async () => {
      for (let seed = 1; seed <= MUTANT_SEEDS; seed += 1) await runDrifted(seed, { client });
    };
    await expect(worlds()).rejects.toThrow(/^seed \d+/);
  },
  TIMEOUT_MS,
);
