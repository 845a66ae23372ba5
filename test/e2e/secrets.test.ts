import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
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
