// This product's client and watcher, without Temporal around them: who is asked, and when.
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '../dist/src/async/clock.js';
import { DashScopeClient } from '../dist/src/dashscope/client.js';
import { forecastOf, guessForecast } from '../dist/src/polling/forecast.js';
import { QueryBudget } from '../dist/src/polling/query-budget.js';
import { createTaskWatcher } from '../dist/src/polling/task-watcher.js';
import { IMAGE, onPlan, PROMPT } from './plan.mjs';

const KIND = { resolution: '720P', seconds: 5, audio: false };
const fleets = new Map();

onPlan(async ({ origin, key, delayMs, samples, isFleet }) => {
  const { client, watcher } = isFleet ? sharedBy(key, origin, samples) : clientOf(key, origin, samples);
  await sleep(delayMs);
  const submitted = await client.createTask({
    model: 'wan2.6-i2v-flash',
    input: { prompt: PROMPT, img_url: IMAGE },
    parameters: { resolution: '720P', duration: KIND.seconds, audio: false },
  });
  if (submitted.kind !== 'accepted') throw submitted.error;
  const task = { taskId: submitted.taskId, ...KIND, submittedAtMs: Date.now() };
  // As the steps do: until it runs, and then to its end.
  const { signal } = new AbortController();
  const seen = await watcher.watch(task, { signal, shouldStop: ({ status }) => status === 'RUNNING' });
  if (seen.status === 'RUNNING') await watcher.watch(task, { signal });
});

/** Those in flight together are one worker: one client, one watcher, one budget. */
function sharedBy(key, origin, samples) {
  const fleet = fleets.get(key) ?? clientOf(key, origin, samples);
  fleets.set(key, fleet);
  return fleet;
}

function clientOf(key, origin, samples) {
  const client = new DashScopeClient({ baseUrl: `${origin}/api/v1`, apiKey: () => key });
  const watcher = createTaskWatcher({
    query: (taskId, options) => client.queryTask(taskId, options),
    list: (query) => client.listTasks(query),
    budget: new QueryBudget({ perSecond: 10, clock: systemClock, random: Math.random }),
    clock: systemClock,
    random: Math.random,
    // What was learned is part of the cell: a lone run must not teach the next one.
    stats: { forecast: (kind) => forecastOf(samples) ?? guessForecast(kind, []), learn: () => {} },
  });
  return { client, watcher };
}
