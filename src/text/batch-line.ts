import type { BatchStatus } from '../client/batch-start.js';
import { type Prices, totalAmount } from '../config/prices.js';
import { type BatchTotals, namedCounts } from '../contract/batch-totals.js';
import { amountText } from '../contract/budget.js';
import { cleanText } from '../contract/safe-text.js';
import { durationText } from './duration.js';
import { barText, LiveLine, type ProgressStream } from './live-line.js';

/** Between two plain lines that differ in counts only: a log of a long batch stays short. */
const PLAIN_EVERY_MS = 10_000;

/** Shows the progress of a batch: one live line on a terminal, else plain lines without control characters. */
export function batchLine(
  stream: ProgressStream,
  env: Readonly<Record<string, string | undefined>>,
  prices: Prices | undefined,
) {
  const line = new LiveLine(stream, env);
  let startedMs: number | undefined;
  let last = { state: '', counts: '', atMs: Number.NEGATIVE_INFINITY };
  return {
    /** @param nowMs - Milliseconds since the epoch. */
    show(status: BatchStatus, nowMs: number): void {
      startedMs ??= nowMs;
      const state = stateText(status);
      const { bar, counts } = countTexts(status, prices, nowMs);
      if (line.isLive) {
        // What needs a person comes first: the line is cut at the edge of the terminal.
        const parts = [durationText((nowMs - startedMs) / 1000), bar, state === 'running' ? '' : state, counts];
        line.show(parts.filter((part) => part !== '').join('  '));
        return;
      }
      const isDue = counts !== last.counts && nowMs - last.atMs >= PLAIN_EVERY_MS;
      if (state === last.state && !isDue) return;
      line.keep([state, counts].filter((part) => part !== '').join(', '));
      last = { state, counts, atMs: nowMs };
    },
    /** Removes the live line, so that other text can follow. */
    end(): void {
      line.end();
    },
  };
}

/** The stage, and why the batch makes no progress if it does not. */
function stateText({ status, progress, problem }: BatchStatus): string {
  if (problem !== undefined) return cleanText(`${progress?.stage ?? status}: ${problem}`);
  if (progress === null) return `${status}: no worker answers`;
  const { stage, pause, attention } = progress;
  const why = pause === null ? '' : `: ${pause.cause === null ? '' : `${pause.cause}: `}${pause.reason}`;
  const undecided = attention.length === 0 ? '' : `, ${attention.length} waiting for a decision`;
  return cleanText(`${stage.replaceAll('_', ' ')}${why}${undecided}`);
}

/** How far it is, when it is expected to end, how fast it is, what it has cost, and how its lines ended. */
function countTexts(
  { progress }: BatchStatus,
  prices: Prices | undefined,
  nowMs: number,
): { readonly bar: string; readonly counts: string } {
  if (progress === null || progress.counts.total === 0) return { bar: '', counts: '' };
  const { counts, in_flight, items_per_minute, eta_ms, billed } = progress;
  const { total, ...outcomes } = counts;
  const ended = endedLines(counts);
  const money = prices === undefined ? null : totalAmount(prices, billed);
  const parts = [
    `${ended} of ${total}`,
    ...(eta_ms === null ? [] : [`${durationText(Math.max(0, eta_ms - nowMs) / 1000)} left`]),
    ...(items_per_minute === null ? [] : [`${items_per_minute.toFixed(1)} per minute`]),
    ...(money === null ? [] : [`${amountText(money.amount)} ${money.currency}`]),
    ...namedCounts({ ...outcomes, running: in_flight }),
  ];
  return { bar: barText(ended / total), counts: parts.join(', ') };
}

/** Lines that have their outcome; one that waits for a person has not. */
function endedLines({ total: _total, needs_attention: _undecided, ...ended }: BatchTotals['counts']): number {
  return Object.values(ended).reduce((sum, count) => sum + count, 0);
}
