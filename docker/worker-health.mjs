// Health of the worker in this container: exit code 0 when Temporal sees it poll its queue. It asks Temporal, because a process that
// is there but cannot reach the server, or has stopped to poll, does no work.
import { homedir, hostname } from 'node:os';
import { connectClient, temporalFromEnv } from '../dist/src/client/connect.js';
import { loadConfig } from '../dist/src/config/config.js';

/** A poll lasts a minute on the server and is noted when it begins; twice that is a worker that stopped. */
const SEEN_WITHIN_MS = 120_000;

const { taskQueues } = loadConfig(process.env, { cwd: process.cwd(), homeDir: homedir() });
const client = await connectClient(temporalFromEnv());
const { pollers } = await client.workflowService.describeTaskQueue({
  namespace: client.options.namespace,
  taskQueue: { name: taskQueues.generate },
  taskQueueType: 2, // TASK_QUEUE_TYPE_ACTIVITY: this worker's activities are where the work is
});
// Temporal's workers call themselves pid@host, and a container's host name is its own.
const seenMs = (pollers ?? [])
  .filter(({ identity }) => identity?.endsWith(`@${hostname()}`))
  .map(({ lastAccessTime }) => Number(lastAccessTime?.seconds ?? 0) * 1000);
await client.connection.close();
const quietMs = Date.now() - Math.max(0, ...seenMs);
if (seenMs.length === 0 || quietMs > SEEN_WITHIN_MS) {
  console.error(
    seenMs.length === 0
      ? `No poller of ${hostname()} on ${taskQueues.generate}.`
      : `Last poll ${Math.round(quietMs / 1000)} s ago.`,
  );
  process.exitCode = 1;
}
