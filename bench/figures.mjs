/** What one client did in one cell, from the recorder's log; times in milliseconds. */
export function figuresOf(log) {
  const tasks = new Map();
  const asked = log.filter(({ kind }) => kind === 'query' || kind === 'list');
  for (const { kind, taskId, state, startedAtMs, endedAtMs, toldAtMs } of log) {
    if (kind !== 'query' || state !== 'SUCCEEDED' || tasks.has(taskId)) continue;
    tasks.set(taskId, { delayMs: toldAtMs - endedAtMs, renderMs: endedAtMs - startedAtMs, endedAtMs });
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
