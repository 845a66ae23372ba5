import { MockActivityEnvironment } from '@temporalio/testing';
import { expect, onTestFinished, test, vi } from 'vitest';
import { withSignal } from '../../activities/with-signal.js';
import { deferred } from '../support/deferred.js';

/** Heartbeats of a step that runs for so long. */
async function beatsIn(seconds: number, heartbeatTimeoutMs: number): Promise<number> {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const environment = new MockActivityEnvironment({ heartbeatTimeoutMs });
  let beats = 0;
  environment.on('heartbeat', () => {
    beats += 1;
  });
  const end = deferred<void>();
  const running = environment.run(() => withSignal(() => end.promise));
  await vi.advanceTimersByTimeAsync(seconds * 1_000);
  end.resolve();
  await running;
  return beats;
}

test('a step heartbeats after a second, then six times in its heartbeat timeout, and not after its end', async () => {
  expect(await beatsIn(0.9, 30_000)).toBe(0);
  expect(await beatsIn(1.1, 30_000)).toBe(1);
  expect(await beatsIn(61.1, 30_000)).toBe(13);
  expect(await beatsIn(3.1, 3_000)).toBe(6);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(vi.getTimerCount()).toBe(0);
});
