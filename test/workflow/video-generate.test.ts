import { afterAll, beforeAll, expect, test } from 'vitest';
import { VideoRunError } from '../../src/client/video-client.js';
import { type Stack, startStack } from '../support/stack.js';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ speed: 20 });
}, 60_000);
afterAll(() => stack?.close(), 60_000);

const request = (prompt: string) => ({ prompt, duration: 4, fps: 24, size: '1280*720', reference_image: stack.image });

test('one request becomes one archived video whose measures come from the file', async () => {
  const { id } = await stack.videos.start(request('a boat drifts'));
  const result = await stack.videos.result(id);
  expect(result).toMatchObject({
    duration: 4,
    fps: 30,
    width: 1280,
    height: 720,
    has_audio: false,
    source: 'generated',
  });
  expect(result.warnings.map(({ code }) => code)).toEqual(['fps_not_honoured']);
  const { status, historyLength } = await stack.client.workflow.getHandle(id).describe();
  expect(status.name).toBe('COMPLETED');
  expect(historyLength).toBeLessThanOrEqual(50);
  const history = JSON.stringify(await stack.client.workflow.getHandle(id).fetchHistory());
  const text = Buffer.from(history).toString() + Buffer.from(history, 'base64').toString();
  expect(text).not.toContain('sk-test-secret');
});

test('the identical request again is answered from the cache and buys nothing', async () => {
  const before = stack.emulator.state().submits;
  const first = await stack.videos.generate(request('cached twice'));
  const second = await stack.videos.generate(request('cached twice'));
  expect(second).toEqual({ ...first, source: 'cache' });
  expect(stack.emulator.state().submits).toBe(before + 1);
});

test('a submit whose reply is lost ends the run as unknown and is not sent again', async () => {
  const before = stack.emulator.state().submits;
  stack.emulator.faults({ on: 'submit', fault: 'drop-reply', times: 1, match: 'lost reply' });
  const error = await stack.videos.generate(request('lost reply')).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(VideoRunError);
  expect((error as VideoRunError).error['type']).toBe('SubmitOutcomeUnknown');
  expect(stack.emulator.state().submits).toBe(before + 1);
});

test.each(['signal', 'native'])('a run that is cancelled by %s while rendering ends as Cancelled', async (way) => {
  const { id } = await stack.videos.start({ ...request(`cancel by ${way}`), duration: 15 });
  await expect.poll(async () => (await stack.videos.progress(id)).stage, { timeout: 20_000 }).toBe('rendering');
  if (way === 'signal') await stack.videos.cancel(id);
  else await stack.client.workflow.getHandle(id).cancel();
  const error = await stack.videos.result(id).catch((e: unknown) => e);
  expect((error as VideoRunError).cancelled).toBe(true);
  expect((await stack.client.workflow.getHandle(id).describe()).status.name).toBe('CANCELLED');
});
