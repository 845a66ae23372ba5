import type { Oddity } from '../dashscope/answer-reader.js';
import type { TaskSnapshot } from '../dashscope/wire.js';

/** The clocks of the provider and of our hosts may differ by as much, in milliseconds; more is refused elsewhere. */
const CLOCKS_MS = 600_000;

const TIMES = [
  ['submitTimeMs', 'output.submit_time'],
  ['scheduledTimeMs', 'output.scheduled_time'],
  ['endTimeMs', 'output.end_time'],
] as const;

interface PlausibleTimes {
  /** When we submitted the task, by our clock. */
  readonly submittedAtMs: number;
  readonly nowMs: number;
  readonly onOddity?: ((oddity: Oddity) => void) | undefined;
}

/**
 * A look at a task without the times that cannot be: before our submit, or in the future. Each of them is an oddity,
 * and our own clock decides in its place.
 */
export function withPlausibleTimes(
  seen: TaskSnapshot,
  { submittedAtMs, nowMs, onOddity }: PlausibleTimes,
): TaskSnapshot {
  const odd = TIMES.filter(([name]) => {
    const atMs = seen[name];
    return atMs !== undefined && !(atMs >= submittedAtMs - CLOCKS_MS && atMs <= nowMs + CLOCKS_MS);
  });
  if (odd.length === 0) return seen;
  for (const [, field] of odd) onOddity?.({ operation: 'query', field, found: 'an impossible time' });
  return {
    ...seen,
    ...Object.fromEntries(odd.map(([name]) => [name, undefined])),
    oddities: [...(seen.oddities ?? []), ...odd.map(([, path]) => path)],
  };
}
