import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectClient } from '../../src/client/connect.js';
import { loadPayloadCodec } from '../../src/client/payload-codec.js';
import { WanVideoClient } from '../../src/client/video-client.js';
import { command } from '../support/command.js';
import { ROOT, type Stack, startStack } from '../support/stack.js';

const CODEC = join(ROOT, 'docs', 'examples', 'encrypting-codec.mjs');
/** Words that a caller wrote, each found nowhere else. */
const WORDS = {
  prompt: 'a-heron-over-the-weir',
  negative: 'no-umbrellas-please',
  label: 'client-of-the-third-floor',
  labelName: 'innercircle',
  reason: 'the-director-changed-her-mind',
  comment: 'take-it-from-the-left',
} as const;

let folder: string;
let stack: Stack;
let env: Record<string, string>;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wan-video-codec-'));
  await writeFile(join(folder, 'codec.key'), randomBytes(32).toString('base64'));
  process.env['WAN_VIDEO_CODEC_KEYS'] = join(folder, 'codec.key');
  stack = await startStack({ settings: { speed: 40 }, payloadCodec: await loadPayloadCodec(CODEC, ROOT) });
  env = { ...stack.env, DASHSCOPE_API_KEY: 'sk-any', WAN_VIDEO_PAYLOAD_CODEC: CODEC };
});
afterAll(async () => {
  await stack?.close();
  delete process.env['WAN_VIDEO_CODEC_KEYS'];
  await rm(folder, { recursive: true, force: true });
});

const request = (more: object = {}) => ({
  ...stack.request(`${WORDS.prompt} ${randomUUID()}`),
  negative_prompt: WORDS.negative,
  labels: { [WORDS.labelName]: WORDS.label },
  tenant: 'tenant-in-the-open',
  ...more,
});

/** Every run in the namespace: its history, description, memo and attributes, all bytes decoded, as one text. */
async function everythingInTemporal(): Promise<string> {
  const texts: string[] = [];
  for await (const { workflowId, runId, raw } of stack.client.workflow.list()) {
    const handle = stack.client.workflow.getHandle(workflowId, runId);
    const { raw: described } = await handle.describe();
    texts.push(historyToJSON(await handle.fetchHistory()), JSON.stringify(raw), JSON.stringify(described));
  }
  const text = texts.join('\n');
  // Payloads are in base64 in JSON, and in lists of numbers where nobody has converted them.
  const decoded = text.replace(/"([A-Za-z0-9+/]{8,}={0,2})"/g, (_all, data: string) =>
    Buffer.from(data, 'base64').toString('latin1'),
  );
  const numbers = text.replace(/\{"type":"Buffer","data":\[([\d,]*)\]\}/g, (_all, list: string) =>
    Buffer.from(list.split(',').map(Number)).toString('latin1'),
  );
  return `${text}\n${decoded}\n${numbers}`;
}

function expectNoWordIn(text: string): void {
  const image = stack.image.slice('asset:'.length);
  const words = [...Object.values(WORDS), image, 'references/'];
  expect(words.filter((word) => text.includes(word))).toEqual([]);
}

test('a generation, a failure, a cancel and a batch leave no word of the caller in Temporal', async () => {
  const done = await stack.videos.generate(request());
  expect(done.source).toBe('generated');

  // A failure whose message quotes the prompt, read as a typed failure through the codec.
  const refused = request();
  const message = `your prompt "${refused.prompt}" is not wanted`;
  stack.emulator.queueFaults({
    on: 'submit',
    fault: 'status',
    status: 400,
    code: 'DataInspectionFailed',
    message,
    match: refused.prompt,
  });
  const failing = await stack.videos.start(refused);
  await expect(stack.videos.result(failing.id)).rejects.toMatchObject({
    error: { code: 'DataInspectionFailed', message: expect.stringContaining(WORDS.prompt) },
  });

  // The progress query and a signal with a reason; the salvage goes on.
  stack.emulator.changeSettings({ render_seconds: 100 });
  const { id } = await stack.videos.start(request());
  await expect
    .poll(async () => (await stack.videos.progress(id)).stage, { timeout: 20_000, interval: 100 })
    .toBe('rendering');
  expectNoWordIn(await everythingInTemporal());
  // What the Web UI asks a worker for: encoded as well, so it needs a codec server to show it.
  const { queryResult } = await stack.client.workflowService.queryWorkflow({
    namespace: 'default',
    execution: { workflowId: id },
    query: { queryType: '__temporal_workflow_metadata' },
  });
  const [details] = queryResult?.payloads ?? [];
  expect(Buffer.from(details?.metadata?.['encoding'] ?? []).toString()).toBe('binary/encrypted');
  await stack.videos.cancel(id, WORDS.reason);
  await expect(stack.videos.result(id)).rejects.toMatchObject({ cancelled: true });
  expect((await stack.videos.progress(id)).cancel?.reason).toBe(WORDS.reason);

  const lines = [1, 2, 3].map((n) => ({ ...request(), item_id: `line-${n}`, comment: WORDS.comment }));
  await writeFile(join(folder, 'b.jsonl'), lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  const batch = await command(['batch', 'start', join(folder, 'b.jsonl'), '--id', 'sealed', '--wait', '--json'], {
    env,
  });
  expect([batch.code, batch.stderr]).toEqual([0, expect.any(String)]);
  const report = JSON.parse((await command(['batch', 'report', 'sealed', '--json'], { env })).stdout);
  expect(report.items.map(({ outcome }: { outcome: string }) => outcome)).toEqual([
    'generated',
    'generated',
    'generated',
  ]);

  const all = await everythingInTemporal();
  for (const open of ['tenant-in-the-open', 'batch/sealed/line-1', done.task_id, 'Encoded failure'])
    expect(all).toContain(open); // what ids and attributes show, as docs/deploy.md says
  expectNoWordIn(all);
});

test('the command with the codec reads and steers what it encodes; lists by label are refused by the reason', async () => {
  const { id } = await stack.videos.start(request({ cache: 'off' }));
  const status = JSON.parse((await command(['status', id, '--json'], { env })).stdout);
  expect(status).toMatchObject({ status: 'running' });
  await command(['cancel', id, '--reason', WORDS.reason], { env });
  const list = JSON.parse((await command(['list', '--tenant', 'tenant-in-the-open', '--json'], { env })).stdout);
  expect(list.runs.length).toBeGreaterThan(3);
  expect(list.runs.every(({ labels }: { labels: string[] }) => labels.length === 0)).toBe(true);
  const byLabel = await command(['list', '--label', `${WORDS.labelName}=${WORDS.label}`, '--json'], { env });
  expect([byLabel.code, JSON.parse(byLabel.stdout).error.message]).toEqual([
    2,
    'Runs cannot be listed by label: a payload codec is in use',
  ]);
  const retried = await command(['retry', id, '--json', '--detach'], { env });
  expect(retried.code).toBe(0); // read from the history and started again
});

test('a command without the codec says which setting is missing, and so does one with another key', async () => {
  const { id: ended } = await stack.videos.start(request());
  await stack.videos.result(ended);
  const { id } = await stack.videos.start(request());
  const { WAN_VIDEO_PAYLOAD_CODEC: _, ...without } = env;
  for (const args of [
    ['status', id],
    ['watch', id],
    ['status', ended],
    ['retry', ended],
  ]) {
    const { code, stdout } = await command([...args, '--json'], { env: without });
    expect({ args, code, error: JSON.parse(stdout).error }).toMatchObject({
      args,
      code: 3,
      error: {
        type: 'ConfigurationInvalid',
        message: expect.stringContaining('"binary/encrypted"'),
        next_step: 'Set WAN_VIDEO_PAYLOAD_CODEC to the codec of the workers, with its key.',
      },
    });
  }
  // What a list has comes from search attributes, which no codec encodes.
  const list = JSON.parse((await command(['list', '--json'], { env: without })).stdout);
  expect(list.runs.map((run: { id: string }) => run.id)).toContain(id);
  const plain = await connectClient({ ...stack.temporal, payloadCodec: undefined });
  const videos = new WanVideoClient({ client: plain });
  await expect(videos.progress(id)).rejects.toMatchObject({ type: 'ConfigurationInvalid' });
  await expect(videos.result(id)).rejects.toMatchObject({ type: 'ConfigurationInvalid' });
  await plain.connection.close();

  await writeFile(join(folder, 'other.key'), randomBytes(32).toString('base64'));
  await writeFile(
    join(folder, 'other.mjs'),
    `process.env.WAN_VIDEO_CODEC_KEYS = ${JSON.stringify(join(folder, 'other.key'))};
export const { payloadCodec } = await import(${JSON.stringify(`${CODEC}?other`)});
`,
  );
  const other = await command(['status', id, '--json'], {
    env: { ...env, WAN_VIDEO_PAYLOAD_CODEC: join(folder, 'other.mjs') },
  });
  expect([other.code, JSON.parse(other.stdout).error.message]).toEqual([
    3,
    expect.stringMatching(/^The payload codec .*other\.mjs cannot decode: the key [0-9a-f]{8} is none of/),
  ]);
});

test('what a caller without a codec started plainly is run by workers with one', async () => {
  const plain = await connectClient({ ...stack.temporal, payloadCodec: undefined });
  try {
    const workflowId = `plain/${randomUUID()}`;
    const start = { workflowId, taskQueue: stack.config.taskQueues.generate, args: [request()] };
    await plain.workflow.start('videoGenerate', start);
    expect((await stack.videos.result(workflowId)).source).toBe('generated');
  } finally {
    await plain.connection.close();
  }
});
