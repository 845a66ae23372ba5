import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { startWorkerProcess, type WorkerProcess } from '../support/processes.js';
import { QUICK_LEDGER } from '../support/quick-times.js';
import { readRunbook } from '../support/runbook.js';
import { RunbookShell, type Scenario } from '../support/runbook-shell.js';
import { type Stack, type StackOptions, startStack, TEST_KEY } from '../support/stack.js';

const NEW_KEY = 'sk-test-secret-new-0123456789';
const TIMES = { ...QUICK_LEDGER, unknownForMs: 1_000 };
/** Renders so long that a worker is away and back meanwhile. */
const SLOW = { speed: 100, render_seconds: 1_000 };
const sections = new Map(readRunbook().map((section) => [section.title, section]));

interface World {
  readonly stack: Stack;
  readonly shell: RunbookShell;
  /** Folder of this test alone. */
  readonly folder: string;
  readonly scenario: Scenario & { later?: (n: number) => Promise<void> };
  worker(env?: Record<string, string>): Promise<WorkerProcess>;
  reaches(id: string, stage: string): Promise<void>;
  /** Starts a run and waits for its stage. */
  running(prompt: string, stage: string): Promise<string>;
}

/** A server, an emulator, a store and a shell, set up and without a worker. */
async function world(options: StackOptions = {}): Promise<World> {
  const folder = await mkdtemp(join(tmpdir(), 'wan-video-runbook-'));
  const stack = await startStack({ worker: false, times: TIMES, ...options });
  const shell = await RunbookShell.open(folder);
  const workers: WorkerProcess[] = [];
  onTestFinished(async () => {
    shell.close();
    for (const { process } of workers) process.kill('SIGKILL');
    await stack.close();
    await rm(folder, { recursive: true, force: true });
  });
  const scenario = { env: { ...stack.env, DASHSCOPE_API_KEY: TEST_KEY, ...options.env }, words: {} };
  expect(await shell.once('wan-video setup', scenario)).toMatchObject({ code: 0 });
  const reaches = (id: string, stage: string) =>
    expect
      .poll(async () => (await stack.videos.progress(id).catch(() => undefined))?.stage, { timeout: 60_000 })
      .toBe(stage);
  return {
    stack,
    shell,
    folder,
    scenario,
    reaches,
    async worker(env = {}) {
      const worker = await startWorkerProcess({ ...stack, env: { ...stack.env, ...env } }, TIMES);
      workers.push(worker);
      return worker;
    },
    async running(prompt, stage) {
      const { id } = await stack.videos.start(stack.request(prompt));
      await reaches(id, stage);
      return id;
    },
  };
}

/** Runs the section of this title, in the state that the test has made. */
async function follow({ shell, scenario }: World, title: string, words: Record<string, string>): Promise<void> {
  const section = sections.get(title);
  if (section === undefined) throw new Error(`docs/operations.md has no section "${title}"`);
  Object.assign(scenario.words, words);
  await shell.run(section, scenario);
}

const pidOf = ({ process }: WorkerProcess): string => String(process.pid);
const tasksOf = (stack: Stack, prompt: string) => stack.emulator.state().tasks.filter((task) => task.prompt === prompt);
const LONG_MS = 400_000;

test('No worker: a run that no worker polls for continues once a worker is started', { timeout: LONG_MS }, async () => {
  const here = await world();
  const { id } = await here.stack.videos.start(here.stack.request('nobody there'));
  await follow(here, 'No worker', { ID: id });
  expect(here.stack.emulator.state().submits).toBe(1);
});

test('A run is stuck: on a worker with another store it fails, and it continues on the right one', {
  timeout: LONG_MS,
}, async () => {
  const here = await world({ settings: SLOW });
  const { stack } = here;
  const right = await here.worker();
  const ID = await here.running('wrong store', 'rendering');
  stack.emulator.changeSettings({ render_seconds: 60_000 });
  const OTHER_ID = await here.running('not needed', 'rendering');
  await right.end('SIGTERM');
  const wrong = await here.worker({ OUTPUT_DIR: join(here.folder, 'another') });
  await follow(here, 'A run is stuck', { ID, OTHER_ID, PID: pidOf(wrong) });
  expect(tasksOf(stack, 'wrong store')).toHaveLength(1);
});

test('A run waits for a person: lost replies and a refused list are decided by a person', {
  timeout: LONG_MS,
}, async () => {
  const here = await world();
  const { stack } = here;
  await here.worker();
  stack.emulator.changeSettings({ list_refused: true });
  const [ID = '', OTHER_ID = ''] = await Promise.all(
    ['the first', 'the second'].map((prompt) => {
      stack.emulator.queueFaults({ on: 'submit', fault: 'drop-reply', match: prompt });
      return here.running(prompt, 'needs_attention');
    }),
  );
  await follow(here, 'A run waits for a person', { ID, OTHER_ID, TASK: tasksOf(stack, 'the first')[0]?.task_id ?? '' });
  expect(tasksOf(stack, 'the first')).toHaveLength(1);
  expect(tasksOf(stack, 'the second')).toHaveLength(2);
});

test('The provider is down: paid tasks are waited for, and a batch is paused meanwhile', {
  timeout: LONG_MS,
}, async () => {
  const here = await world({ settings: SLOW });
  const { stack, scenario } = here;
  await here.worker();
  const ID = await here.running('outage', 'rendering');
  // The third line waits for the window, so that the batch has something left to go on with.
  await startBatch(here, 'outage', 3, '--window 2');
  await expect.poll(() => stack.emulator.state().submits, { timeout: 30_000 }).toBe(3);
  stack.emulator.queueFaults({ on: 'query', fault: 'gateway', status: 502, times: null });
  scenario.later = async () => stack.emulator.clearFaults();
  await follow(here, 'The provider is down', { ID, BATCH: 'outage' });
  expect(stack.emulator.state().submits).toBe(4);
});

/** Writes a manifest of so many lines and starts it. */
async function startBatch(
  { stack, shell, scenario, folder }: World,
  batch: string,
  lines: number,
  flags = '',
): Promise<void> {
  const rows = Array.from({ length: lines }, (_, at) => JSON.stringify(stack.request(`${batch} ${at}`)));
  await writeFile(join(folder, `${batch}.jsonl`), rows.join('\n'));
  expect(await shell.once(`wan-video batch start ${batch}.jsonl --id ${batch} ${flags}`, scenario)).toMatchObject({
    code: 0,
  });
}

/** A world whose key is in a file, with a new one next to it, and a worker that reads it. */
async function withKeyFile(settings: StackOptions['settings']): Promise<World & { keys: Record<string, string> }> {
  const folder = await mkdtemp(join(tmpdir(), 'wan-video-keys-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const keys = { KEY_FILE: join(folder, 'key'), NEW_KEY_FILE: join(folder, 'new-key') };
  await writeFile(keys.KEY_FILE, TEST_KEY);
  await writeFile(keys.NEW_KEY_FILE, NEW_KEY);
  const env = { DASHSCOPE_API_KEY: '', DASHSCOPE_API_KEY_FILE_PATH: keys.KEY_FILE };
  const here = await world({ settings: { ...settings }, env });
  await here.shell.start('wan-video worker', here.scenario);
  return { ...here, keys };
}

test('Key rotation: runs in flight go on with the new key', { timeout: LONG_MS }, async () => {
  const here = await withKeyFile({ ...SLOW, api_keys: [TEST_KEY, NEW_KEY] });
  const ID = await here.running('rotated', 'rendering');
  here.scenario.later = async () => void here.stack.emulator.changeSettings({ api_keys: [NEW_KEY] });
  await follow(here, 'Key rotation', { ID, ...here.keys });
  expect(here.stack.emulator.state().submits).toBe(1);
});

test('A batch is paused: it goes on once the key is one that works', { timeout: LONG_MS }, async () => {
  const here = await withKeyFile({ api_keys: [NEW_KEY] });
  await startBatch(here, 'refused', 3);
  await follow(here, 'A batch is paused', { BATCH: 'refused', ...here.keys });
  expect(here.stack.emulator.state().tasks).toHaveLength(3);
});

test('Slots do not move: their run is terminated when its queue is gone', { timeout: LONG_MS }, async () => {
  const here = await world();
  const { stack, shell, scenario } = here;
  const gone = await here.worker({ WAN_VIDEO_TASK_QUEUE: 'gone' });
  const elsewhere = { ...scenario, env: { ...scenario.env, WAN_VIDEO_TASK_QUEUE: 'gone' } };
  const generate = 'wan-video generate --prompt elsewhere --duration 4 --image';
  expect(await shell.once(`${generate} ${stack.image}`, elsewhere)).toMatchObject({ code: 0 });
  await gone.end('SIGTERM');
  await here.worker();
  const ID = await here.running('asks in vain', 'waiting_for_slot');
  expect(await shell.once(`wan-video cancel ${ID}`, scenario)).toMatchObject({ code: 0 });
  await follow(here, 'Slots do not move', { ID, PROVIDER: 'emulator', ACCOUNT: 'default' });
  expect(tasksOf(stack, 'asks in vain')).toHaveLength(1);
});

test('Terminated runs and the sweep: what was paid is archived by a salvage', { timeout: LONG_MS }, async () => {
  const here = await world({ settings: SLOW });
  const { stack } = here;
  await here.worker();
  await stack.client.schedule.getHandle('wan-video-sweep').pause();
  const ID = await here.running('terminated', 'rendering');
  await stack.client.workflow.getHandle(ID).terminate();
  const TASK = tasksOf(stack, 'terminated')[0]?.task_id ?? '';
  await follow(here, 'Terminated runs and the sweep', { ID, TASK });
  expect(stack.emulator.state().submits).toBe(1);
});

test('The result has expired: a person buys it again', { timeout: LONG_MS }, async () => {
  const here = await world({ settings: SLOW });
  const { stack, scenario } = here;
  const worker = await here.worker();
  const ID = await here.running('forgotten', 'rendering');
  await worker.end('SIGTERM');
  stack.emulator.changeSettings({ time_offset_ms: 25 * 3_600_000, render_seconds: 100 });
  await here.worker();
  scenario.later = async () => void stack.emulator.changeSettings({ time_offset_ms: 0 });
  await follow(here, 'The result has expired', { ID });
  expect(tasksOf(stack, 'forgotten')).toHaveLength(2);
});

/** A file system of 400 MiB; undefined where this user may not mount one. */
async function smallDisk(): Promise<string | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'wan-video-disk-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=400m', 'tmpfs', folder], { stdio: 'ignore' });
  } catch {
    await rm(folder, { recursive: true });
    if (process.env['REQUIRE_PARTS'] === '1') throw new Error('a small disk needs the right to mount a tmpfs');
    return undefined;
  }
  return folder;
}

test('The store is full: a purge makes room, and the run goes on by itself', { timeout: LONG_MS }, async (context) => {
  const disk = await smallDisk();
  if (disk === undefined) {
    context.skip('a full disk needs the right to mount a tmpfs of its own');
    return;
  }
  onTestFinished(async () => {
    execFileSync('umount', ['--lazy', disk]);
    await rm(disk, { recursive: true, force: true });
  });
  const here = await world({ env: { OUTPUT_DIR: disk } });
  const STORE = join(disk, 'ai-video-wan-video');
  await here.worker();
  await mkdir(join(STORE, 'videos'), { recursive: true });
  const old = join(STORE, 'videos', '0000c14d-5b14-4d0e-9e4a-000000000000.mp4');
  execFileSync('sh', ['-c', 'cat /dev/zero > "$1" 2>/dev/null || true', 'sh', old]);
  expect((await stat(old)).size).toBeGreaterThan(300 * 1024 ** 2);
  const longAgo = Date.now() / 1000 - 100 * 86_400;
  await utimes(old, longAgo, longAgo);
  const { id } = await here.stack.videos.start(here.stack.request('no room'));
  await follow(here, 'The store is full', { ID: id, STORE });
  expect(here.stack.emulator.state().submits).toBe(1);
});

test('Upgrade with running workflows: they go on with the next worker', { timeout: LONG_MS }, async () => {
  const here = await world({ settings: SLOW });
  const worker = await here.worker();
  const ID = await here.running('upgraded', 'rendering');
  await follow(here, 'Upgrade with running workflows', { ID, PID: pidOf(worker) });
  expect(here.stack.emulator.state().submits).toBe(1);
});

test('Backup of the embedded database: after a restore the runs are there and nothing is bought twice', {
  timeout: LONG_MS,
}, async (context) => {
  try {
    execFileSync('sqlite3', ['--version'], { stdio: 'ignore' });
  } catch {
    if (process.env['REQUIRE_PARTS'] === '1') throw new Error('the backup of the database needs sqlite3 on PATH');
    context.skip('the backup of the database needs sqlite3 on PATH');
  }
  const folder = await mkdtemp(join(tmpdir(), 'wan-video-backup-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const DB = join(folder, 'temporal.db');
  const here = await world({ settings: SLOW, dbFilename: DB });
  const { stack, scenario } = here;
  const worker = await here.worker();
  const prompts = { before: 'before the backup', during: 'during the backup', after: 'after the backup' };
  stack.emulator.changeSettings({ render_seconds: 100 });
  const ID = await here.running(prompts.before, 'done');
  stack.emulator.changeSettings({ render_seconds: 2_000 });
  const OTHER_ID = await here.running(prompts.during, 'rendering');
  stack.emulator.changeSettings({ render_seconds: 100 });
  scenario.later = async (n) => {
    if (n > 0) return;
    // Bought after the backup, so that the restored Temporal knows nothing of it.
    const result = await stack.videos.generate(stack.request(prompts.after));
    scenario.words['TASK'] = result.task_id;
    await stack.videos.result(OTHER_ID);
  };
  const submits = () => Object.values(prompts).map((prompt) => tasksOf(stack, prompt).length);
  await follow(here, 'Backup of the embedded database', {
    ID,
    OTHER_ID,
    DB,
    PID: pidOf(worker),
    SERVER_PID: String(stack.temporalPid),
    PORT: stack.env['TEMPORAL_ADDRESS']?.split(':')[1] ?? '',
    STORE: join(stack.outputDir, 'ai-video-wan-video'),
    BACKUP: join(folder, 'backup'),
  });
  // With the restored store as well, everything that was bought before the backup is answered from it.
  const again = await stack.videos.generate({ ...stack.request(prompts.before), tenant: 'another run' });
  expect(again.source).toBe('cache');
  expect(submits()).toEqual([1, 1, 1]);
});
