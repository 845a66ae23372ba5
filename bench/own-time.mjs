// What a run costs apart from the provider; for the benchmarks that go through Temporal.
import { randomUUID } from 'node:crypto';

/**
 * Rounds before the first one that counts: the render times are learned after a few, the code is compiled after some
 * twenty.
 */
export const WARM_UP = 20;

/** One generation; its workflow id. */
export async function generate({ videos, request }) {
  const { id } = await videos.start(request(randomUUID()));
  await videos.result(id);
  return id;
}

/** One run's own time: without the render, until its end was noticed, and without the transfers. */
export async function measureOwnTime(stack, cell, run) {
  const startedMs = performance.now();
  const id = await run();
  const wallMs = performance.now() - startedMs;
  const log = await stack.log(cell);
  const accepted = log.find(({ kind, status }) => kind === 'submit' && status === 200);
  const { shownAtMs } = log.find(({ kind, state }) => kind === 'query' && state === 'SUCCEEDED');
  const transfers = log.filter(({ kind }) => kind === 'transfer');
  const transferMs = transfers.reduce((sum, { atMs, endMs }) => sum + endMs - atMs, 0);
  return { id, ownMs: wallMs - (shownAtMs - accepted.endMs) - transferMs, shownAtMs, transfers };
}
