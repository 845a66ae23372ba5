import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { stageImage } from '../../src/media/stage-image.js';
import { S3Store } from '../../src/storage/s3-store.js';
import { type CommandEnd, command, everyOutput, onlyJson, processOf, startCommand } from '../support/command.js';
import { writeTestImage } from '../support/images.js';
import { QUICK_LEDGER } from '../support/quick-times.js';
import { type S3Server, s3ServerMissing, startS3Server } from '../support/s3-server.js';
import { type Stack, startStack, TEST_KEY } from '../support/stack.js';

const loads = vi.hoisted(() => ({ config: 0, temporal: 0 }));
vi.mock('../../src/config/config.js', async (original) => {
  const actual = await original<typeof import('../../src/config/config.js')>();
  const loadConfig: typeof actual.loadConfig = (...args) => {
    loads.config += 1;
    return actual.loadConfig(...args);
  };
  return { ...actual, loadConfig };
});
vi.mock('../../src/client/temporal-target.js', async (original) => {
  const actual = await original<typeof import('../../src/client/temporal-target.js')>();
  const temporalFromEnv: typeof actual.temporalFromEnv = (...args) => {
    loads.temporal += 1;
    return actual.temporalFromEnv(...args);
  };
  return { ...actual, temporalFromEnv };
});

const FORGETFUL = 'forgetful';
let stack: Stack;
let env: Record<string, string>;
let otherImage = '';
let remote: Promise<CommandEnd>;
let abandoned: Promise<CommandEnd>;
beforeAll(async () => {
  stack = await startStack({ settings: { speed: 40 }, times: { ...QUICK_LEDGER, unknownForMs: 1_000 } });
  env = { ...stack.env, DASHSCOPE_API_KEY: TEST_KEY };
  const workflowExecutionRetentionPeriod = { seconds: 86_400 as never };
  await stack.client.workflowService.registerNamespace({ namespace: FORGETFUL, workflowExecutionRetentionPeriod });
  // It takes its six seconds while the others run.
  remote = command(['doctor', '--json'], { env: { ...env, TEMPORAL_ADDRESS: 'temporal.invalid:1' } });
  const nobodys = { workflowId: 'nobody/1', taskQueue: 'nobody-polls-this', args: [{}] };
  const handle = await stack.client.workflow.start('videoGenerate', nobodys);
  abandoned = command(['cancel', 'nobody/1', '--json'], { env }).finally(() => handle.terminate('a test'));
  const file = join(stack.outputDir, 'other.bmp');
  await writeTestImage(file, { width: 1280, height: 720 });
  otherImage = `asset:${(await stageImage(file, stack.store)).asset.key}`;
});
afterAll(() => stack?.close());

const run = (...args: string[]) => command(args, { env });
type Answer = ReturnType<typeof onlyJson> & { readonly code: number | null };
const json = async (...args: string[]): Promise<Answer> => {
  const end = await run(...args, '--json');
  return { ...onlyJson(end), code: end.code };
};
const tasksOf = (prompt: string) => stack.emulator.state().tasks.filter((task) => task.prompt === prompt);
const stageOf = async (id: string) => (await stack.videos.progress(id)).stage;
const reaches = (id: string, stage: string) =>
  expect.poll(() => stageOf(id), { timeout: 40_000, interval: 200 }).toBe(stage);
/**
 * `status` for a Temporal that has forgotten every run: another namespace, as deletion takes a server half a minute.
 */
const forgotten = async (...args: string[]): Promise<Answer> => {
  const end = await command(['status', ...args, '--json'], { env: { ...env, TEMPORAL_NAMESPACE: FORGETFUL } });
  return { ...onlyJson(end), code: end.code };
};

/** Two runs in needs_attention, and the two tasks that nothing distinguishes. */
async function twins(): Promise<{ ids: [string, string]; tasks: [string, string] }> {
  const prompt = `twins ${randomUUID()}`;
  stack.emulator.queueFaults({ on: 'submit', fault: 'drop-reply', match: prompt, times: 2 });
  const started = await Promise.all(
    [stack.image, otherImage].map((reference_image) =>
      stack.videos.start({ ...stack.request(prompt), reference_image }),
    ),
  );
  const ids = started.map(({ id }) => id) as [string, string];
  await Promise.all(ids.map((id) => reaches(id, 'needs_attention')));
  return { ids, tasks: tasksOf(prompt).map(({ task_id }) => task_id) as [string, string] };
}

/** A task that a person said is not ours: paid, and in no ledger. */
let disowned = '';

describe('a run whose submit only a person can decide', () => {
  test('shows in watch and status what to type; resolve says whether it, or its salvage, took the decision', async () => {
    const { ids, tasks } = await twins();
    const [id, other] = ids;
    const watched = run('watch', id, '--quiet');
    const shown = await run('status', id);
    for (const task of tasks) expect(shown.stdout).toContain(`\n  wan-video resolve ${id} --task ${task}\n`);
    expect(shown.stdout).toContain(`\n  wan-video resolve ${id} --buy\n`);

    const cancelled = await json('cancel', other);
    const salvage = /salvage\/[0-9a-f]+\/\d+/.exec(String(cancelled['message']))?.[0] ?? '';
    await reaches(salvage, 'needs_attention');
    // At once, and not after waiting for an end that does not come.
    expect(await json('cancel', salvage)).toMatchObject({ code: 1, error: { type: 'NotCancelled' } });
    expect((await run('cancel', salvage)).stderr).toMatch(/is a salvage, .*\nLet it run: /);
    await expect(stack.videos.cancel(salvage)).rejects.toMatchObject({ error: { type: 'NotCancelled' } });
    expect(await json('resolve', salvage, '--task', tasks[0])).toMatchObject({ code: 0, task_id: tasks[0] });
    await reaches(salvage, 'done');
    expect(await json('status', salvage)).toMatchObject({ status: 'completed', result: { task_id: tasks[0] } });
    expect(await json('resolve', salvage, '--buy')).toMatchObject({ code: 1, error: { type: 'NotResolved' } });
    expect(await json('retry', salvage)).toMatchObject({ code: 1, error: { type: 'NotRetried' } });

    const taken = await json('resolve', id, '--task', tasks[0]);
    expect(taken).toMatchObject({ code: 1, error: { type: 'NotResolved' } });
    expect(taken.error['message']).toMatch(/refused: .*belongs to another purchase/);
    expect((await run('status', id)).stdout).toContain('The last decision was refused: ');

    const bought = await run('resolve', id, '--buy');
    expect(bought).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^The decision was accepted: another task/),
    });
    const end = await watched;
    expect(end).toMatchObject({ code: 0, stdout: expect.stringContaining('source    generated') });
    expect(end.stderr).toContain(`\n  wan-video resolve ${id} --buy\n`);
    // Once for the question, though the run is read every second, and at most once more for the refusal.
    expect(end.stderr.match(/Decide with one of these/g)?.length).toBeLessThanOrEqual(2);
    disowned = tasks[1];
  });

  test.each([[[]], [['--task', 'x', '--buy']], [['--task', ' ']]])('is not resolved by %j', async (flags) => {
    expect(await json('resolve', 'video/x', ...flags)).toMatchObject({
      code: 2,
      error: { issues: [{ path: '--task' }] },
    });
  });
});

test('cancel of a run that no worker takes up says so, long before its wait is over', async () => {
  const end = await abandoned;
  expect(onlyJson(end).error).toMatchObject({
    type: 'NotCancelled',
    message: expect.stringMatching(/not ended yet: no worker picks it up from the queue nobody-polls-this/),
    next_step: expect.stringContaining('wan-video status nobody/1'),
  });
});

describe('retry', () => {
  test('buys for a run that failed, and answers from the cache for one that has its video', async () => {
    const prompt = 'refused once';
    stack.emulator.queueFaults({
      on: 'submit',
      fault: 'status',
      status: 400,
      code: 'DataInspectionFailed',
      match: prompt,
    });
    const { id } = await stack.videos.start({ ...stack.request(prompt), tenant: 'film', labels: { scene: '1' } });
    const failed = await json('watch', id);
    expect(failed).toMatchObject({ code: 1, error: { type: 'ContentRejected', billed: false } });

    const first = await run('retry', id);
    expect(first).toMatchObject({ code: 0, stdout: expect.stringContaining('source    generated') });
    expect(first.stderr).toContain(`Started ${id} again.`);
    expect(await json('retry', id, '--quiet')).toMatchObject({ code: 0, source: 'cache' });
    expect(tasksOf(prompt)).toHaveLength(1);
    expect((await json('status', id))['labels']).toEqual(['scene=1']);
  });

  test('adopts what a terminated run had paid, and refuses a run that has not ended', async () => {
    const { id } = await stack.videos.start({ ...stack.request('terminated'), duration: 10 });
    await reaches(id, 'rendering');
    expect(await json('retry', id)).toMatchObject({ code: 1, error: { type: 'NotRetried' } });
    await stack.client.workflow.getHandle(id).terminate('by a test');
    const detached = await json('retry', id, '--detach');
    expect(detached).toMatchObject({ code: 0, id, joined: false });
    expect(await json('watch', id)).toMatchObject({ source: 'adopted' });
    expect(tasksOf('terminated')).toHaveLength(1);
  });

  test('of an unknown run exits with 1, and of wrong flags with 2', async () => {
    expect(await json('retry', 'video/nowhere')).toMatchObject({ code: 1, error: { type: 'RunNotFound' } });
    expect(await json('retry', 'x', '--detach', '--output', 'a.mp4')).toMatchObject({
      code: 2,
      error: { issues: [{ path: 'output' }] },
    });
  });
});

describe('status', () => {
  test('finds a run by its task while Temporal has it, and afterwards in the store, by run, task and purchase', async () => {
    const { id } = await stack.videos.start({ ...stack.request('remembered'), tenant: 'archive' });
    const { task_id } = await stack.videos.result(id);
    expect(await json('status', task_id)).toMatchObject({ id, status: 'completed', task_id });

    // A server takes some seconds until it lets a new namespace be used.
    await expect.poll(async () => (await forgotten(id))['status'], { timeout: 30_000 }).toBe('forgotten');
    const stored = await forgotten(id);
    const known = { code: 0, status: 'forgotten', state: 'archived', bought_by: id, task_id, tenant: 'archive' };
    expect(stored).toMatchObject({ ...known, id, result: { task_id, duration: 4 }, error: null });
    const purchase = String(stored['purchase']);
    for (const name of [task_id, purchase, purchase.split('/')[0] ?? '', `salvage/${purchase}`]) {
      expect(await forgotten(name)).toMatchObject(known);
    }
    const words = await command(['status', task_id], { env: { ...env, TEMPORAL_NAMESPACE: FORGETFUL } });
    expect(words.stdout).toMatch(
      /^run {7}video\/.*\nstatus {4}forgotten by Temporal[\s\S]*archived[\s\S]*video {5}file:/,
    );
  });

  test("shows a provider's message of 300 kB cut and without its control characters, and its purchase is closed", async () => {
    const prompt = `a loud failure ${randomUUID()}`;
    const message = `no picture\u001b[2J\u001b]0;title\u0007\u202e\r\n${'m'.repeat(300_000)}`;
    stack.emulator.queueFaults({
      on: 'submit',
      fault: 'task-failed',
      code: 'DataInspectionFailed',
      message,
      match: prompt,
    });
    const sample = fileURLToPath(new URL('../../assets/sample.jpg', import.meta.url));
    const id = `loud/${randomUUID()}`;
    const generated = await run('generate', '--prompt', prompt, '--image', sample, '--id', id);
    expect(generated).toMatchObject({ code: 1, stderr: expect.stringContaining('no picture') });
    const ends = [generated, await run('status', id), await run('status', id, '--json'), await run('watch', id)];
    for (const { stdout, stderr } of ends) {
      const shown = stdout + stderr;
      expect(shown.length).toBeLessThan(5_000);
      expect(shown).not.toMatch(/(?!\n)\p{Cc}|[\u202a-\u202e\u2066-\u2069]/u);
    }
    expect(ends[1]?.stdout).toContain('ContentRejected');
    // What was not paid is closed, so nothing waits for it: the next run of the same request may buy.
    expect(await stack.videos.generate(stack.request(prompt))).toMatchObject({ source: 'generated' });
  });

  test('shows the failure of a forgotten run that the ledger kept, and that an unknown one is in neither', async () => {
    const prompt = 'fails at the provider';
    const { id } = await stack.videos.start({ ...stack.request(prompt), duration: 15 });
    await reaches(id, 'rendering');
    const task_id = tasksOf(prompt)[0]?.task_id ?? '';
    stack.emulator.changeTask(task_id, { status: 'FAILED', code: 'DataInspectionFailed', message: 'no' });
    await expect(stack.videos.result(id)).rejects.toThrow();
    expect(await forgotten(task_id)).toMatchObject({
      status: 'forgotten',
      state: 'failed',
      error: { type: 'ContentRejected', billed: false },
    });
    const unknown = await json('status', 'f'.repeat(64));
    expect(unknown).toMatchObject({
      code: 1,
      error: { type: 'RunNotFound', next_step: expect.stringContaining('31') },
    });
  });
});

test.each([
  ['generate --prompt counted --image IMAGE --dry-run', { config: 1, temporal: 1 }],
  ['generate --prompt counted --image IMAGE --detach', { config: 1, temporal: 1 }],
  ['generate --prompt counted --image IMAGE', { config: 1, temporal: 1 }],
  ['status video/nowhere', { config: 1, temporal: 1 }],
  ['retry video/nowhere', { config: 1, temporal: 1 }],
  ['list', { config: 0, temporal: 1 }],
  ['batch status nowhere', { config: 1, temporal: 1 }],
  ['schedule list', { config: 1, temporal: 1 }],
  ['stage IMAGE', { config: 1, temporal: 1 }],
  ['slots', { config: 1, temporal: 1 }],
  ['cost', { config: 1, temporal: 0 }],
  ['purge --older-than 90d --dry-run', { config: 1, temporal: 0 }],
  ['doctor', { config: 1, temporal: 1 }],
])('%s loads its settings once', async (line, expected) => {
  await Promise.all([remote, abandoned]); // they load theirs meanwhile
  const before = { ...loads };
  const image = join(stack.outputDir, 'other.bmp');
  await run(...line.split(' ').map((word) => (word === 'IMAGE' ? image : word)));
  expect({ config: loads.config - before.config, temporal: loads.temporal - before.temporal }).toEqual(expected);
});

describe('cost', () => {
  const priceFile = async (text: string): Promise<Record<string, string>> => {
    const file = join(stack.outputDir, `${randomUUID()}.json`);
    await writeFile(file, text);
    return { ...env, WAN_VIDEO_PRICES: file };
  };
  const prices = () =>
    priceFile(
      '{"currency":"CNY","per_second":{"720P":{"silent":0.15,"sound":0.3},"1080P":{"silent":0.25,"sound":0.5}}}',
    );

  test('adds up exactly what the provider billed, by tier and sound, and prices it', async () => {
    const request = { ...stack.request('loud'), size: '1920*1080', duration: 5, audio: true, tenant: '=film, "x"' };
    await stack.videos.generate({ ...request, labels: { crew: 'a', scene: '2' } });
    const free = stack.emulator.state().tasks.find(({ task_id }) => task_id === disowned)?.billed_seconds ?? 0;
    const billed = () => stack.emulator.state().billed_seconds - free;
    expect(billed()).toBeGreaterThan(20);
    const all = await json('cost');
    expect(all).toMatchObject({ code: 0, by: null, currency: null, total: { seconds: billed(), amount: null } });

    const priced = { env: await prices() };
    const total = onlyJson(await command(['cost', '--format', 'json'], priced))['total'] as Record<string, unknown>;
    expect(total).toMatchObject({
      seconds: billed(),
      amount: Number(((billed() - 5) * 0.15 + 5 * 0.5).toFixed(6)),
      items: [
        { resolution: '720P', audio: false, seconds: billed() - 5 },
        { resolution: '1080P', audio: true, videos: 1, seconds: 5, amount: 2.5 },
      ],
    });

    const table = (await command(['cost', '--by', 'tenant'], priced)).stdout;
    expect(table).toMatch(/^TENANT +TIER +SOUND +VIDEOS +SECONDS +CNY\n/);
    expect(table).toMatch(/\n=film, "x" +1080P +yes +1 +5 +2\.50\n/);
    expect(table).toMatch(/\n- +720P +no [\s\S]*\ntotal /);
    const csv = (await command(['cost', '--by', 'tenant', '--format', 'csv'], priced)).stdout;
    expect(csv).toMatch(/^\ufefftenant,resolution,audio,videos,seconds,amount,currency,estimated_seconds\r\n/);
    expect(csv).toContain(`\r\n"'=film, ""x""",1080P,sound,1,5,2.5,CNY,0`);

    const labels = (await json('cost', '--by', 'label'))['rows'] as { group: string | null; seconds: number }[];
    expect(labels).toMatchObject([
      { group: 'crew=a', seconds: 5 },
      { group: 'scene=1', seconds: 4 },
      { group: 'scene=2', seconds: 5 },
      { group: null },
    ]);
    const days = await json('cost', '--by', 'day');
    expect((days['rows'] as { seconds: number }[]).reduce((sum, { seconds }) => sum + seconds, 0)).toBe(billed());
  });

  test('counts nothing outside its days, and says so', async () => {
    const { code, stdout } = await run('cost', '--since', '2020-02-28', '--until', '2020-03-01');
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'Nothing was billed, 2020-02-28 to 2020-03-01, UTC.\n' });
  });

  test.each([
    ['--since', '2026-02-30'],
    ['--until', 'today'],
    ['--since', '2026-03-02', '--until', '2026-03-01'],
    ['--since', '2020-01-01', '--until', '2026-01-01'],
    ['--by', 'colour'],
    ['--format', 'xml'],
  ])('refuses %s %s %s %s', async (...flags) => {
    expect(await json('cost', ...flags.filter((flag) => typeof flag === 'string'))).toMatchObject({ code: 2 });
  });

  test('and --dry-run name the price, and every fault of the price list', async () => {
    const image = join(stack.outputDir, 'other.bmp');
    const plan = ['generate', '--prompt', 'never made', '--image', image, '--audio', '--dry-run'];
    const priced = { env: await prices() };
    expect(onlyJson(await command([...plan, '--json'], priced))).toMatchObject({
      action: 'buy',
      price: { amount: 1.2, currency: 'CNY' },
    });
    expect((await command(plan, priced)).stdout).toContain('4 s at 720P, with sound for 1.20 CNY');
    expect((await run(...plan)).stdout).toContain('its price is not configured');
    const bad = await command(['cost', '--json'], { env: await priceFile('{"currency":"yuan","per_second":7}') });
    expect(bad.code).toBe(3);
    expect(onlyJson(bad).error['issues']).toMatchObject([{ path: 'currency' }, { path: 'per_second' }]);
  });
});

describe('doctor', () => {
  interface Found {
    readonly code: number | null;
    readonly names: string[];
    readonly faults: Record<string, string>;
    readonly advice: Record<string, string | undefined>;
    readonly skipped: string[];
  }
  const examine = async (changes: Record<string, string> = {}): Promise<Found> => {
    const { code, stdout } = await command(['doctor', '--json'], { env: { ...env, ...changes }, cwd: stack.outputDir });
    const { checks, healthy } = JSON.parse(stdout) as {
      healthy: boolean;
      checks: { name: string; status: string; message: string; next_step?: string }[];
    };
    expect(code).toBe(healthy ? 0 : 3);
    const faults = checks.filter(({ status }) => status === 'fault');
    for (const { next_step } of faults) expect(next_step).toMatch(/\w+ \w+/); // every fault says how to fix it
    return {
      code,
      names: checks.map(({ name }) => name),
      faults: Object.fromEntries(faults.map(({ name, message }) => [name, message])),
      advice: Object.fromEntries(faults.map(({ name, next_step }) => [name, next_step])),
      skipped: checks.filter(({ status }) => status === 'skipped').map(({ name }) => name),
    };
  };
  const words = async (): Promise<string> => (await command(['doctor'], { env })).stdout;

  test('names the missing sweep, and passes all checks after setup', async () => {
    expect((await examine()).faults).toEqual({ sweep: expect.stringContaining('There is no schedule') });
    expect(await words()).toMatch(/^FAULT +sweep +There is no schedule[^\n]*\n +Run "wan-video setup"\.$/m);
    await run('setup');
    const text = await words();
    expect(
      text
        .trimEnd()
        .split('\n')
        .every((line) => line.startsWith('ok ') || line === 'All checks passed.'),
    ).toBe(true);
    expect(text).toMatch(/credentials +a key was found in DASHSCOPE_API_KEY$/m);
    const { names } = await examine();
    const order = [
      'configuration',
      'network',
      'temporal',
      'search_attributes',
      'workers',
      'ffmpeg',
      'sweep',
      'runs',
      'batches',
      'slots',
    ];
    const rest = ['purchases', 'store', 'store_sharing', 'credentials', 'provider', 'webhook', 'clock', 'spool'];
    expect(names).toEqual([...order, ...rest]);
  });

  test('names a sweep that is paused, and one of another queue together with the idle queues', async () => {
    const sweep = stack.client.schedule.getHandle('wan-video-sweep');
    await sweep.pause();
    expect((await examine()).faults).toEqual({ sweep: expect.stringContaining('is paused') });
    await sweep.unpause();
    expect((await examine({ WAN_VIDEO_TASK_QUEUE: 'other' })).faults).toEqual({
      workers: expect.stringContaining('No worker polls other-generate and other-submit'),
      sweep: expect.stringContaining('There is no schedule wan-video-sweep-other-generate'),
    });
  });

  test('names what a namespace lacks, and one that does not exist', async () => {
    expect(Object.keys((await examine({ TEMPORAL_NAMESPACE: FORGETFUL })).faults)).toEqual([
      'search_attributes',
      'workers',
      'sweep',
    ]);
    const nowhere = await examine({ TEMPORAL_NAMESPACE: 'nowhere' });
    expect(nowhere.faults).toEqual({ temporal: expect.stringContaining('no namespace nowhere') });
    const inTemporal = ['search_attributes', 'workers', 'ffmpeg', 'sweep', 'runs', 'batches', 'slots', 'purchases'];
    expect(nowhere.skipped).toEqual(inTemporal);
  });

  test('names a Temporal that does not answer, and the local store with one on another machine', async () => {
    const { stdout } = await remote;
    const { checks } = JSON.parse(stdout) as { checks: { name: string; status: string; message: string }[] };
    const faults = checks.filter(({ status }) => status === 'fault').map(({ name, message }) => [name, message]);
    expect(Object.fromEntries(faults)).toMatchObject({
      temporal: expect.stringContaining('cannot be reached at temporal.invalid:1'),
      store_sharing: expect.stringContaining('ASSET_STORE is a local directory'),
    });
    expect((await remote).code).toBe(3);
  });
  test.each([
    [{ LOG_LEVEL: 'loud' }, 'configuration', /LOG_LEVEL must be/],
    [
      { DASHSCOPE_HTTP_BASE_URL: 'https://dashscope.aliyuncs.com/compatible-mode/v1' },
      'configuration',
      /DASHSCOPE_HTTP_BASE_URL must end with \/api\/v1/,
    ],
    [
      { DASHSCOPE_HTTP_BASE_URL: 'https://{WorkspaceId}.aliyuncs.com/api/v1' },
      'configuration',
      /DASHSCOPE_HTTP_BASE_URL has the placeholder \{WorkspaceId\}/i,
    ],
    [
      { DASHSCOPE_HTTP_BASE_URL: 'https://provider.example/api/v1', ALL_PROXY: 'http://proxy.example:3128' },
      'configuration',
      /ALL_PROXY is not used; set HTTPS_PROXY/,
    ],
    [{ HTTPS_PROXY: 'socks5://proxy.example:1080' }, 'configuration', /HTTPS_PROXY SOCKS is not supported/],
    [
      { WAN_VIDEO_PRICES: 'nowhere.json', WAN_VIDEO_BUDGETS: 'none.json' },
      'configuration',
      /nowhere\.json, which does not exist.*none\.json, which does not exist/,
    ],
    [{ WAN_VIDEO_WEBHOOK: 'nowhere.json' }, 'webhook', /nowhere\.json, which does not exist/],
    [{ ASSET_STORE: 'file:other.bmp/no-folder' }, 'store', /no-folder/],
    [{ WAN_VIDEO_FFMPEG: '/nowhere/ffmpeg' }, 'ffmpeg', /^The ffmpeg of WAN_VIDEO_FFMPEG.*is not installed/],
    [{ DASHSCOPE_API_KEY: '' }, 'credentials', /DASHSCOPE_API_KEY is not set/],
    [{ DASHSCOPE_HTTP_BASE_URL: 'http://127.0.0.1:1/api/v1' }, 'provider', /127\.0\.0\.1:1/],
    [{ DASHSCOPE_HTTP_BASE_URL: 'http://127.0.0.1:1/api/v1' }, 'clock', /does not give its time/],
  ] as [Record<string, string>, string, RegExp][])('with %o names %s', async (changes, name, message) => {
    expect((await examine(changes)).faults[name]).toMatch(message);
  });

  test.each(['top', 'error', 'text', 'empty'] as const)(
    'names region, workspace and billing plan where the provider refuses the key with a 401 (envelope %s)',
    async (envelope) => {
      const code = 'invalid_api_key';
      // The check of the clock sends a query too, and so does a worker that asks for the provider's time.
      const times = null;
      stack.emulator.queueFaults({ on: 'query', fault: 'status', status: 401, code, message: 'm', envelope, times });
      const { faults, advice } = await examine().finally(() => stack.emulator.clearFaults());
      expect(faults['provider']).toContain('HTTP 401');
      for (const cause of ['region', 'workspace', 'billing plan']) expect(advice['provider']).toContain(cause);
      expect(advice['provider']).toContain('DASHSCOPE_HTTP_BASE_URL');
    },
  );

  test('skips what rests on a fault, and examines the rest', async () => {
    expect((await examine({ DASHSCOPE_API_KEY: '' })).skipped).toEqual(['provider']);
    const { faults, skipped } = await examine({ LOG_LEVEL: 'loud' });
    expect(Object.keys(faults)).toEqual(['configuration']);
    expect(skipped).toEqual([
      'network',
      'workers',
      'ffmpeg',
      'sweep',
      'slots',
      'purchases',
      'store',
      'store_sharing',
      'provider',
      'webhook',
      'clock',
    ]);
  });

  test('names a refused key and a clock that is off, and shows no key', async () => {
    stack.emulator.changeSettings({ api_keys: ['another'], date_skew_ms: -300_000 });
    onTestFinished(() => void stack.emulator.changeSettings({ api_keys: null, date_skew_ms: 0 }));
    const { faults } = await examine();
    expect(faults).toEqual({
      provider: expect.stringContaining('InvalidApiKey'),
      clock: expect.stringMatching(/^This clock is (299|300|301) s ahead of the provider's; at most 60 s are safe$/),
    });
  });

  test.runIf(process.platform === 'linux')('names a temporary folder without room', async () => {
    vi.stubEnv('TMPDIR', '/proc');
    onTestFinished(() => void vi.unstubAllEnvs());
    expect((await examine()).faults).toEqual({ spool: expect.stringContaining('/proc') });
  });
});

const noS3 = s3ServerMissing();
if (noS3 !== undefined) console.info(`skipped, presign: ${noS3}`);

describe.skipIf(noS3 !== undefined && process.env['REQUIRE_PARTS'] !== '1')('presign', () => {
  let s3: S3Server;
  let s3Env: Record<string, string>;
  let id: string;
  let taskId: string;
  const video = Buffer.from('not really a video');
  beforeAll(async () => {
    s3 = await startS3Server();
    for (const [name, value] of Object.entries(s3.env)) vi.stubEnv(name, value); // the AWS SDK reads the process's
    const bucket = await s3.newBucket();
    s3Env = { ...env, ASSET_STORE: `s3://${bucket}/films` };
    id = (await stack.videos.start(stack.request('presigned'))).id;
    taskId = (await stack.videos.result(id)).task_id;
    const store = new S3Store({ bucket, prefix: 'films' });
    await store.put(`videos/${taskId}.mp4`, video);
    await store.put('candidates/c.mp4', video);
  });
  afterAll(async () => {
    vi.unstubAllEnvs();
    await s3?.close();
  });
  const presign = async (...args: string[]): Promise<Answer> => {
    const end = await command(['presign', ...args, '--json'], { env: s3Env });
    return { ...onlyJson(end), code: end.code };
  };

  test('gives an address that anybody can read, for a run, a task, a key or a video_url', async () => {
    const videoUrl = `${s3Env['ASSET_STORE']}/videos/${taskId}.mp4`;
    for (const name of [id, taskId, `videos/${taskId}.mp4`, videoUrl, 'candidates/c.mp4']) {
      const signed = await presign(name, '--expires', '15m');
      expect(signed.code).toBe(0);
      const inMs = Date.parse(String(signed['expires_at'])) - Date.now();
      expect(inMs).toBeGreaterThan(14 * 60_000);
      expect(inMs).toBeLessThanOrEqual(15 * 60_000);
      const answer = await fetch(String(signed['url']));
      expect({ status: answer.status, body: Buffer.from(await answer.arrayBuffer()) }).toEqual({
        status: 200,
        body: video,
      });
    }
    // As a process: what the AWS SDK says when it is loaded is said past the command's own output.
    const words = await processOf(['presign', taskId], { ...s3.env, ...s3Env });
    expect(words).toMatchObject({ code: 0, stderr: '' });
    expect(words.stdout).toMatch(/^http:\/\/\S+X-Amz-Expires=3600\S*\n$/);
  });

  test('gives one that is refused once it has expired', async () => {
    const { url } = await presign(taskId, '--expires', '1s');
    await expect.poll(async () => (await fetch(String(url))).status, { timeout: 10_000 }).toBe(403);
  });

  test('says what is not there', async () => {
    expect(await presign('videos/none.mp4')).toMatchObject({ code: 3, error: { type: 'AssetNotFound' } });
    expect(await presign('video/none')).toMatchObject({ code: 1, error: { type: 'RunNotFound' } });
  });

  test.each(['0s', '8d', '1', 'soon', '1h30m'])('refuses --expires %s', async (expires) => {
    expect(await presign(taskId, '--expires', expires)).toMatchObject({ code: 2 });
  });

  test('says that a local store has no https addresses, and which file the video is', async () => {
    const file = fileURLToPath((await stack.videos.result(id)).video_url);
    for (const [name, next] of [
      [id, `Its file is ${file}. To hand out addresses, set ASSET_STORE`],
      [taskId, `Its file is ${file}. To hand out`],
      ['video/none', 'To hand out addresses'],
    ] as const) {
      const end = await command(['presign', name, '--json'], { env });
      expect(end.code).toBe(3);
      expect(onlyJson(end).error).toMatchObject({
        type: 'ConfigurationInvalid',
        issues: [{ path: 'ASSET_STORE' }],
        next_step: expect.stringMatching(new RegExp(`^${next.replaceAll('.', '\\.')}`)),
      });
    }
  });
});

test('the emulator command keeps its tasks in --state', async () => {
  const file = join(stack.outputDir, 'emulator.json');
  const start = async () => {
    const emulator = startCommand(['emulator', '--speed', '50', '--state', file, '--json'], {});
    onTestFinished(() => void emulator.process.kill('SIGKILL'));
    const origin = new URL(JSON.parse(await emulator.said(/\{.*\}/, 'stdout')).base_url).origin;
    const tasks = async () => ((await (await fetch(`${origin}/_emulator/state`)).json()) as { tasks: unknown }).tasks;
    return { emulator, tasks, origin };
  };
  const first = await start();
  const body = JSON.stringify({ prompt: 'kept' });
  await fetch(`${first.origin}/_emulator/tasks`, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json' },
  });
  first.emulator.process.kill('SIGTERM');
  expect((await first.emulator.ended).code).toBe(0);
  expect(await (await start()).tasks()).toMatchObject([{ prompt: 'kept' }]);
});

test('no output of any command held the key', () => {
  expect(everyOutput.length).toBeGreaterThan(50);
  expect(everyOutput.join('\n')).not.toContain(TEST_KEY);
});
