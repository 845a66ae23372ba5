import type { BatchRow } from '../batch/batch-files.js';

/** Width and height of a chart in its own units; the page scales it. */
const [WIDTH, HEIGHT] = [1000, 100];

/** When a line's task was at the provider, in milliseconds since the epoch. */
interface TaskTime {
  readonly startedMs: number;
  readonly endedMs: number;
  /** From the run's start until the task's, and the rendering, in seconds. */
  readonly waited: number;
  readonly rendered: number;
}

/** The tasks of the lines that bought a video, in the order of their ends. */
function taskTimes(rows: readonly BatchRow[]): TaskTime[] {
  return rows
    .flatMap(({ outcome, timings, started_at_ms, ended_at_ms, same_as }) => {
      if (outcome !== 'generated' || same_as !== null || started_at_ms === null || ended_at_ms === null) return [];
      if (timings?.rendering == null) return [];
      const rendered = timings.rendering;
      const endedMs = ended_at_ms - ((timings.archived ?? 0) + (timings.detected ?? 0)) * 1000;
      const startedMs = endedMs - (rendered + (timings.queued ?? 0)) * 1000;
      const waited = Math.max(0, endedMs - rendered * 1000 - started_at_ms) / 1000;
      return [{ startedMs, endedMs, waited, rendered }];
    })
    .toSorted((a, b) => a.endedMs - b.endedMs);
}

/** A drawing of how many tasks of the batch the provider had at a time; empty when none has ended. */
export function tasksOverTime(rows: readonly BatchRow[]): string {
  const changes = taskTimes(rows)
    .flatMap(({ startedMs, endedMs }) => [
      { atMs: startedMs, by: 1 },
      { atMs: endedMs, by: -1 },
    ])
    .toSorted((a, b) => a.atMs - b.atMs || a.by - b.by);
  const [first, last] = [changes[0], changes.at(-1)];
  if (first === undefined || last === undefined) return '';
  const span = Math.max(1, last.atMs - first.atMs);
  let count = 0;
  const steps = changes.map(({ atMs, by }) => {
    count += by;
    return { x: ((atMs - first.atMs) / span) * WIDTH, count };
  });
  const most = Math.max(...steps.map((step) => step.count));
  const y = (tasks: number) => HEIGHT * (1 - tasks / most);
  const path = steps.map((step) => `H${short(step.x)}V${short(y(step.count))}`).join('');
  return chart(
    `Tasks of this batch at the provider at a time, ${most} at most`,
    [hour(first.atMs), hour(last.atMs)],
    `<path d="M0 ${short(y(0))}${path}" fill="none" stroke="var(--render)" stroke-width="2" ` +
      'vector-effect="non-scaling-stroke"/>',
  );
}

/** A drawing of how long each line waited and rendered, in the order of the ends; empty when none has ended. */
export function renderTimes(rows: readonly BatchRow[]): string {
  const times = taskTimes(rows);
  if (times.length === 0) return '';
  const longest = Math.max(...times.map(({ waited, rendered }) => waited + rendered), 0.001);
  const width = WIDTH / times.length;
  const bar = (nth: number, from: number, seconds: number, color: string) => {
    const height = (seconds / longest) * HEIGHT;
    const y = HEIGHT - (from / longest) * HEIGHT - height;
    const [left, top, wide, high] = [nth * width, y, width, height].map(short);
    return `<rect x="${left}" y="${top}" width="${wide}" height="${high}" fill="var(${color})"/>`;
  };
  const bars = times.map(
    ({ waited, rendered }, nth) => bar(nth, 0, rendered, '--render') + bar(nth, rendered, waited, '--wait'),
  );
  return chart(
    `Each video's rendering (blue) and waiting before it (grey), ${Math.round(longest)} s at most`,
    ['first end', 'last end'],
    bars.join(''),
  );
}

const chart = (caption: string, [from, to]: readonly [string, string], inside: string): string =>
  `<figure><figcaption>${caption}</figcaption><svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" ` +
  `aria-hidden="true">${inside}</svg><p class="axis"><span>${from}</span><span>${to}</span></p></figure>`;

const short = (value: number): string => String(Math.round(value * 100) / 100);

const hour = (ms: number): string => `${new Date(ms).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
