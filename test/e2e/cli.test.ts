import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { slotsWorkflowId } from '../../src/contract/names.js';
import { command, everyOutput, onlyJson, processOf, type RunningCommand, startCommand } from '../support/command.js';
import { ROOT, type Stack, startStack, TEST_KEY } from '../support/stack.js';

const SAMPLE = join(ROOT, 'assets', 'sample.jpg');
/** With this one a 4 s video takes about a second, and one of 15 s about five. */
const SPEED = 20;

let stack: Stack;
let keyless: Record<string, string>;
let env: Record<string, string>;
let worker: RunningCommand;
let unreachable: ReturnType<typeof processOf>;

beforeAll(async () => {
  stack = await startStack({ settings: { speed: SPEED }, worker: false });
  keyless = { ...stack.env, HOME: stack.outputDir };
  env = { ...keyless, DASHSCOPE_API_KEY: TEST_KEY };
  // It takes its six seconds while the others run.
  unreachable = processOf(generate('x'), { ...env, TEMPORAL_ADDRESS: '127.0.0.1:1' });
});
afterAll(async () => {
  worker?.process.kill('SIGTERM');
  await worker?.ended;
  await stack?.close();
});

/** In this process where a process of its own would prove nothing more. */
const here = (...args: string[]) => command(args, { env });
const generate = (prompt: string, ...flags: string[]) => ['generate', '--prompt', prompt, '--image', SAMPLE, ...flags];
const runsOf = async (prompt: string): Promise<string[]> => {
  const statuses: string[] = [];
  for await (const run of stack.client.workflow.list()) {
    const summary = await (await stack.client.workflow.getHandle(run.workflowId, run.runId).describe()).staticSummary();
    if (summary?.endsWith(prompt)) statuses.push(run.status.name);
  }
  return statuses;
};
const tasksOf = (prompt: string) => stack.emulator.state().tasks.filter((task) => task.prompt === prompt);

// The first tests run before there is a worker.

test('without a key and without a worker nothing is started: exit 3 says what to set', async () => {
  const end = await processOf(generate('no key', '--json'), keyless);
  expect(end).toMatchObject({ code: 3, stderr: '' });
  const { error } = onlyJson(end);
  expect(error).toMatchObject({ type: 'CredentialsMissing', next_step: expect.stringContaining('DASHSCOPE_API_KEY') });
  expect(await runsOf('no key')).toEqual([]);

  const words = await processOf(['worker'], keyless);
  expect(words).toMatchObject({ code: 3, stdout: '', stderr: expect.stringContaining('Set DASHSCOPE_API_KEY') });
});

test('a real process refuses bad input with exit 2, and starts no workflow', async () => {
  const flags = ['generate', '--duration', '16', '--fps', 'fast', '--image', 'no-such-file.jpg'];
  const { code, stdout, stderr } = await processOf(flags, env);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  for (const field of ['prompt', 'duration', 'fps', 'reference_image']) expect(stderr).toContain(`\n  ${field}: `);
  const workflows: string[] = [];
  for await (const run of stack.client.workflow.list()) workflows.push(run.workflowId);
  expect(workflows).toEqual([]);
  expect(stack.emulator.state()).toMatchObject({ submits: 0, uploads: 0 });
});

test('without a worker it says so at once; Ctrl-C asks the run to end, and once more leaves it to the next worker', async () => {
  const running = startCommand(generate('no worker'), env);
  await running.said(/No worker polls the queue video-generate.*wan-video worker/);
  await running.said(/Started video\//);
  running.process.kill('SIGINT');
  await running.said(/Cancelling the run/);
  running.process.kill('SIGINT');
  const { code, stdout, stderr } = await running.ended;
  expect({ code, stdout }).toEqual({ code: 130, stdout: '' });
  expect(stderr).toContain('was asked to end and has not ended yet');
  expect(await runsOf('no worker')).toEqual(['RUNNING']);
});

test('the worker says on one line that it is ready, and ends what was left to it, buying nothing', async () => {
  worker = startCommand(['worker'], env);
  const ready = await worker.said(/^Worker ready: .*\n/, 'stdout');
  expect(ready).toContain('video-generate and video-submit');
  await expect.poll(() => runsOf('no worker'), { timeout: 20_000 }).toEqual(['CANCELLED']);
  expect(stack.emulator.state().submits).toBe(0);
});

test('generate shows plain progress, prints the measured video, and copies it', async () => {
  const output = join(stack.outputDir, 'clip.mp4');
  await writeFile(output, 'an older file');
  const { code, stdout, stderr } = await processOf(generate('a boat drifts', '--output', output), env);
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /^video {5}file:\/\/.*\nmeasured {2}4 s, 30 fps, 1280x720, silent, \d+ bytes\nsource {4}generated\n/,
  );
  expect(stderr).toMatch(/^Started video\/[0-9a-f]+\.$/m);
  expect(stderr).toMatch(/^rendering, task [\w-]+: waiting for /m);
  expect(stderr.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);

  // The same again is one JSON document, from the cache.
  const again = await processOf(generate('a boat drifts', '--json', '--quiet'), env);
  expect(again).toMatchObject({ code: 0, stderr: '' });
  const result = onlyJson(again);
  expect(result).toMatchObject({ source: 'cache', duration: 4, fps: 30, width: 1280, height: 720, has_audio: false });
  const sha256 = createHash('sha256')
    .update(await readFile(output))
    .digest('hex');
  expect(sha256).toBe(result['sha256']);
  expect(tasksOf('a boat drifts')).toHaveLength(1);
});

test('Temporal that cannot be reached ends a command with exit 3, and the address and the variable are named', async () => {
  const end = await unreachable;
  expect(end).toMatchObject({ code: 3, stdout: '' });
  expect(end.stderr).toMatch(/cannot be reached at 127\.0\.0\.1:1\b.*\n.*TEMPORAL_ADDRESS/);
});

test('--detach prints the id alone; status, watch and list find the run by it', async () => {
  const flags = ['--detach', '--tenant', 'film', '--label', "crew=o'hara"];
  const { code, stdout } = await here(...generate('detached', ...flags));
  expect(code).toBe(0);
  const id = stdout.trim();
  expect(id).toMatch(/^video\/[0-9a-f]+$/);

  const watched = here('watch', id, '--json');
  const status = onlyJson(await here('status', id, '--json'));
  expect(status).toMatchObject({ id, status: 'running', tenant: 'film', labels: ["crew=o'hara"], error: null });
  const result = onlyJson(await watched);
  expect(result).toMatchObject({ source: 'generated', duration: 4 });

  const after = await here('status', id);
  expect(after.stdout).toMatch(new RegExp(`status {4}completed[\\s\\S]*task {6}${result['task_id']}`));
  const listed = async () =>
    onlyJson(await here('list', '--tenant', 'film', '--label', "crew=o'hara", '--json'))['runs'];
  await expect
    .poll(listed, { timeout: 10_000 })
    .toMatchObject([{ id, outcome: 'generated', task_id: result['task_id'] }]);
  expect((await here('list', '--limit', '1')).stdout.trimEnd().split('\n')).toHaveLength(2);
});

test('Temporal that cannot be reached is reported within 10 s', async () => {
  // In this process, which has loaded the command's modules: how long a busy machine takes to start another one is not
  // the claim.
  const started = Date.now();
  const { code } = await command(generate('x'), { env: { ...env, TEMPORAL_ADDRESS: '127.0.0.1:1' } });
  expect(code).toBe(3);
  expect(Date.now() - started).toBeLessThan(10_000);
});

test.each(['SIGINT', 'SIGTERM'] as const)(
  '%s cancels the run that the command started, and says what became of the task',
  async (signal) => {
    const prompt = `stopped by ${signal}`;
    const running = startCommand(generate(prompt, '--duration', '15', '--json'), env);
    await running.said(/^rendering/m);
    running.process.kill(signal);
    const end = await running.ended;
    expect(end.code).toBe(130);
    const [task] = tasksOf(prompt);
    expect(onlyJson(end).error).toMatchObject({
      type: 'Cancelled',
      task_id: task?.task_id,
      message: expect.stringMatching(/^The run was cancelled\. Task [\w-]+ had started/),
    });
    expect(await runsOf(prompt)).toEqual(['CANCELLED']);
  },
);

test('Ctrl-C leaves a run alone that the command only joined', async () => {
  stack.emulator.changeSettings({ speed: 2 }); // it must render until the second command has come up
  onTestFinished(() => void stack.emulator.changeSettings({ speed: SPEED }));
  const first = startCommand(generate('shared', '--duration', '15', '--json'), env);
  await first.said(/^rendering/m);
  const second = startCommand(generate('shared', '--duration', '15'), env);
  await second.said(/^Joined video\/.*\n.*rendering/m);
  second.process.kill('SIGINT');
  const left = await second.ended;
  expect(left).toMatchObject({
    code: 130,
    stdout: '',
    stderr: expect.stringMatching(/The command ended; the run video\/[0-9a-f]+ continues/),
  });
  stack.emulator.changeSettings({ speed: 200 }); // what is to be seen was seen
  expect(onlyJson(await first.ended)).toMatchObject({ source: 'generated', duration: 15 });
  expect(tasksOf('shared')).toHaveLength(1);
});

test('cancel ends a run and says what became of it; again it says the same; a finished run exits with 1', async () => {
  const id = (await here(...generate('to be cancelled', '--duration', '15', '--detach'))).stdout.trim();
  await expect.poll(() => tasksOf('to be cancelled').length, { timeout: 20_000 }).toBe(1);
  const first = await here('cancel', id, '--reason', 'wrong picture', '--json');
  expect(first.code).toBe(0);
  expect(onlyJson(first)).toMatchObject({ id, status: 'cancelled', task_id: tasksOf('to be cancelled')[0]?.task_id });
  const again = await here('cancel', id);
  expect(again).toMatchObject({ code: 0, stdout: expect.stringContaining('The run was cancelled.') });
  const watched = await here('watch', id);
  expect(watched).toMatchObject({ code: 130, stderr: expect.stringContaining('The run was cancelled.') });

  const done = await stack.videos.start(stack.request('a finished one'));
  await stack.videos.result(done.id);
  const late = await here('cancel', done.id, '--json');
  expect(late.code).toBe(1);
  expect(onlyJson(late).error).toMatchObject({
    type: 'NotCancelled',
    message: expect.stringContaining('had already ended'),
  });
});

test('a run that fails at the provider exits with 1 and the published error', async () => {
  stack.emulator.queueFaults({
    on: 'submit',
    fault: 'status',
    status: 400,
    code: 'DataInspectionFailed',
    match: 'refused one',
  });
  const end = await processOf(generate('refused one', '--json'), env);
  expect(end.code).toBe(1);
  expect(onlyJson(end).error).toMatchObject({ type: 'ContentRejected', code: 'DataInspectionFailed' });
  const words = await here('watch', (await stack.videos.list().next()).value?.id ?? '');
  expect(words.stderr).toContain('DataInspectionFailed');
  const listed = async () => (await here('list', '--outcome', 'failed')).stdout;
  await expect
    .poll(listed, { timeout: 10_000 })
    .toMatch(/^RUN +STATUS +OUTCOME +ERROR [\s\S]* failed +failed +DataInspectionFailed /);
});

test('a refused key exits with 3, and no output shows it', async () => {
  const message = `Incorrect API key provided: ${TEST_KEY}`;
  stack.emulator.queueFaults({
    on: 'policy',
    fault: 'status',
    status: 401,
    code: 'InvalidApiKey',
    message,
    times: null,
  });
  onTestFinished(() => stack.emulator.clearFaults());
  const end = await processOf(generate('refused key', '--json'), env);
  expect(end.code).toBe(3);
  expect(onlyJson(end).error).toMatchObject({ type: 'CredentialsRejected' });
});

test('a staged image, stdin and a request file lead to the same run; flags override the file', async () => {
  const reference = (await here('stage', SAMPLE)).stdout.trim();
  const file = join(stack.outputDir, 'request.json');
  await writeFile(
    file,
    JSON.stringify({ prompt: 'overridden', duration: 4, fps: 30, size: '1280x720', reference_image: reference }),
  );
  const fromFile = await here('generate', '--request', file, '--prompt', 'one of three', '--detach');
  const staged = await here('generate', '--prompt', 'one of three', '--image', reference, '--detach', '--json');
  const piped = startCommand(['generate', '--prompt', 'one of three', '--image', '-', '--json', '--quiet'], env);
  piped.stdin.end(await readFile(SAMPLE));
  expect(onlyJson(staged)).toMatchObject({ id: fromFile.stdout.trim(), joined: true });
  expect(onlyJson(await piped.ended)).toMatchObject({ duration: 4 });
  expect(tasksOf('one of three')).toHaveLength(1);
});

test('an id that a running run of another request has is refused', async () => {
  const id = 'film/scene-1';
  const first = await here(...generate('scene one', '--id', id, '--duration', '15', '--detach'));
  expect(first).toMatchObject({ code: 0, stdout: `${id}\n` });
  const other = await here(...generate('scene two', '--id', id, '--detach', '--json'));
  expect(other.code).toBe(2);
  expect(onlyJson(other).error['issues']).toMatchObject([{ path: 'id', message: expect.stringContaining(id) }]);
  await stack.videos.cancel(id);
});

test('--dry-run says what would happen and does nothing', async () => {
  const plan = async (prompt: string, ...flags: string[]) =>
    onlyJson(await here(...generate(prompt, '--dry-run', '--json', ...flags)));
  expect(await plan('never made', '--duration', '10')).toMatchObject({
    action: 'buy',
    worker: true,
    billed: { seconds: 10, resolution: '720P', audio: false },
    price: null,
  });
  expect(await plan('a boat drifts')).toMatchObject({ action: 'cache', billed: null, cached: { duration: 4 } });
  const { id } = await stack.videos.start({ ...stack.request('in the making'), duration: 15 });
  expect(await plan('in the making', '--duration', '15', '--fps', '24')).toMatchObject({ action: 'join', id });
  const web = ['generate', '--prompt', 'x', '--image', 'https://example.com/a.png', '--dry-run'];
  expect((await here(...web)).stdout).toMatch(/^action {4}let the worker fetch the image[\s\S]*Nothing was sent\.\n$/);
  expect(await runsOf('never made')).toEqual([]);
  await stack.videos.cancel(id);
  // By prompt: runs of earlier tests may still be submitting.
  expect(tasksOf('never made')).toEqual([]);
  expect(tasksOf('a boat drifts')).toHaveLength(1);
  expect(tasksOf('in the making').length).toBeLessThanOrEqual(1);
});

test('an unknown id exits with 1 and says so', async () => {
  for (const name of ['status', 'watch', 'cancel']) {
    const end = await here(name, 'video/nowhere', '--json');
    expect(end.code).toBe(1);
    expect(onlyJson(end).error).toMatchObject({
      type: 'RunNotFound',
      message: expect.stringContaining('video/nowhere'),
    });
  }
});

test('what is no generation is neither watched nor cancelled, and status says what it is', async () => {
  const id = slotsWorkflowId('emulator', 'default');
  expect(onlyJson(await here('watch', id, '--json')).error).toMatchObject({ type: 'NotWatched' });
  expect(onlyJson(await here('cancel', id, '--json')).error).toMatchObject({ type: 'NotCancelled' });
  expect((await here('status', id)).stdout).toMatch(
    /^kind +the slots of an account$[\s\S]*^next +See "wan-video slots"/m,
  );
});

test('setup may be repeated, and a namespace that does not exist is named', async () => {
  const again = await here('setup', '--json');
  expect(again.code).toBe(0);
  expect(onlyJson(again)).toMatchObject({ registered: [] });
  const wrong = await command(['setup'], { env: { ...env, TEMPORAL_NAMESPACE: 'nowhere' } });
  expect(wrong).toMatchObject({ code: 3, stderr: expect.stringMatching(/namespace nowhere\n.*TEMPORAL_NAMESPACE/) });
});

test('a reader that goes away is no fault', async () => {
  const running = startCommand(['list'], env);
  running.process.stdout?.destroy();
  expect((await running.ended).code).toBe(0);
});

test('the emulator says where it is, and a port that is taken exits with 3', async () => {
  const first = startCommand(['emulator', '--speed', '50'], {});
  const baseUrl = (await first.said(/http:\S+/, 'stdout')) as string;
  expect((await fetch(`${new URL(baseUrl).origin}/_emulator/state`)).status).toBe(200);
  const second = await processOf(['emulator', '--port', new URL(baseUrl).port], {});
  expect(second).toMatchObject({ code: 3, stderr: expect.stringContaining('is in use') });
  first.process.kill('SIGTERM');
  expect((await first.ended).code).toBe(0);
});

test('help needs neither Temporal nor the store, so it is there at once', async () => {
  const script = `
    import { createRequire } from 'node:module';
    await import(process.argv[1]);
    const loaded = Object.keys(createRequire(import.meta.url).cache);
    process.stdout.write(JSON.stringify(loaded.filter((file) => !file.includes('/commander/'))));`;
  const { execFile } = await import('node:child_process');
  const loaded = await new Promise<string>((resolve, reject) => {
    const args = ['--input-type=module', '-e', script, join(ROOT, 'dist', 'src', 'cli', 'program.js')];
    execFile(process.execPath, args, { cwd: ROOT }, (error, stdout) =>
      error === null ? resolve(stdout) : reject(error),
    );
  });
  expect(JSON.parse(loaded)).toEqual([]);
});

test('the worker ends with 0 on SIGTERM, and no output of any command held the key', async () => {
  worker.process.kill('SIGTERM');
  expect((await worker.ended).code).toBe(0);
  expect(everyOutput.length).toBeGreaterThan(50);
  expect(everyOutput.join('\n')).not.toContain(TEST_KEY);
});
