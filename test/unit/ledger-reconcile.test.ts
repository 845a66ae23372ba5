import { expect, test } from 'vitest';
import { FailureType } from '../../src/contract/failure-type.js';
import { VideoError } from '../../src/contract/video-error.js';
import type { TaskSnapshot } from '../../src/dashscope/wire.js';
import { listAnswer } from '../../src/dashscope/wire.js';
import { buyOnce } from '../../src/ledger/buy.js';
import { awaitPurchase } from '../../src/ledger/follow.js';
import { Ledger } from '../../src/ledger/ledger.js';
import { type ReconcileProgress, reconcileSubmit } from '../../src/ledger/reconcile.js';
import { resolvePurchase } from '../../src/ledger/resolve.js';
import { listAllTasks } from '../../src/ledger/task-list.js';
import { DEFAULT_LEDGER_TIMES } from '../../src/ledger/times.js';
import { candidateKey } from '../../src/storage/keys.js';
import { intentFields, KEY, order, START, setUp } from './ledger-setup.js';

const PURCHASE = { key: KEY, n: 1 };
const SECOND = 'cd'.repeat(32);
const LOST = {
  kind: 'unknown',
  error: new VideoError(FailureType.SubmitOutcomeUnknown, 'the reply was lost'),
} as const;

/** The provider's side of a finished task that fits the order of the set-up. */
const OURS: Partial<TaskSnapshot> = {
  status: 'SUCCEEDED',
  origPrompt: 'p',
  usage: { duration: 4, sr: 720, audio: false },
};

async function lost() {
  const world = setUp(LOST);
  await buyOnce(world.deps, order());
  const task = (taskId: string, snapshot: Partial<TaskSnapshot> = OURS, createdAtMs = START + 1_000) => {
    world.rows.push({ taskId, status: 'RUNNING', createdAtMs });
    world.snapshots.set(taskId, snapshot);
  };
  return { ...world, task };
}

test('a submit that never arrived is decided after the bound and three complete listings over a minute', async () => {
  const { deps, clock, provider, ledger } = await lost();
  expect(await reconcileSubmit(deps, PURCHASE)).toEqual({ kind: 'buy' });
  expect(provider.listings).toBeGreaterThanOrEqual(3);
  expect(clock.now() - START).toBeGreaterThanOrEqual(120_000);
  expect((await ledger.findPurchase(PURCHASE))?.state).toMatchObject({ notCreated: { reason: 'none_found' } });
  expect(await reconcileSubmit(deps, PURCHASE)).toEqual({ kind: 'buy' });
});

test('a reconciliation that is begun again goes on from what the one before had waited for, and from nothing more', async () => {
  // An attempt that dies after so many waits is followed by one that knows the last reported progress.
  const attempt = async (world: Awaited<ReturnType<typeof lost>>, waits: number, waited?: ReconcileProgress) => {
    const dead = new AbortController();
    let reported: ReconcileProgress | undefined;
    let left = waits;
    const startedMs = world.clock.now();
    const ended = await reconcileSubmit(world.deps, PURCHASE, {
      progress: waited,
      signal: dead.signal,
      onWait: (state) => {
        reported = JSON.parse(JSON.stringify(state.progress)) as ReconcileProgress;
        left -= 1;
        if (left < 0) dead.abort(new Error('killed'));
      },
    }).catch((error: Error) => error.message);
    return { ended, reported, tookMs: world.clock.now() - startedMs };
  };
  const world = await lost();
  const whole = await attempt(await lost(), 1_000);
  const first = await attempt(world, 20);
  expect(first).toMatchObject({ ended: 'killed', tookMs: 40_000, reported: { empty: null } });
  world.clock.advance(3_600_000); // nobody watched meanwhile, so it does not count
  const second = await attempt(world, 11, first.reported);
  expect(second).toMatchObject({ ended: 'killed', reported: { empty: { listings: 2, spanMs: 20_000, key: 'f1' } } });
  const third = await attempt(world, 1_000, second.reported);
  expect(third.ended).toEqual({ kind: 'buy' });
  expect(first.tookMs + second.tookMs + third.tookMs).toBe(whole.tookMs);
  // The list of another key may be of another account.
  const other = await lost();
  Object.assign(other.provider, { fingerprint: 'f2' });
  const restarted = await attempt(other, 31, second.reported);
  expect(restarted.reported?.empty).toMatchObject({ listings: 2, key: 'f2' });
  expect(restarted.ended).toBe('killed');
});

test('a follower that is begun again adds to what the one before had seen', async () => {
  const { deps, clock } = await lost();
  const seen: number[] = [];
  const startedMs = clock.now();
  const options = { seenMs: 50_000, onRead: (ms: number) => void seen.push(ms) };
  expect(await awaitPurchase(deps, PURCHASE, options)).toEqual({ kind: 'reconcile', purchase: PURCHASE });
  expect(clock.now() - startedMs).toBe(10_000);
  expect(seen).toEqual([50_000, 52_000, 54_000, 56_000, 58_000]);
});

test('the one task that fits becomes ours, once it has succeeded and not before', async () => {
  const { deps, snapshots, provider, task } = await lost();
  task('t1', { status: 'RUNNING' });
  const waits: string[] = [];
  const outcome = await reconcileSubmit(deps, PURCHASE, {
    onWait: ({ waitingFor, candidates }) => {
      if (candidates.length === 0) return;
      waits.push(waitingFor);
      if (waits.length === 5) snapshots.set('t1', OURS);
    },
  });
  expect(outcome).toMatchObject({
    kind: 'task',
    task: { taskId: 't1', keyFingerprint: 'f1', seed: expect.any(Number) },
  });
  expect(waits).toHaveLength(5);
  expect(provider.listings).toBe(6);
});

test.each<[string, Partial<TaskSnapshot>, object]>([
  ['another prompt', { ...OURS, origPrompt: 'something else' }, {}],
  ['another length', { ...OURS, usage: { duration: 5, sr: 720, audio: false } }, { durationSeconds: 5 }],
  ['another tier', { ...OURS, usage: { duration: 4, sr: 1080, audio: false } }, { width: 1920, height: 1080 }],
  ['sound', { ...OURS, usage: { duration: 4, sr: 720, audio: true } }, { hasAudio: true }],
  ['a failure', { status: 'FAILED' }, {}],
  ['a cancel', { status: 'CANCELED' }, {}],
])('a task of other software with %s is not ours, so nothing was created', async (_what, snapshot, file) => {
  const { deps, task, shape } = await lost();
  Object.assign(shape, file);
  task('foreign', snapshot);
  expect(await reconcileSubmit(deps, PURCHASE)).toEqual({ kind: 'buy' });
});

test.each<[string, Partial<TaskSnapshot>]>([
  ['seconds that are nearly ours', { ...OURS, usage: { duration: 4.04, sr: 720, audio: false } }],
  ['no usage at all', { ...OURS, usage: undefined }],
  ['no tier and no sound', { ...OURS, usage: { duration: 4 } }],
])('our task is found with %s, because its file says the rest', async (_what, snapshot) => {
  const { deps, task, posts } = await lost();
  task('t1', snapshot);
  expect(await reconcileSubmit(deps, PURCHASE)).toMatchObject({ kind: 'task', task: { taskId: 't1' } });
  expect(posts).toHaveLength(1);
});

test.each<[string, Partial<TaskSnapshot>, object]>([
  ['seconds that only its file denies', { ...OURS, usage: { duration: 6, sr: 720, audio: false } }, {}],
  ['a shape that an orientation explains', OURS, { width: 720, height: 1280 }],
])('a task with %s is left to a person, never bought again', async (_what, snapshot, file) => {
  const { deps, task, shape, posts } = await lost();
  Object.assign(shape, file);
  task('t1', snapshot);
  expect(await reconcileSubmit(deps, PURCHASE)).toMatchObject({
    kind: 'undecided',
    evidence: { reason: 'not_comparable', candidates: [{ task_id: 't1' }] },
  });
  expect(posts).toHaveLength(1);
});

test('a task of other software whose status nobody documents does not delay the decision', async () => {
  const { deps, task, posts } = await lost();
  task('foreign', { ...OURS, status: 'PENDING', hasOddStatus: true });
  task('t1', OURS);
  expect(await reconcileSubmit(deps, PURCHASE)).toMatchObject({ kind: 'task', task: { taskId: 't1' } });
  expect(posts).toHaveLength(1);
});

test('an equal task of other software that is listed before ours is not taken for it', async () => {
  const { deps, provider, task, ledger, clock } = await lost();
  task('foreign');
  // The list lags: ours was created in the same second, and appears in it 100 s after the submit.
  const { listTasks } = provider;
  provider.listTasks = async () => {
    const page = await listTasks();
    if (clock.now() - START < 100_000)
      return { ...page, tasks: page.tasks.filter(({ taskId }) => taskId !== 't1'), total: 1 };
    return page;
  };
  task('t1');
  expect(await reconcileSubmit(deps, PURCHASE)).toMatchObject({
    kind: 'undecided',
    evidence: { reason: 'several_fit', candidates: [{ task_id: 'foreign' }, { task_id: 't1' }] },
  });
  expect((await ledger.findPurchase(PURCHASE))?.state.kind).toBe('unclaimed');
});

test('a listing with a row that cannot be read, and an answer without its prompt, are asked again before a person is', async () => {
  const { deps, provider, task } = await lost();
  const { listTasks, queryTask } = provider;
  provider.listTasks = async () => {
    const page = await listTasks();
    return provider.listings <= 2 ? { ...page, tasks: [], unreadable: 1 } : page;
  };
  let looks = 0;
  provider.queryTask = async (id) => {
    looks += 1;
    return { ...(await queryTask(id)), ...(looks <= 2 && { origPrompt: undefined }) };
  };
  task('t1');
  expect(await reconcileSubmit(deps, PURCHASE)).toMatchObject({ kind: 'task', task: { taskId: 't1' } });
  expect(looks).toBeGreaterThan(2);
});

test('a listed task whose model has another spelling, or none that can be read, may be ours', async () => {
  for (const modelName of ['WAN2.6_I2V_FLASH', undefined]) {
    const { deps, rows, task } = await lost();
    task('t1');
    Object.assign(rows[0] as object, { modelName });
    expect(await reconcileSubmit(deps, PURCHASE)).toMatchObject({ kind: 'task' });
  }
});

test('a row that cannot be read may be our task, so nothing counts as not created', async () => {
  const { deps, provider } = await lost();
  const { listTasks } = provider;
  provider.listTasks = async () => ({ ...(await listTasks()), unreadable: 1 });
  expect(await reconcileSubmit(deps, PURCHASE)).toMatchObject({
    kind: 'undecided',
    evidence: { reason: 'not_comparable', candidates: [] },
  });
});

test('a video of another shape is not ours, and one of the rounded shape is', async () => {
  const first = await lost();
  first.task('t1');
  Object.assign(first.shape, { width: 960, height: 960 });
  expect(await reconcileSubmit(first.deps, PURCHASE)).toEqual({ kind: 'buy' });
  const second = await lost();
  second.task('t1');
  Object.assign(second.shape, { width: 1278, height: 718 });
  expect(await reconcileSubmit(second.deps, PURCHASE)).toMatchObject({ kind: 'task' });
});

test.each<[string, Partial<TaskSnapshot>]>([
  ['absent', { ...OURS, origPrompt: undefined }],
  ['cut', { ...OURS, origPrompt: 'a long pro' }],
  ['extended', { ...OURS, origPrompt: 'a long prompt, cinematic' }],
  ['changed in case and punctuation', { ...OURS, origPrompt: 'A LONG PROMPT.' }],
])('a task whose prompt comes back %s is kept for a person, who decides', async (_what, snapshot) => {
  const { deps, task, archived, clock } = setUpLong();
  await buyOnce(deps, order({ expects: { ...order().expects, prompt: 'a long prompt' } }));
  task('t1', snapshot);
  const outcome = await reconcileSubmit(deps, PURCHASE);
  expect(outcome).toMatchObject({
    kind: 'undecided',
    evidence: {
      reason: 'not_comparable',
      purchase_key: KEY,
      n: 1,
      attempted_at_ms: START,
      candidates: [{ task_id: 't1', compared: { prompt: 'unsure' }, video_key: 'candidates/t1.mp4' }],
    },
  });
  expect(archived).toEqual(['t1']);
  expect(JSON.parse(JSON.stringify(outcome))).toEqual(outcome);
  clock.advance(25 * 3_600_000);
  expect(await resolvePurchase(deps, PURCHASE, { buy_again: true })).toEqual({ kind: 'buy' });
});

function setUpLong() {
  const world = setUp(LOST);
  const task = (taskId: string, snapshot: Partial<TaskSnapshot>) => {
    world.rows.push({ taskId, status: 'RUNNING', createdAtMs: START });
    world.snapshots.set(taskId, snapshot);
  };
  return { ...world, task };
}

test('several tasks that fit are all kept, and nobody guesses', async () => {
  const { deps, task, archived } = await lost();
  task('t1');
  task('t2');
  expect(await reconcileSubmit(deps, PURCHASE)).toMatchObject({
    kind: 'undecided',
    evidence: { reason: 'several_fit' },
  });
  expect(archived).toEqual(['t1', 't2']);
});

test('the same prompt with other images, both replies lost: no guess, and a person gives each its own', async () => {
  const { deps, task } = await lost();
  await buyOnce(deps, order({ purchaseKey: SECOND, cacheKey: SECOND }));
  task('t1');
  expect(await reconcileSubmit(deps, PURCHASE)).toMatchObject({
    kind: 'undecided',
    evidence: { reason: 'fits_another_purchase', candidates: [{ also_fits: [`${SECOND}/1`] }] },
  });
  expect(await resolvePurchase(deps, PURCHASE, { task_id: 't1' })).toMatchObject({
    kind: 'task',
    task: { taskId: 't1' },
  });
  // The other run's next look finds nothing left for it.
  expect(await reconcileSubmit(deps, { key: SECOND, n: 1 })).toEqual({ kind: 'buy' });
});

test('two lost replies with different prompts are each given their own task', async () => {
  const { deps, task } = await lost();
  const expects = { ...order().expects, prompt: 'quite another' };
  await buyOnce(deps, order({ purchaseKey: SECOND, cacheKey: SECOND, expects }));
  task('t1');
  task('t2', { ...OURS, origPrompt: 'quite another' });
  expect(await reconcileSubmit(deps, PURCHASE)).toMatchObject({ kind: 'task', task: { taskId: 't1' } });
  expect(await reconcileSubmit(deps, { key: SECOND, n: 1 })).toMatchObject({ kind: 'task', task: { taskId: 't2' } });
});

test('a task outside the attempt, and one that another purchase has claimed, are no candidates', async () => {
  const { deps, task, ledger } = await lost();
  task('early', OURS, START - DEFAULT_LEDGER_TIMES.clockSkewMs - 1);
  task('late', OURS, START + 25_000 + DEFAULT_LEDGER_TIMES.clockSkewMs + 1_000);
  task('claimed');
  const other = { key: SECOND, n: 1 };
  await ledger.openIntent(other, intentFields());
  await ledger.claim(other, {
    task_id: 'claimed',
    request_id: null,
    key_fingerprint: null,
    found_by: 'submit',
  });
  expect(await reconcileSubmit(deps, PURCHASE)).toEqual({ kind: 'buy' });
});

test('a task record without its claim is completed by any run that finds it', async () => {
  const { deps, task, store, ledger } = await lost();
  task('t1', { status: 'RUNNING' });
  await ledger.claim(PURCHASE, { task_id: 't1', request_id: 'r1', key_fingerprint: 'f1', found_by: 'submit' });
  const claim = [...store.objects.keys()].find((key) => key.endsWith('claim.json'))!;
  store.objects.delete(claim);
  expect(await reconcileSubmit(deps, PURCHASE)).toMatchObject({
    kind: 'task',
    task: { taskId: 't1', requestId: 'r1' },
  });
  expect(store.json(claim)).toMatchObject({ decision: { task_id: 't1', found_by: 'submit' } });
});

test('one refused listing or query of any kind changes nothing', async () => {
  for (const type of [
    FailureType.CredentialsRejected,
    FailureType.ProviderThrottled,
    FailureType.ProviderUnavailable,
  ]) {
    const { deps, task, provider } = await lost();
    task('t1');
    const { list } = provider;
    let faults = 1;
    provider.list = () => {
      if (faults-- > 0) throw new VideoError(type, 'refused');
      return list();
    };
    expect(await reconcileSubmit(deps, PURCHASE)).toMatchObject({ kind: 'task', task: { taskId: 't1' } });
  }
});

test('a list that stays refused leaves the decision to a person, and a found task is kept all the same', async () => {
  const { deps, provider, posts } = await lost();
  provider.list = () => {
    throw new VideoError(FailureType.CredentialsRejected, '403');
  };
  expect(await reconcileSubmit(deps, PURCHASE)).toMatchObject({
    kind: 'undecided',
    evidence: { reason: 'list_refused' },
  });
  expect(posts).toHaveLength(1);
});

test('an attempt older than 23 hours is not decided by the list, and what is found is kept', async () => {
  const { deps, task, clock, archived } = await lost();
  task('t1');
  clock.advance(DEFAULT_LEDGER_TIMES.decideWithinMs);
  expect(await reconcileSubmit(deps, PURCHASE)).toMatchObject({ kind: 'undecided', evidence: { reason: 'too_old' } });
  expect(archived).toEqual(['t1']);
});

test('a list that lags is listed again: a task that shows up in the third listing is found', async () => {
  const { deps, task, provider } = await lost();
  const list = provider.list;
  provider.list = () => {
    if (provider.listings === 3) task('t1');
    return list();
  };
  expect(await reconcileSubmit(deps, PURCHASE)).toMatchObject({ kind: 'task', task: { taskId: 't1' } });
});

test('a parked run goes on when anybody has decided', async () => {
  const { deps, clock, ledger } = await lost();
  const sleep = clock.sleep;
  let looks = 0;
  clock.sleep = async (ms, signal) => {
    looks += 1;
    if (looks === 40) await ledger.decideNotCreated(PURCHASE, { reason: 'person', failure: null });
    return sleep(ms, signal);
  };
  expect(await awaitPurchase(deps, PURCHASE, { parked: true })).toEqual({ kind: 'buy' });
  expect(looks).toBe(40);
});

test('a waiting step ends with the reason of its signal', async () => {
  const { deps } = await lost();
  const reason = new Error('paused');
  const signal = AbortSignal.abort(reason);
  await expect(reconcileSubmit(deps, PURCHASE, { signal })).rejects.toBe(reason);
  await expect(awaitPurchase(deps, PURCHASE, { signal })).rejects.toBe(reason);
});

test.each<[string, (world: Awaited<ReturnType<typeof lost>>) => Promise<void>, RegExp]>([
  ['does not exist for the account', async () => {}, /not known to this provider account/],
  [
    'belongs to another purchase',
    async ({ ledger, task }) => {
      task('t9');
      const other = { key: SECOND, n: 1 };
      await ledger.openIntent(other, intentFields());
      await ledger.claim(other, {
        task_id: 't9',
        request_id: null,
        key_fingerprint: null,
        found_by: 'submit',
      });
    },
    new RegExp(`another purchase \\(${SECOND}/1\\)`),
  ],
])("a person's task that %s is refused and nothing is written", async (_why, prepare, message) => {
  const world = await lost();
  await prepare(world);
  const before = world.store.objects.size;
  await expect(resolvePurchase(world.deps, PURCHASE, { task_id: 't9' })).rejects.toMatchObject({
    type: FailureType.InvalidRequest,
    message: expect.stringMatching(message),
  });
  expect(world.store.objects.size).toBe(before);
});

test('a task that the provider has forgotten is taken when its video was kept, and an earlier decision is kept', async () => {
  const { deps, store } = await lost();
  store.set(candidateKey('t1'), Buffer.from('video'));
  expect(await resolvePurchase(deps, PURCHASE, { task_id: 't1' })).toMatchObject({
    kind: 'task',
    task: { taskId: 't1' },
  });
  expect(await resolvePurchase(deps, PURCHASE, { buy_again: true })).toMatchObject({
    kind: 'task',
    task: { taskId: 't1' },
  });
});

test('all pages of the list are read, and a list that does not add up is refused', async () => {
  const { clock } = setUp();
  const tasks = Array.from({ length: 5 }, (_, index) => ({ taskId: `t${index}`, status: 'RUNNING' as const }));
  const paged = (total: number) => ({
    listTasks: async ({ pageNo }: { pageNo: number }) => ({
      tasks: tasks.slice((pageNo - 1) * 2, pageNo * 2),
      total,
      pageNo,
      unreadable: 0,
      totalPages: 3,
    }),
  });
  expect((await listAllTasks(paged(5), clock)).tasks).toHaveLength(5);
  await expect(listAllTasks(paged(6), clock)).rejects.toMatchObject({
    retryable: true,
    message: expect.stringContaining('5 of 6'),
  });
});

test('a list that counts nothing and numbers no page is read until a page without rows', async () => {
  const { clock } = setUp();
  const data = Array.from({ length: 450 }, (_, index) => ({ task_id: `t${index}`, status: 'RUNNING' }));
  const pages: number[] = [];
  const listTasks = async ({ pageNo, pageSize }: { readonly pageNo: number; readonly pageSize: number }) => {
    pages.push(pageNo);
    const { value } = listAnswer(pageNo)({ data: data.slice((pageNo - 1) * pageSize, pageNo * pageSize) });
    return value ?? expect.fail('no page');
  };
  expect((await listAllTasks({ listTasks }, clock)).tasks).toHaveLength(450);
  expect(pages).toEqual([1, 2, 3, 4, 5, 6]);
});

test("with a writer's clock three hours ahead, the store's clock shows that a task may be another run's", async () => {
  const world = await lost();
  const { clock, store, deps, rows, snapshots } = world;
  Object.assign(store, { now: () => clock.now() });
  const scope = { provider: 'emulator', account: 'default' };
  const ahead = new Ledger({ store, scope, now: () => clock.now() + 3 * 3_600_000 });
  // The same prompt twice, both replies lost; the task is that of the other run.
  await buyOnce(
    { ...deps, ledger: ahead },
    order({ purchaseKey: SECOND, buyer: { workflowId: 'w2', firstRunId: 'r2' } }),
  );
  rows.push({ taskId: 'of-the-other', status: 'RUNNING', createdAtMs: clock.now() });
  snapshots.set('of-the-other', OURS);
  expect(await reconcileSubmit(deps, PURCHASE)).toMatchObject({
    kind: 'undecided',
    evidence: { reason: 'fits_another_purchase' },
  });
});

test('a purchase that is dated wrong is not sent: its task could not be distinguished from others', async () => {
  const { deps, clock, ledger, posts } = setUp();
  let offMs = 0;
  ledger.now = () => clock.now() + offMs;
  const { openIntent } = ledger;
  ledger.openIntent = (...args) => {
    offMs = 3 * 3_600_000; // the answer to the put shows the true time
    return openIntent.apply(ledger, args);
  };
  await expect(buyOnce(deps, order())).rejects.toMatchObject({ type: 'ConfigurationInvalid', retryable: true });
  expect(posts).toEqual([]);
  expect((await ledger.findPurchase(PURCHASE))?.state).toMatchObject({ notCreated: { reason: 'too_late' } });
});
