// What a run costs apart from the provider: used by the benchmarks that go through Temporal.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';

export const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];

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

/** CPU time that a process has used, in milliseconds; the kernel counts in hundredths of a second. */
export function cpuMsOf({ pid }) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
