import * as wf from '@temporalio/workflow';
import type { BatchPause, BatchProgress } from '../../src/contract/batch.js';
import { noTotals } from '../../src/contract/batch-totals.js';
import { batchItemWorkflowId } from '../../src/contract/names.js';
import { batchProgressQuery } from '../shared/messages.js';
import type { BatchState } from './batch-state.js';

type Stage = BatchProgress['stage'];

/** Ids that the answer of a query carries; the report has them all. */
const ATTENTION_MAX = 50;

/** Keeps what the `progress` query and the current details say of a batch in step with each other. */
export class BatchProgressView {
  readonly #batchId: string;
  readonly #retryOf: string | null;
  #stage: Stage;
  #state: BatchState | undefined;
  #note: string | undefined;

  constructor(batchId: string, retryOf: string | null) {
    this.#batchId = batchId;
    this.#retryOf = retryOf;
    this.#stage = 'opening';
    wf.setHandler(batchProgressQuery, () => this.#view());
    this.enter('opening');
  }

  enter(stage: Stage, note?: string): void {
    this.#stage = stage;
    this.#note = note;
    this.show();
  }

  /** From now on the numbers are those of `state`. */
  watch(state: BatchState): void {
    this.#state = state;
    this.enter('running');
  }

  /** Shows the numbers as they are now. */
  show(): void {
    const { stage, counts, pause, in_flight, waiting, window, items_per_minute, eta_ms, billed, attention } =
      this.#view();
    const named = Object.entries(counts).filter(([name, count]) => name !== 'total' && count > 0);
    const lines = [`**${stage}**`, ...(this.#note === undefined ? [] : [this.#note])];
    if (this.#state !== undefined) {
      lines.push(
        `${counts.total} lines: ${[...named.map(([name, count]) => `${count} ${name.replace('_', ' ')}`), `${in_flight} in work`, `${waiting} waiting`].join(', ')}; window ${window}`,
        ...billed.map(
          ({ seconds, resolution, audio }) =>
            `${seconds} s billed at ${resolution}, ${audio ? 'with sound' : 'silent'}`,
        ),
      );
    }
    if (items_per_minute !== null) {
      const until = eta_ms === null ? '' : `; done about ${new Date(eta_ms).toISOString().slice(0, 16)} UTC`;
      lines.push(`${items_per_minute.toFixed(1)} items per minute${until}`);
    }
    if (pause !== null) lines.push(pauseLine(pause, this.#batchId));
    for (const run of attention) lines.push(`needs attention: \`${run}\``);
    wf.setCurrentDetails(lines.join('  \n'));
  }

  #view(): BatchProgress {
    const state = this.#state;
    const { startTime } = wf.workflowInfo();
    const totals = state?.totals ?? noTotals({ total: 0, duplicate: 0, invalid: 0 });
    const [inFlight, waiting, rate] = [state?.inFlight.size ?? 0, state?.waiting ?? 0, state?.itemsPerMinute ?? null];
    const pause = state?.pause ?? null;
    return {
      batch_id: this.#batchId,
      stage: this.#stage === 'running' && pause !== null ? 'paused' : this.#stage,
      ...{ pause, ...totals, in_flight: inFlight, waiting, window: state?.window ?? 0 },
      started_at_ms: state?.startedAtMs ?? startTime.getTime(),
      items_per_minute: rate,
      // Of the lines that wait, those that are duplicates take no time; how many they are shows at the end.
      eta_ms: rate === null || pause !== null ? null : Date.now() + ((inFlight + waiting) / rate) * 60_000,
      attention: [...(state?.parked.keys() ?? [])]
        .slice(0, ATTENTION_MAX)
        .map((itemId) => batchItemWorkflowId(this.#batchId, itemId)),
      retry_of: this.#retryOf,
    };
  }
}

const pauseLine = ({ reason, cause, since_ms }: BatchPause, batchId: string): string =>
  `paused at ${new Date(since_ms).toISOString().slice(0, 19)} UTC${cause === null ? '' : `, ${cause}`}: ${reason}; ` +
  `go on with \`wan-video batch resume ${batchId}\``;
