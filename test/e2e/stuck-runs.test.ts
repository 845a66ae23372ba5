import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { checkRuns } from '../../src/cli/doctor/check-runs.js';
import { connectClient } from '../../src/client/connect.js';
import { loadPayloadCodec } from '../../src/client/payload-codec.js';
import { WanVideoClient } from '../../src/client/video-client.js';
import { statusText } from '../../src/text/status.js';
import { ROOT, type Stack, startStack } from '../support/stack.js';

const CODEC = join(ROOT, 'docs', 'examples', 'encrypting-codec.mjs');
let folder: string;
let stack: Stack;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wan-video-stuck-'));
  await writeFile(join(folder, 'codec.key'), randomBytes(32).toString('base64'));
  process.env['WAN_VIDEO_CODEC_KEYS'] = join(folder, 'codec.key');
  stack = await startStack({ settings: { speed: 40 } });
});
afterAll(async () => {
  await stack?.close();
  delete process.env['WAN_VIDEO_CODEC_KEYS'];
  await rm(folder, { recursive: true, force: true });
});

test('a run that was started with a codec that the worker lacks is reported with the cure', async () => {
  const client = await connectClient({ ...stack.temporal, payloadCodec: await loadPayloadCodec(CODEC, ROOT) });
  onTestFinished(() => client.connection.close());
  const videos = new WanVideoClient({ client });
  const { id } = await videos.start(stack.request(`encrypted ${randomUUID()}`));
  const problem = async () => (await videos.describe(id, { progress: false })).problem;
  await expect
    .poll(problem, { timeout: 30_000 })
    .toMatch(
      /^its workflow task fails again and again \(attempt \d+\): Unknown encoding: binary\/encrypted\. The workers/,
    );
  const text = statusText(await videos.describe(id, { progress: false }), Date.now());
  expect(text).toContain('give each of them its payload codec (WAN_VIDEO_PAYLOAD_CODEC) with every key');
  // A doctor without the codec, too, cannot read the run and still says what is wrong with it.
  await expect(checkRuns(stack.client, Date.now() + 10_000)).rejects.toThrow(/1 of \d+ running runs are stuck.*codec/);
});
