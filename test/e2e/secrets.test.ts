import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { historyText } from '../support/history.js';
import { ROOT, type Stack, startStack, TEST_KEY } from '../support/stack.js';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ settings: { speed: 40 }, worker: false });
});
afterAll(() => stack?.close());

/** What must never be read anywhere: the key, a signed link, an upload policy, inline image bytes. */
const SECRETS = [TEST_KEY, 'Signature=', 'OSSAccessKeyId', 'x-oss-', 'base64,/9j/'];

test('the most talkative log of a worker, through refusals and failures, holds no secret', async () => {
  const worker = spawn(process.execPath, [join(ROOT, 'dist', 'src', 'cli', 'main.js'), 'worker'], {
    env: {
      PATH: process.env['PATH'],
      HOME: stack.outputDir,
      ...stack.env,
      DASHSCOPE_API_KEY: TEST_KEY,
      LOG_LEVEL: 'trace',
      LOG_FORMAT: 'json',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let log = '';
  for (const stream of [worker.stdout, worker.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      log += chunk.toString();
    });
  }
  const ended = once(worker, 'exit');
  // Refusals that quote the key and links, as a careless provider might.
  const message = `Invalid API-key ${TEST_KEY} for "https://a.example/x.mp4?Expires=1&OSSAccessKeyId=id&Signature=abc"`;
  const refuse = { fault: 'status', status: 400, code: 'InvalidParameter', message } as const;
  stack.emulator.queueFaults([
    { on: 'submit', ...refuse, match: 'refused with secrets' },
    { on: 'query', fault: 'task-failed', code: 'InvalidParameter', message, match: 'failed with secrets' },
    { on: 'query', fault: 'status', status: 401, code: 'InvalidApiKey', message, match: 'well in the end' },
  ]);
  const ids = ['refused with secrets', 'failed with secrets', 'well in the end'].map((prompt) =>
    stack.videos.start(stack.request(prompt)).then(({ id }) => id),
  );
  const [refused = '', failed = '', well = ''] = await Promise.all(ids);
  const errors = await Promise.all([refused, failed].map((id) => stack.videos.result(id).catch((e: Error) => e)));
  await stack.videos.result(well);
  worker.kill('SIGTERM');
  await ended;

  const histories = await Promise.all([refused, failed, well].map((id) => historyText(stack.client, id)));
  const reported = errors.map((error) => JSON.stringify([(error as Error).message, error]));
  for (const text of [log, ...histories, ...reported]) {
    expect(text.length).toBeGreaterThan(100);
    for (const secret of SECRETS) expect(text).not.toContain(secret);
  }
  expect(log).toContain('Invalid API-key'); // the refusal itself is reported
});

test('a signed audio_url reaches the provider whole, and is kept nowhere but in the input of its run', async () => {
  const worker = await stack.startWorker();
  onTestFinished(() => worker.stop());
  const audio_url = 'https://sounds.example/rain.mp3?version=2&X-Amz-Expires=900&X-Amz-Signature=0badc0de0badc0de';
  const { id } = await stack.videos.start({ ...stack.request('rain on the lake'), audio_url });
  const result = await stack.videos.result(id);
  const task = stack.emulator.state().tasks.find(({ task_id }) => task_id === result.task_id);
  expect(task?.input).toMatchObject({ audio_url });

  const history = await stack.client.workflow.getHandle(id).fetchHistory();
  const [started, ...later] = history.events ?? [];
  expect(
    Buffer.from(started?.workflowExecutionStartedEventAttributes?.input?.payloads?.[0]?.data ?? []).toString(),
  ).toContain('0badc0de');
  const kept = historyToJSON({ events: later }).replace(/"data": ?"([A-Za-z0-9+/=]+)"/g, (_whole, data: string) =>
    Buffer.from(data, 'base64').toString('utf8'),
  );
  expect(kept).toContain('https://sounds.example/rain.mp3?[redacted]');
  const files = await readdir(stack.outputDir, { recursive: true, withFileTypes: true });
  const stored = files.filter((file) => file.isFile() && /\.jsonl?$/.test(file.name));
  const texts = await Promise.all(stored.map(({ parentPath, name }) => readFile(join(parentPath, name), 'utf8')));
  expect(texts.length).toBeGreaterThan(3);
  for (const text of [kept, JSON.stringify(result), ...texts]) expect(text).not.toContain('0badc0de');
});
