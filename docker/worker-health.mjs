// Health of the worker in this container: exit code 0 when it can work. With WAN_VIDEO_METRICS the worker itself says
// so, on /readyz; else Temporal is asked whether it sees the polls, because a process that is there but cannot reach
// the server, or has stopped to poll, does no work.
import { homedir, hostname } from 'node:os';
import { connectClient } from '../dist/src/client/connect.js';
import { temporalFromEnv } from '../dist/src/client/temporal-target.js';
import { loadConfig } from '../dist/src/config/config.js';

/** A poll lasts a minute on the server and is noted when it begins; twice that is a worker that stopped. */
const SEEN_WITHIN_MS = 120_000;

/** Below the container's 10 s; the worker gives Temporal 2 s to answer. */
const READY_WITHIN_MS = 8_000;

const { taskQueues, metrics } = loadConfig(process.env, { cwd: process.cwd(), homeDir: homedir() });
const fault = metrics === undefined ? await unseenByTemporal() : await notReady(metrics);
if (fault !== undefined) {
  console.error(fault);
  process.exitCode = 1;
}

async function notReady({ host, port }) {
  // Who listens on every address is asked on loopback.
  const at = { '0.0.0.0': '127.0.0.1', '::': '[::1]' }[host] ?? (host.includes(':') ? `[${host}]` : host);
  try {
    const response = await fetch(`http://${at}:${port}/readyz`, { signal: AbortSignal.timeout(READY_WITHIN_MS) });
    return response.ok ? undefined : `Not ready: ${(await response.text()).trim()}`;
  } catch (error) {
    return `Nothing answers at ${at}:${port}: ${error.cause?.message ?? error.message}`;
  }
}

async function unseenByTemporal() {
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
  if (seenMs.length === 0) return `No poller of ${hostname()} on ${taskQueues.generate}.`;
  return quietMs > SEEN_WITHIN_MS ? `Last poll ${Math.round(quietMs / 1000)} s ago.` : undefined;
}
