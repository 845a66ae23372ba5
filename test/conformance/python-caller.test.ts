import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { VideoFailure } from '../../src/contract/failure.js';
import type { VideoProgress } from '../../src/contract/result.js';
import { findPython, PYTHON_PART } from '../support/python.js';
import { ROOT, type Stack, startStack } from '../support/stack.js';

const EXAMPLE = join(ROOT, 'docs', 'examples', 'start_from_python.py');
const python = await findPython('temporalio');
if (python === undefined) console.warn(`The tests of the Python caller are skipped: ${PYTHON_PART}`);

interface Answer {
  readonly id: string;
  readonly result?: Record<string, unknown>;
  readonly failure?: VideoFailure;
  readonly cancelled?: Record<string, unknown>;
}

describe.skipIf(python === undefined).concurrent('a caller in Python, with plain JSON and no code of ours,', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack({ settings: { speed: 20 } });
  });
  const running = new Set<ChildProcess>();
  afterAll(async () => {
    for (const child of running) child.kill('SIGKILL'); // only where a test gave up on it
    await stack?.close();
  });

  /** Runs the example; `onProgress` sees every answer of the query that it shows. */
  async function example(request: object, onProgress?: (progress: VideoProgress, process: ChildProcess) => void) {
    const child = spawn(python ?? '', [EXAMPLE, JSON.stringify(request)], {
      env: { PATH: process.env['PATH'], TEMPORAL_ADDRESS: stack.env['TEMPORAL_ADDRESS'], NO_PROXY: '127.0.0.1' },
      stdio: 'pipe',
    });
    running.add(child);
    const ended = once(child, 'close').finally(() => running.delete(child));
    const seen: VideoProgress[] = [];
    const errors: string[] = [];
    createInterface({ input: child.stderr }).on('line', (line) => {
      if (!line.startsWith('{')) return void errors.push(line);
      const progress = JSON.parse(line) as VideoProgress;
      seen.push(progress);
      onProgress?.(progress, child);
    });
    const [stdout, [code]] = await Promise.all([text(child.stdout), ended]);
    expect(errors).toEqual([]);
    return { answer: JSON.parse(stdout) as Answer, seen, code: code as number };
  }

  test('starts a run, reads its progress and gets its result', async () => {
    const request = stack.request(`from Python ${randomUUID()}`);
    const { answer, seen, code } = await example(request);
    expect(answer.result).toMatchObject({ source: 'generated', duration: 4, width: 1280, height: 720 });
    expect(answer.result).toEqual(await stack.videos.result(answer.id));
    expect(code).toBe(0);
    // Complete by itself: every field is there at every stage.
    const fields = Object.keys(await stack.videos.progress(answer.id)).sort();
    expect(seen.length).toBeGreaterThan(0);
    for (const progress of seen) {
      expect(Object.keys(progress).sort()).toEqual(fields);
      expect(progress).toMatchObject({ stage: expect.any(String), waiting_for: expect.any(String), attempt: 1 });
    }
  });

  test('cancels with the Update and reads what became of the task', async () => {
    const request = { ...stack.request(`cancelled from Python ${randomUUID()}`), duration: 15 };
    const { answer, code } = await example(request, ({ stage }, child) => {
      if (stage === 'rendering') child.kill('SIGINT');
    });
    expect(answer.cancelled).toMatchObject({ reason: 'Ctrl-C', outcome: expect.stringMatching(/had started/) });
    expect(code).toBe(1);
    const { status } = await stack.client.workflow.getHandle(answer.id).describe();
    expect(status.name).toBe('CANCELLED');
  });

  test('gets a typed failure with every fault of its request', async () => {
    const { answer, code } = await example({ ...stack.request('x'), duration: 99, fps: 'fast' });
    expect(answer.failure).toMatchObject({ type: 'InvalidRequest', billed: false, message: expect.any(String) });
    expect(answer.failure?.issues?.map(({ path }) => path).sort()).toEqual(['duration', 'fps']);
    expect(code).toBe(1);
  });
});
