import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { REQUEST_SLOT_SIGNAL, SLOT_SIGNAL, slotsWorkflowId, WorkflowType } from '../../src/contract/names.js';
import { videoKey } from '../../src/storage/keys.js';
import { type EmulatorProcess, startEmulatorProcess } from '../support/emulator-process.js';
import { jsonPayload, sendSignal } from '../support/hostile-messages.js';
import { HOSTILE_REQUESTS } from '../support/hostile-requests.js';
import { startWorkerProcess, type WorkerProcess } from '../support/processes.js';
import { QUICK_LEDGER } from '../support/quick-times.js';
import { servedSha256, sha256Of } from '../support/served-video.js';
import { type Stack, startStack } from '../support/stack.js';

// A worker whose heap is too small for what is sent to it, restarted by a supervisor when it ends.

/** A noise picture of these sides has some 15 MB. */
const SIDES = { width: 2_400, height: 2_000 };
const RESULT_BYTES = 20_000_000;
/** How long a run takes at most, through restarts of its worker. */
const END_MS = 600_000;

let stack: Stack;
let emulator: EmulatorProcess;
const images = createServer();
let imageUrl: string;
beforeAll(async () => {
  stack = await startStack({ worker: false });
  emulator = await startEmulatorProcess(join(stack.outputDir, 'emulator.json'), {
    render_seconds: 2,
    slots: 60,
    result_min_bytes: RESULT_BYTES,
  });
  const noise = { raw: { ...SIDES, channels: 3 as const } };
  const picture = await sharp(randomBytes(SIDES.width * SIDES.height * 3), noise)
    .png({ compressionLevel: 0 })
    .toBuffer();
  images.on('request', (_, response) => response.end(picture)).listen(0, '127.0.0.1');
  await once(images, 'listening');
  imageUrl = `http://127.0.0.1:${(images.address() as AddressInfo).port}/noise.png`;
}, 120_000);
afterAll(async () => {
  images.closeAllConnections();
  images.close();
  await emulator?.kill();
  await stack?.close();
});

/** Keeps a worker running as a container's restart policy does. */
class Supervisor {
  readonly ends: string[] = [];
  #worker: WorkerProcess | undefined;
  #isOver = false;
  readonly #running: Promise<void>;

  constructor(heapMegabytes: number) {
    this.#running = this.#run(heapMegabytes);
  }

  async #run(heapMegabytes: number): Promise<void> {
    const env = {
      DASHSCOPE_HTTP_BASE_URL: emulator.baseUrl,
      WAN_VIDEO_ALLOW_PRIVATE_URLS: '127.0.0.1',
      WAN_VIDEO_MAX_RUNNING: '60',
      NODE_OPTIONS: `--max-old-space-size=${heapMegabytes}`,
    };
    while (!this.#isOver) {
      try {
        // V8 writes its last words to stderr.
        const times = { ...QUICK_LEDGER, heartbeatTimeoutMs: 5_000, heartbeatThrottleMs: 2_000 };
        this.#worker = await startWorkerProcess(stack, times, { env, onLog: () => undefined });
        const [code, signal] = await once(this.#worker.process, 'close');
        if (!this.#isOver) this.ends.push(String(signal ?? code));
      } catch (error) {
        this.ends.push(String(error));
      }
    }
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await this.#worker?.end('SIGKILL');
    await this.#running;
  }
}

test.each([
  ['too small', 60],
  ['small', 256],
])(
  'a worker whose heap is %s (%i MB) loses and doubles nothing under many big inputs',
  async (_, heapMegabytes) => {
    const supervisor = new Supervisor(heapMegabytes);
    const name = `${heapMegabytes} MB ${randomUUID()}`;
    const request = (prompt: string, change: object = {}) => ({ ...stack.request(`${name} ${prompt}`), ...change });
    try {
      const own = Array.from({ length: 24 }, (_, n) =>
        stack.videos.start(request(`own ${n}`, n % 3 === 0 ? { reference_image: `${imageUrl}?${n}` } : {})),
      );
      const taskQueue = stack.config.taskQueues.generate;
      const hostile = Array.from({ length: 120 }, (_, n) => {
        const { change } = HOSTILE_REQUESTS[n % HOSTILE_REQUESTS.length] ?? { change: (valid: object) => valid };
        const big = n % 2 === 0 ? { ...request(`${n}`), prompt: 'x'.repeat(1_900_000) } : change(request(`${n}`));
        return stack.client.workflow.start(WorkflowType.videoGenerate, {
          workflowId: `hostile/${randomUUID()}`,
          taskQueue,
          args: [big],
        });
      });
      const runs = await Promise.all(own);
      const slots = slotsWorkflowId(stack.config.provider.providerId, stack.config.provider.account);
      const text = (length: number) => [jsonPayload(JSON.stringify({ reason: 'x'.repeat(length) }))];
      for (let n = 0; n < 20; n += 1) {
        await sendSignal(stack.client, slots, REQUEST_SLOT_SIGNAL, text(1_000_000)).catch(() => undefined);
        await Promise.all(
          runs.map(({ id }) => sendSignal(stack.client, id, SLOT_SIGNAL, text(200_000)).catch(() => undefined)),
        );
      }
      const failures = await Promise.all(
        (await Promise.all(hostile)).map((run) => run.result().catch((error: { cause?: { type?: string } }) => error)),
      );
      for (const failure of failures) expect(failure).toMatchObject({ cause: { type: 'InvalidRequest' } });
      for (const { id } of runs) {
        const { task_id, sha256, bytes } = await stack.videos.result(id);
        expect(bytes).toBeGreaterThanOrEqual(RESULT_BYTES);
        expect(sha256).toBe(await servedSha256(emulator, task_id));
        expect(await sha256Of(await stack.store.get(videoKey(task_id)))).toBe(sha256);
      }
      const billed = (await emulator.state()).tasks.filter(({ prompt }) => prompt.startsWith(name));
      expect(billed.filter(({ billed_seconds }) => billed_seconds > 0)).toHaveLength(runs.length);
      // Whether the small heap is exceeded depends on what comes at one moment; the large one never is.
      if (heapMegabytes >= 100) expect(supervisor.ends).toEqual([]);
    } finally {
      process.stdout.write(`${JSON.stringify({ heapMegabytes, ends: supervisor.ends })}\n`);
      await supervisor.end();
    }
  },
  END_MS,
);
