import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { measureMp4File } from '../../src/media/mp4-measure.js';
import { COMPILE_TIMEOUT_MS } from '../support/compile-timeout.js';
import { hasFfmpeg } from '../support/ffmpeg.js';
import { startWorkerProcess } from '../support/processes.js';
import { type Stack, startStack } from '../support/stack.js';

const ffmpeg = hasFfmpeg('videos that processes conform');
/** A heartbeat comes each second; one that is five seconds late ends the attempt. */
const TIMES = { heartbeatTimeoutMs: 5_000, heartbeatThrottleMs: 1_000, retryInitialMs: 100, retryMaximumMs: 1_000 };

let stack: Stack;
beforeAll(async () => {
  const env = { PATH: process.env['PATH'] ?? '', WAN_VIDEO_MAX_RUNNING: '20' };
  stack = await startStack({ settings: { speed: 100, slots: 20, submit_rate: 0 }, worker: false, env });
});
afterAll(() => stack?.close());

/** Processes of ffmpeg that make a file, below a process. */
function encodersOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const isChild = new RegExp(`\\) \\S ${parent} `).test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
        return isChild && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('faststart');
      } catch {
        return false; // it has just ended
      }
    })
    .map(Number);
}

function isRunning(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

const attemptsOf = async (id: string): Promise<Record<string, number>> => {
  const { events } = await stack.client.workflow.getHandle(id).fetchHistory();
  const names = new Map<string, string>();
  const attempts: Record<string, number> = {};
  for (const event of events ?? []) {
    const { activityTaskScheduledEventAttributes: scheduled, activityTaskStartedEventAttributes: started } = event;
    if (scheduled) names.set(String(event.eventId), scheduled.activityType?.name ?? '');
    if (!started) continue;
    const name = names.get(String(started.scheduledEventId)) ?? '';
    attempts[name] = Math.max(attempts[name] ?? 0, started.attempt ?? 0);
  }
  return attempts;
};

describe.skipIf(!ffmpeg || !existsSync('/proc/self/stat'))('workers as processes, with ffmpeg', () => {
  test('a worker that is killed while it conforms is followed by another one, and its ffmpeg does not stay', async () => {
    const first = await startWorkerProcess(stack, TIMES);
    const request = {
      ...stack.request(`killed ${randomUUID()}`),
      duration: 10,
      // So large that it takes a while.
      conform: { fps: 60, size: '3840*2160', motion: 'blend' },
    } as const;
    const { id } = await stack.videos.start(request);
    const pid = first.process.pid ?? 0;
    await expect.poll(() => encodersOf(pid).length, { timeout: COMPILE_TIMEOUT_MS }).toBe(1);
    const [encoder = 0] = encodersOf(pid);
    await first.end('SIGKILL');
    await expect.poll(() => isRunning(encoder), { timeout: 10_000 }).toBe(false);
    const second = await startWorkerProcess(stack, TIMES);
    onTestFinished(() => void second.end('SIGTERM'));
    const result = await stack.videos.result(id);
    expect(result).toMatchObject({ fps: 60, width: 3840, height: 2160, source: 'generated', warnings: [] });
    expect((await measureMp4File(fileURLToPath(result.video_url))).measured).toMatchObject({ frames: 600, fps: 60 });
    expect(await attemptsOf(id)).toMatchObject({ conformVideo: 2, submitTask: 1 });
    expect(stack.emulator.state().tasks.filter(({ prompt }) => prompt === request.prompt)).toHaveLength(1);
  }, 300_000);

  test('twenty at once share the cores: no heartbeat is late, and no other step waits for them', async () => {
    const worker = await startWorkerProcess(stack, TIMES);
    onTestFinished(() => void worker.end('SIGTERM'));
    let most = 0;
    const watch = setInterval(() => {
      most = Math.max(most, encodersOf(worker.process.pid ?? 0).length);
    }, 200);
    onTestFinished(() => clearInterval(watch));
    const requests = Array.from({ length: 20 }, () => ({
      ...stack.request(`twenty ${randomUUID()}`),
      conform: 'exact' as const,
    }));
    const ids = await Promise.all(requests.map(async (request) => (await stack.videos.start(request)).id));
    const results = await Promise.all(ids.map((id) => stack.videos.result(id)));
    for (const result of results) expect(result).toMatchObject({ fps: 24, duration: 4, warnings: [] });
    expect(most).toBeGreaterThan(0);
    for (const id of ids) {
      // A heartbeat that came too late would have ended its attempt.
      for (const [name, attempt] of Object.entries(await attemptsOf(id))) expect([name, attempt]).toEqual([name, 1]);
    }
    const detected = results.map(({ timings }) => timings.detected ?? 0);
    console.info(`twenty at once: ${most} encoders at most, ends detected within ${Math.max(...detected)} s`);
    expect(Math.max(...detected)).toBeLessThan(5);
  }, 300_000);
});
