import * as wf from '@temporalio/workflow';
import type { BatchPause, BatchProgress } from '../../src/contract/batch.js';
import { namedCounts, noTotals } from '../../src/contract/batch-totals.js';
import { billableText, estimatedText } from '../../src/contract/budget.js';
import { markdownCode, markdownText } from '../../src/contract/markdown.js';
import { batchItemWorkflowId, RESUME_SIGNAL } from '../../src/contract/names.js';
import { utcMinute, utcSecond } from '../../src/contract/utc.js';
import { onQuery } from '../shared/message-handlers.js';
import { batchProgressQuery } from '../shared/messages.js';
import { runLink, showDetails } from '../shared/web-ui.js';
import type { BatchState } from './batch-state.js';

type Stage = BatchProgress['stage'];

/** Ids in the answer of the query; the report has all of them. */
const ATTENTION_MAX = 50;

/** Stages in which no further items start: those on the way to the end of a batch, and its ends. */
const ENDING: readonly Stage[] = ['cancelling', 'reporting', 'delivering', 'done', 'cancelled', 'failed'];

/** Answers the query `progress` of a batch, and shows the same in the run's current details. */
export class BatchProgressView {
  readonly #batchId: string;
  readonly #retryOf: string | null;
  #stage: Stage = 'opening';
  #state: BatchState | undefined;
  #note: string | undefined;

  constructor(batchId: string, retryOf: string | null) {
    this.#batchId = batchId;
    this.#retryOf = retryOf;
    onQuery(batchProgressQuery, () => this.#view());
    this.show();
  }

  /** Why the batch starts no further items, even on request; undefined: it may. */
  get ending(): string | undefined {
    return ENDING.includes(this.#stage) ? `The batch starts no further items: its stage is ${this.#stage}` : undefined;
  }

  enter(stage: Stage, note?: string): void {
    this.#stage = stage;
    this.#note = note;
    this.show();
  }

  /** Shows the numbers of `state` from now on. */
  watch(state: BatchState): void {
    this.#state = state;
    this.enter('running');
  }

  /** Shows the current numbers. */
  show(): void {
    const view = this.#view();
    const { items_per_minute, eta_ms, pause, attention } = view;
    const lines = [`**${view.stage}**`];
    if (this.#note !== undefined) lines.push(this.#note);
    if (this.#state !== undefined) lines.push(countsLine(view), ...billedLines(view));
    if (items_per_minute !== null) {
      const until = eta_ms === null ? '' : `; done about ${utcMinute(eta_ms)}`;
      lines.push(`${items_per_minute.toFixed(1)} items per minute${until}`);
    }
    if (pause !== null) lines.push(pauseLine(pause, this.#batchId));
    for (const run of attention) lines.push(`needs attention: ${runLink(run)}`);
    showDetails(lines);
  }

  #view(): BatchProgress {
    const state = this.#state;
    const { inFlight, waiting, startedAtMs, ...totals } = numbersOf(state);
    const pause = state?.data.pause ?? null;
    const rate = ENDING.includes(this.#stage) ? null : (state?.itemsPerMinute ?? null);
    return {
      batch_id: this.#batchId,
      stage: this.#stage === 'running' && pause !== null ? 'paused' : this.#stage,
      pause,
      ...totals,
      in_flight: inFlight,
      waiting,
      window: state?.data.window ?? 0,
      started_at_ms: startedAtMs,
      items_per_minute: rate,
      // Waiting lines that are duplicates take no time; how many they are shows at the end.
      eta_ms: rate === null || pause !== null ? null : Date.now() + ((inFlight + waiting) / rate) * 60_000,
      attention: [...(state?.parked.keys() ?? [])]
        .slice(0, ATTENTION_MAX)
        .map((itemId) => batchItemWorkflowId(this.#batchId, itemId)),
      retry_of: this.#retryOf,
    };
  }
}

/** The numbers of a batch; zero, and the start of the run, until it is open. */
export const numbersOf = (state: BatchState | undefined) => ({
  ...(state?.data.totals ?? noTotals({ total: 0, duplicate: 0, invalid: 0 })),
  inFlight: state?.inFlight.size ?? 0,
  waiting: state?.waiting ?? 0,
  startedAtMs: state?.data.startedAtMs ?? wf.workflowInfo().startTime.getTime(),
});

/** `5 lines: 1 generated, 1 failed, 2 in progress, 1 waiting; window 2` */
function countsLine({ counts, in_flight, waiting, window }: BatchProgress): string {
  const { total, ...ended } = counts;
  const now = [`${in_flight} in progress`, `${waiting} waiting`];
  return `${total} lines: ${[...namedCounts(ended), ...now].join(', ')}; window ${window}`;
}

const billedLines = ({ billed, estimated_seconds }: BatchProgress): string[] => [
  ...billed.map((one) => `billed ${billableText(one)}`),
  ...(estimated_seconds === undefined ? [] : [estimatedText(estimated_seconds)]),
];

const pauseLine = ({ reason, cause, since_ms }: BatchPause, batchId: string): string =>
  `paused at ${utcSecond(since_ms)}${cause === null ? '' : `, ${cause}`}: ${markdownText(reason)}; ` +
  `resume with the Update \`${RESUME_SIGNAL}\` or ${markdownCode(`wan-video batch resume ${batchId}`)}`;
