import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '../../src/async/clock.js';
import { DashScopeClient } from '../../src/dashscope/client.js';
import { type Emulator, startEmulator } from '../../src/emulator/index.js';
import { QueryBudget } from '../../src/polling/query-budget.js';
import { createTaskWatcher } from '../../src/polling/task-watcher.js';
import { MemoryRenderTimes } from './polling-simulation.js';

let emulator: Emulator;
let client: DashScopeClient;

beforeAll(async () => {
  emulator = await startEmulator({ settings: { render_seconds: 1.5, jitter: 0 } });
  client = new DashScopeClient({ baseUrl: emulator.baseUrl, apiKey: () => 'sk-test' });
});

afterAll(async () => {
  await client.close();
  await emulator.close();
});

test('five tasks of a real server are listed together, queried at their ends, and learned from', async () => {
  const kind = { resolution: '720P', seconds: 4, audio: false } as const;
  const stats = new MemoryRenderTimes();
  const watcher = createTaskWatcher({
    query: (taskId, options) => client.queryTask(taskId, options),
    list: (query) => client.listTasks(query),
    budget: new QueryBudget({ perSecond: 10, clock: systemClock, random: () => 0 }),
    clock: systemClock,
    random: () => 0,
    stats,
  });
  const ends = await Promise.all(
    Array.from({ length: 5 }, async () => {
      const task = await client.createTask({
        model: 'wan2.6-i2v-flash',
        input: { prompt: 'p', img_url: 'https://images.example/first.png' },
        parameters: { resolution: '720P', duration: 4, audio: false },
      });
      if (task.kind !== 'accepted') throw task.error;
      const watched = { taskId: task.taskId, ...kind, submittedAtMs: Date.now() };
      return watcher.watch(watched, { signal: new AbortController().signal });
    }),
  );
  expect(ends.map(({ status, videoUrl }) => [status, typeof videoUrl])).toEqual(Array(5).fill(['SUCCEEDED', 'string']));
  const { lists, queries } = emulator.state();
  expect(lists).toBeGreaterThan(0);
  expect(queries).toBeLessThanOrEqual(10);
  expect(stats.samples.map(({ renderMs }) => renderMs)).toEqual(Array(5).fill(1_500));
});
