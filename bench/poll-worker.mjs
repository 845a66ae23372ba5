// A worker that does nothing but watch tasks, with the product's own step: node --expose-gc poll-worker.mjs ADDRESS
// BASE_URL KEY STORE. It answers any message with its memory after a collection, in bytes.
import { setTimeout as sleep } from 'node:timers/promises';
import { getHeapSpaceStatistics } from 'node:v8';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { createPollTask } from '../dist/activities/poll-task.js';
import { systemClock } from '../dist/src/async/clock.js';
import { DEFAULT_TIMES } from '../dist/src/config/times.js';
import { DashScopeClient } from '../dist/src/dashscope/client.js';
import { Ledger } from '../dist/src/ledger/ledger.js';
import { guessForecast } from '../dist/src/polling/forecast.js';
import { QueryBudget } from '../dist/src/polling/query-budget.js';
import { createTaskWatcher } from '../dist/src/polling/task-watcher.js';
import { openStore } from '../dist/src/storage/open-store.js';
import { SCOPE } from './plan.mjs';

const [address, baseUrl, key, folder] = process.argv.slice(2);
Runtime.install({ logger: new DefaultLogger('ERROR') });
const client = new DashScopeClient({ baseUrl, apiKey: () => key });
const watcher = createTaskWatcher({
  query: (taskId, options) => client.queryTask(taskId, options),
  list: (query) => client.listTasks(query),
  budget: new QueryBudget({ perSecond: 10, clock: systemClock, random: Math.random }),
  clock: systemClock,
  random: Math.random,
  times: DEFAULT_TIMES.poll,
  stats: { forecast: (kind) => guessForecast(kind, []), learn: () => {} },
});
const ledger = new Ledger({ store: openStore({ kind: 'file', path: folder }), scope: SCOPE, now: Date.now });
// No task ends meanwhile, and each is claimed: the step needs nothing else.
const pollTask = createPollTask({ watcher, ledger, clock: systemClock, times: DEFAULT_TIMES, dashscope: client });
const watching = new Set();
const worker = await Worker.create({
  connection: await NativeConnection.connect({ address }),
  taskQueue: 'bench-poll',
  activities: {
    pollTask: (input) => {
      watching.add(input.task.taskId);
      // A step that ends watches nothing, and would be measured all the same.
      return pollTask(input).finally(() => {
        process.stderr.write(`${input.task.taskId} is not watched any more\n`);
        process.exit(1);
      });
    },
  },
  maxConcurrentActivityTaskExecutions: 500,
  maxHeartbeatThrottleInterval: DEFAULT_TIMES.heartbeatThrottleMs,
  shutdownGraceTime: 0,
});
process.on('message', async (wanted) => {
  while (watching.size < wanted) await sleep(50);
  // Until the first looks at all of them are done and what they needed is free again.
  await sleep(SETTLE_MS);
  for (let times = 0; times < 4; times += 1) {
    globalThis.gc();
    await sleep(250);
  }
  const { rss, heapUsed, external } = process.memoryUsage();
  // V8's nursery grows with the rate of allocation, up to a fixed size, and is not given back: it says nothing of a
  // task.
  const nursery = getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space').physical_space_size;
  process.send({ rss, kept: rss - nursery, heap: heapUsed + external });
});
process.on('disconnect', () => process.exit(0));

/** At ten requests a second, lists answer all of them within a few seconds. */
const SETTLE_MS = 20_000;

const running = worker.run();
process.send('ready');
await running;
