import { readFileSync } from 'node:fs';

export const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];

/** CPU time that a process has used, in milliseconds; the kernel counts in hundredths of a second. */
export function cpuMsOf({ pid }) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** What one client did in one cell, from the recorder's log; times in milliseconds. */
export function figuresOf(log) {
  const tasks = new Map();
  const asked = log.filter(({ kind }) => kind === 'query' || kind === 'list');
  for (const { kind, taskId, state, startedAtMs, endedAtMs, shownAtMs } of log) {
    if (kind !== 'query' || state !== 'SUCCEEDED' || tasks.has(taskId)) continue;
    tasks.set(taskId, { delayMs: shownAtMs - endedAtMs, renderMs: endedAtMs - startedAtMs, endedAtMs });
  }
  const seen = [...tasks.values()];
  const delays = seen.map(({ delayMs }) => delayMs).sort((a, b) => a - b);
  return {
    submitted: log.filter(({ kind, status }) => kind === 'submit' && status === 200).length,
    noticed: seen.length,
    requests: asked.length / seen.length,
    refused: asked.filter(({ status }) => status === 429).length / asked.length,
    meanMs: delays.reduce((sum, delay) => sum + delay, 0) / delays.length,
    p95Ms: delays[Math.floor(0.95 * (delays.length - 1))],
    busiestSecond: busiestSecond(asked.map(({ atMs }) => atMs)),
    samples: seen.map(({ renderMs, endedAtMs }) => ({ renderMs, endedAtMs })).sort((a, b) => a.endedAtMs - b.endedAtMs),
  };
}

/** Most requests within any window of one second. */
export function busiestSecond(times) {
  const sorted = times.toSorted((a, b) => a - b);
  let most = 0;
  let first = 0;
  for (const [index, atMs] of sorted.entries()) {
    while (sorted[first] <= atMs - 1000) first += 1;
    most = Math.max(most, index - first + 1);
  }
  return most;
}

/**
 * What is promised of this product at 180 s ± 5 %: `rows` as the bench prints them, `ratios` to the other clients. A
 * cell that was not run is not judged.
 */
export function bounds(rows, ratios) {
  const cell = '180 s ± 5 %';
  const judged = [];
  const judge = (what, value, most) => judged.push({ what: `${cell}, ${what}`, value, most, held: value <= most });
  for (const row of rows.filter(({ client, cell: { name } }) => client.learns && name === cell)) {
    const { state, requests, meanMs, p95Ms, refused, busiestSecond: busiest, noticed, plan } = row;
    if (state === 'learned') {
      judge('learned: requests', requests, 12);
      judge('learned: mean delay in seconds', meanMs / 1000, 1);
    }
    if (state.includes('in flight')) {
      judge(`${state}: requests`, requests, 3);
      judge(`${state}: 95 % of the delays in seconds`, p95Ms / 1000, 2);
      // The shipped WAN_VIDEO_QUERY_RATE.
      judge(`${state}: requests in any second`, busiest, 10);
      judge(`${state}: answered 429`, refused, 0);
    }
    judge(`${state}: ends not noticed`, plan.length - noticed, 0);
  }
  for (const { cell: name, state, against, requests, delay } of ratios) {
    if (name !== cell || state !== 'cold' || against !== 'official Python SDK') continue;
    judge('cold: requests in proportion to the official SDK', requests, 1.1);
    judge('cold: delay in proportion to the official SDK', delay, 1.5);
  }
  return judged;
}
