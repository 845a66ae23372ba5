/**
 * How busy the provider's slots were, from its own times of the tasks; pure.
 * @param tasks - `start_ms` and `end_ms` of each, milliseconds since the epoch.
 * @returns `share` of the slots' time in which a task rendered, from the first start to the last one (then there is
 * nothing left to begin: the tail), `most` tasks at once, and the time between the two in milliseconds.
 */
export function slotsBusy(tasks, slots) {
  const starts = tasks.map(({ start_ms }) => start_ms);
  const [from, to] = [Math.min(...starts), Math.max(...starts)];
  const rendered = tasks.reduce((sum, { start_ms, end_ms }) => sum + Math.max(0, Math.min(end_ms, to) - start_ms), 0);
  return { share: to > from ? rendered / (slots * (to - from)) : 0, most: mostAtOnce(tasks), spanMs: to - from };
}

/** Most tasks that rendered at the same time. */
export function mostAtOnce(tasks) {
  const edges = tasks.flatMap(({ start_ms, end_ms }) => [
    { at: start_ms, by: 1 },
    { at: end_ms, by: -1 },
  ]);
  let [now, most] = [0, 0];
  for (const { by } of edges.sort((a, b) => a.at - b.at || a.by - b.by)) {
    now += by;
    most = Math.max(most, now);
  }
  return most;
}
