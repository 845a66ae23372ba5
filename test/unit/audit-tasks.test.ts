import { Readable } from 'node:stream';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { expect, test } from 'vitest';
import { type Audit, createAuditTasks } from '../../activities/audit-tasks.js';
import type { ActivityDeps } from '../../activities/deps.js';
import { DEFAULT_TIMES } from '../../src/config/times.js';
import type { AuditedTask, AuditInput } from '../../src/contract/audit.js';
import { FailureType } from '../../src/contract/failure-type.js';
import { DAY_MS } from '../../src/contract/utc.js';
import { VideoError } from '../../src/contract/video-error.js';
import type { TaskSnapshot } from '../../src/dashscope/wire.js';
import { LedgerPaths } from '../../src/ledger/paths.js';
import type { ClaimedTask, NotCreated } from '../../src/ledger/records.js';
import { intentFields, START, setUp } from './ledger-setup.js';

const keyOf = (letters: string): string => letters.repeat(32);
/** The provider's side of a finished task that fits every purchase of this file. */
const OURS: Partial<TaskSnapshot> = {
  status: 'SUCCEEDED',
  origPrompt: 'p',
  usage: { duration: 4, sr: 720, audio: false },
};

/** A ledger, the account's tasks, and audits of them; every purchase and task is of one minute. */
function world() {
  const { ledger, store, clock, provider, rows, snapshots, deps } = setUp();
  const paths = LedgerPaths.of(ledger.scope);
  const announce = async (letters: string) => {
    const purchase = { key: keyOf(letters), n: 1 };
    await ledger.openIntent(purchase, intentFields());
    return purchase;
  };
  const notCreated = async (letters: string, reason: NotCreated['reason'] = 'none_found') => {
    const purchase = await announce(letters);
    await ledger.decideNotCreated(purchase, { reason, failure: null });
    return purchase;
  };
  const task = (taskId: string, snapshot: Partial<TaskSnapshot> = OURS) => {
    rows.push({ taskId, status: snapshot.status ?? 'UNKNOWN', createdAtMs: START + 1_000 });
    snapshots.set(taskId, snapshot);
  };
  /** A submit that died between its claim and `tasks/<id>.json`. */
  const dieAfterClaim = async (letters: string, taskId: string) => {
    const purchase = await announce(letters);
    const claimed: ClaimedTask = { task_id: taskId, request_id: 'r', key_fingerprint: 'f1', found_by: 'submit' };
    const stamp = { v: 1, provider: 'emulator', account: 'default', token: taskId, written_at_ms: START };
    const record = { kind: 'claim', ...stamp, purchase_key: purchase.key, n: 1, decision: claimed };
    await store.put(paths.claim(purchase), Readable.from([Buffer.from(JSON.stringify(record))]), {});
    return purchase;
  };
  let heartbeatDetails: unknown;
  /** What an attempt leaves that was killed before its last heartbeat arrived. */
  const loseHeartbeat = () => {
    heartbeatDetails = undefined;
  };
  const audit = async (change: object = {}, input: AuditInput = {}) => {
    const auditDeps = {
      ledger,
      store,
      clock,
      dashscope: provider,
      times: DEFAULT_TIMES,
      isRunOpen: async () => false,
      knowsAttributes: async () => true,
      metrics: { audited: () => undefined },
      webhook: undefined,
      ...change,
    } as unknown as ActivityDeps;
    const environment = new MockActivityEnvironment(
      { heartbeatDetails },
      { logger: new DefaultLogger('ERROR', () => undefined) },
    );
    environment.on('heartbeat', (details: unknown) => {
      heartbeatDetails = details;
    });
    clock.advance(600_000 - (clock.now() - START));
    const step = createAuditTasks(auditDeps, deps.archiveCandidate);
    const found = (await environment.run(step, input)) as Audit;
    const stored = await store.get(found.report.tasks_key);
    const lines = Buffer.concat(await stored.toArray())
      .toString()
      .split('\n');
    const explained = lines.filter((line) => line !== '').map((line) => JSON.parse(line) as AuditedTask);
    const verdicts = Object.fromEntries(explained.map(({ task_id, verdict }) => [task_id, verdict]));
    return { ...found, explained, verdicts };
  };
  return {
    ledger,
    store,
    provider,
    rows,
    snapshots,
    deps,
    paths,
    announce,
    notCreated,
    task,
    dieAfterClaim,
    loseHeartbeat,
    audit,
  };
}

test('a task that an open purchase names, without a task record, is that purchase’s alone', async () => {
  const { ledger, notCreated, task, dieAfterClaim, audit } = world();
  const other = await notCreated('ab');
  const owner = await dieAfterClaim('cd', 't1');
  task('t1');
  const { verdicts, explained, orphans } = await audit();
  expect(verdicts).toEqual({ t1: 'orphan' });
  expect(explained[0]?.purchase).toBe(`${owner.key}/1`);
  expect(orphans.map(({ purchase }) => purchase)).toEqual([owner]);
  expect((await ledger.findPurchase(other))?.extraTasks).toEqual([]);
});

test('a task that an open purchase names is no other software’s, and failed it was free', async () => {
  const { task, dieAfterClaim, audit } = world();
  await dieAfterClaim('cd', 't1');
  task('t1', { status: 'FAILED' });
  expect((await audit()).verdicts).toEqual({ t1: 'free' });
});

test('next to a purchase that cannot be read nothing is claimed, and nothing is called of other software', async () => {
  const { ledger, store, paths, announce, notCreated, task, audit } = world();
  const other = await notCreated('ab');
  const damaged = await announce('cd');
  await store.put(paths.claim(damaged), Readable.from([Buffer.from('{')]), {});
  task('t1');
  task('t2', { ...OURS, origPrompt: 'something else' });
  expect((await audit()).verdicts).toEqual({ t1: 'unclear', t2: 'unclear' });
  expect((await ledger.findPurchase(other))?.extraTasks).toEqual([]);
});

test('the one task that equals a purchase taken for not created is claimed, and handed to a salvage', async () => {
  const { ledger, notCreated, task, audit } = world();
  const purchase = await notCreated('ab');
  task('t1');
  const { verdicts, orphans } = await audit();
  expect(verdicts).toEqual({ t1: 'orphan' });
  expect(orphans).toMatchObject([{ purchase, extraTask: { taskId: 't1', claim: 'extra' } }]);
  expect(await ledger.findTask('t1')).toMatchObject({ purchase_key: purchase.key });
});

test.each<[string, number, NotCreated['reason'][]]>([
  ['two equal tasks of one purchase', 2, ['none_found']],
  ['one task that equals two purchases', 1, ['none_found', 'none_found']],
  ['a candidate that a person refused', 1, ['person']],
  ['a task that equals a purchase and one of which a person decided', 1, ['none_found', 'person']],
])('nothing is claimed without proof: %s', async (_what, tasks, reasons) => {
  const { ledger, notCreated, task, audit } = world();
  for (const [n, reason] of reasons.entries()) await notCreated(`a${n}`, reason);
  for (let n = 1; n <= tasks; n += 1) task(`t${n}`);
  const { report, orphans } = await audit();
  expect(report.counts).toMatchObject({ unclear: tasks, orphan: 0 });
  expect(orphans).toEqual([]);
  expect(await ledger.findTask('t1')).toBeUndefined();
});

test('next to a task that is not over, or is older than the audit looks, an equal one is not claimed', async () => {
  for (const status of ['RUNNING', 'SUCCEEDED'] as const) {
    const { ledger, rows, notCreated, task, audit } = world();
    await notCreated('ab');
    task('t1');
    task('t2', { ...OURS, status });
    if (status === 'SUCCEEDED') Object.assign(rows[1] ?? {}, { createdAtMs: START - 1_000 });
    const { verdicts } = await audit({}, { since_seconds: 600 });
    expect(verdicts).toMatchObject({ t1: 'unclear' });
    expect(await ledger.findTask('t1')).toBeUndefined();
  }
});

test('a refusal by the provider proves that nothing was created', async () => {
  const { notCreated, task, audit } = world();
  await notCreated('ab', 'rejected');
  task('t1');
  expect((await audit()).verdicts).toEqual({ t1: 'other_software' });
});

test('a purchase that got its task while the audit looked gets no other one', async () => {
  const { ledger, notCreated, task, deps, audit } = world();
  const purchase = await notCreated('ab');
  task('t1');
  const { archiveCandidate } = deps;
  deps.archiveCandidate = async (seen) => {
    const late = { task_id: 'late', request_id: 'r', key_fingerprint: 'f1', found_by: 'submit' } as const;
    await ledger.claim(purchase, late);
    return archiveCandidate(seen);
  };
  expect((await audit()).verdicts).toEqual({ t1: 'unclear' });
  expect(await ledger.findTask('t1')).toBeUndefined();
});

test('a query that fails makes its task unclear, and hides no other one', async () => {
  const { provider, task, dieAfterClaim, audit } = world();
  await dieAfterClaim('ab', 't1');
  await dieAfterClaim('cd', 't2');
  for (const taskId of ['t1', 't2']) task(taskId);
  const { queryTask } = provider;
  provider.queryTask = async (taskId) => {
    if (taskId === 't1') throw new VideoError(FailureType.ProviderUnavailable, 'the query failed', { retryable: true });
    return queryTask(taskId);
  };
  const { verdicts, explained } = await audit();
  expect(verdicts).toEqual({ t1: 'unclear', t2: 'orphan' });
  expect(explained[0]?.why).toBe('the query failed');
});

test('what an attempt rescued before it failed is in the report of the next one', async () => {
  const { notCreated, task, audit } = world();
  await notCreated('ab');
  task('t1');
  const metrics = {
    audited: () => {
      throw new VideoError(FailureType.StoreUnavailable, 'the report is lost', { retryable: true });
    },
  };
  await expect(audit({ metrics })).rejects.toThrow('the report is lost');
  const { report, verdicts } = await audit({ isRunOpen: async () => true });
  expect(verdicts).toEqual({ t1: 'orphan' });
  expect(report).toMatchObject({ counts: { orphan: 1 }, rescued: ['t1'] });
});

test('a video that was archived and is not in the store is reported, and never fetched by the audit', async () => {
  const { ledger, store, announce, task, audit } = world();
  const purchase = await announce('ab');
  const ref = { purchase, taskId: 't1', requestId: 'r', keyFingerprint: 'f1' };
  await ledger.ensureClaim(ref);
  const result = { video_url: 'v', task_id: 't1', bytes: 1, sha256: 'x' } as never;
  await ledger.finish(ref, { how: 'archived', result, cacheKey: null });
  task('t1');
  const before = [...store.objects.keys()];
  const { explained, orphans, report } = await audit();
  expect(explained).toMatchObject([{ task_id: 't1', verdict: 'orphan' }]);
  expect(explained[0]?.why).toContain('0 h old, and its video is not in the store: deleted or lost');
  expect({ orphans, rescued: report.rescued }).toEqual({ orphans: [], rescued: [] });
  expect([...store.objects.keys()]).toEqual([...before, report.tasks_key]);
});

test('next to a row of the list that cannot be read nothing is claimed: it may be the same purchase’s', async () => {
  const { ledger, provider, notCreated, task, audit } = world();
  await notCreated('ab');
  task('t1');
  provider.unreadable = 1;
  const { verdicts, report } = await audit();
  expect(verdicts).toEqual({ t1: 'unclear' });
  expect(report).toMatchObject({ unreadable: 1, rescued: [] });
  expect(await ledger.findTask('t1')).toBeUndefined();
});

test('a task that the provider deleted between its list and the query is what the list shows, without seconds to compare', async () => {
  const { ledger, store, rows, announce, task, audit } = world();
  const ended = async (letters: string, taskId: string, status: string) => {
    const purchase = await announce(letters);
    const ref = { purchase, taskId, requestId: 'r', keyFingerprint: 'f1' };
    await ledger.ensureClaim(ref);
    task(taskId, { status: 'UNKNOWN' });
    Object.assign(rows.at(-1) ?? {}, { status });
    return ref;
  };
  const error = new VideoError(FailureType.TaskFailed, 'it failed');
  await ledger.finish(await ended('ab', 'failed', 'FAILED'), { how: 'failed', error });
  await ledger.finish(await ended('cd', 'refused', 'SUCCEEDED'), { how: 'failed', error });
  await ledger.finish(await ended('ef', 'expired', 'SUCCEEDED'), { how: 'expired' });
  const result = { video_url: 'v', task_id: 'kept', bytes: 1, sha256: 'x' } as never;
  await ledger.finish(await ended('12', 'kept', 'SUCCEEDED'), { how: 'archived', result, cacheKey: null });
  await store.put('videos/kept.mp4', Readable.from([Buffer.from('v')]), {});
  await ended('34', 'watched', 'RUNNING');
  const { verdicts, explained, report } = await audit({ isRunOpen: async () => true });
  expect(verdicts).toEqual({
    failed: 'free',
    refused: 'given_up',
    expired: 'orphan',
    kept: 'archived',
    watched: 'open',
  });
  expect(explained.find(({ task_id }) => task_id === 'expired')?.why).toContain('the provider has deleted it');
  expect(report.seconds).toEqual({ provider: 0, ledger: 0 });
});

test('an audit of the whole day explains everything that the provider lists, also what is just older than 24 hours by our clock', async () => {
  const { rows, task, audit } = world();
  task('edge');
  task('older');
  const nowMs = START + 600_000;
  Object.assign(rows[0] ?? {}, { createdAtMs: nowMs - DAY_MS - 2_000 });
  Object.assign(rows[1] ?? {}, { createdAtMs: nowMs - 60 * 60_000 });
  expect((await audit()).verdicts).toEqual({ edge: 'other_software', older: 'other_software' });
  expect((await audit({}, { since_seconds: 60 })).verdicts).toEqual({});
});

test('an orphan is reported, and rescued once, by the attempt after one that was killed before it said so', async () => {
  const { ledger, notCreated, task, loseHeartbeat, audit } = world();
  const purchase = await notCreated('ab');
  task('t1');
  const metrics = {
    audited: () => {
      throw new VideoError(FailureType.StoreUnavailable, 'the report is lost', { retryable: true });
    },
  };
  await expect(audit({ metrics })).rejects.toThrow('the report is lost');
  loseHeartbeat();
  const { orphans, verdicts } = await audit();
  expect(verdicts).toEqual({ t1: 'orphan' });
  expect(orphans).toMatchObject([{ purchase, extraTask: { taskId: 't1' } }]);
  expect((await ledger.findPurchase(purchase))?.extraTasks).toHaveLength(1);
});

test.each([
  ['it is shorter than its count', { tasks: [], unreadable: 0, total: 3, pageNo: 1, totalPages: 1 }],
  ['its later pages are empty', { tasks: [], unreadable: 0, total: 300, pageNo: 1, totalPages: 3 }],
])('a list that is cut explains nothing, and nothing is claimed by it: %s', async (_what, page) => {
  const { ledger, provider, notCreated, task, audit } = world();
  await notCreated('ab');
  task('t1');
  provider.listTasks = async () => page as never;
  await expect(audit()).rejects.toMatchObject({ type: FailureType.ProviderUnavailable, retryable: true });
  expect(await ledger.findTask('t1')).toBeUndefined();
});
