import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Oddity } from '../dashscope/answer-reader.js';
import type { RequestOutcome } from '../dashscope/http.js';
import type { SubmitOutcome } from '../dashscope/submit-outcome.js';
import type { WrittenRecord } from '../ledger/ledger-records.js';
import type { WatchLoad } from '../polling/watch.js';
import type { Scope } from '../storage/keys.js';
import type { StepMetrics } from './step-metrics.js';

/**
 * How many different values of an open label are distinguished; the rest is `other`. The provider documents some forty
 * codes.
 */
const OPEN_LABEL_MAX = 60;

/**
 * Upper bounds of the detection delay in seconds: the target is 1 s with learned times, polls are 1 s apart while a
 * task may end any moment and 15 s apart when it is late; longer delays mean that no worker watched.
 */
const DETECTION_BUCKETS = [0.25, 0.5, 1, 1.5, 2, 3, 5, 10, 15, 30, 60, 300, 3600];

/**
 * Upper bounds of the age of an open purchase in minutes, as label values; the provider forgets a task after 24 hours.
 */
const OPEN_AGES = [
  { label: 'below_10m', belowMs: 600_000 },
  { label: 'below_1h', belowMs: 3_600_000 },
  { label: 'below_6h', belowMs: 21_600_000 },
  { label: 'below_23h', belowMs: 82_800_000 },
  { label: 'above_23h', belowMs: Number.POSITIVE_INFINITY },
] as const;

/** The state of the account's slots. */
export interface SlotsReport {
  readonly limit: number;
  readonly held: number;
  readonly waiting: number;
  /** Milliseconds since the epoch. */
  readonly atMs: number;
}

/** The ledger's open purchases. */
export interface OpenPurchasesReport {
  /** Ages of the open purchases in milliseconds. */
  readonly agesMs: readonly number[];
  /** Records that could not be understood. */
  readonly damaged: number;
}

/** Where a periodic scan reads. */
export type Looked = 'ledger' | 'temporal';

/**
 * The metrics of one worker, for Prometheus (docs/metrics.md). Money is counted where a record of the ledger is won,
 * which happens once even if steps are repeated; gauges are read on scrape, and absent rather than old.
 */
export class WorkerMetrics implements StepMetrics {
  readonly registry = new Registry();
  readonly #codes = new Set<string>();
  #slots: (SlotsReport & { readonly keptMs: number }) | undefined;
  #watchLoad: (() => WatchLoad) | undefined;
  #ready: (() => Promise<boolean>) | undefined;

  readonly #submits = this.#counter('submits_total', 'Submits by what is known of their outcome', ['outcome']);
  readonly #refusals = this.#counter('submit_refusals_total', "Refused submits by the provider's code", ['code']);
  readonly #unknown = this.#counter('unknown_outcomes_total', 'Submits of which a paid task may exist unseen');
  readonly #purchases = this.#counter('purchases_total', 'Tasks bought, by who found the task id', ['found_by']);
  readonly #second = this.#counter('second_purchases_total', 'Tasks that were bought in addition to another one');
  readonly #notCreated = this.#counter('not_created_total', 'Announced purchases that made no task', ['reason']);
  readonly #closed = this.#counter('purchases_closed_total', 'Purchases by how their task ended', ['how']);
  readonly #reconciled = this.#counter('reconciliations_total', 'What lost submits turned out to be', ['result']);
  readonly #audited = this.#counter('audited_tasks_total', 'Tasks of the account that audits explained', ['verdict']);
  readonly #missed = this.#counter('schedule_runs_missed_total', 'Runs that schedules have missed');
  readonly #billed = this.#counter('billed_seconds_total', 'Seconds of video that were paid', ['resolution', 'audio']);
  readonly #estimated = this.#counter('estimated_seconds_total', 'Paid seconds that the provider did not fully state', [
    'resolution',
    'audio',
  ]);
  readonly #bytes = this.#counter('archived_bytes_total', 'Bytes of the videos that closed their purchase');
  readonly #runs = this.#counter('runs_ended_total', 'Runs by their end', ['workflow', 'outcome']);
  readonly #failures = this.#counter('run_failures_total', 'Failed runs by type of failure', ['type']);
  readonly #ignored = this.#counter('messages_ignored_total', 'Messages that had no effect', [
    'workflow',
    'message',
    'why',
  ]);
  readonly #requests = this.#counter('provider_requests_total', 'Requests to the provider', ['operation', 'outcome']);
  readonly #oddities = this.#counter(
    'provider_oddities_total',
    'Fields of provider answers that are not as documented',
    ['operation', 'field'],
  );
  readonly #uncaught = this.#counter('uncaught_errors_total', 'Errors that nothing caught', ['kind']);
  readonly #detection = new Histogram({
    name: 'wan_video_detection_delay_seconds',
    help: 'From the end of a task to its being noticed',
    buckets: DETECTION_BUCKETS,
    registers: [this.registry],
  });
  readonly #steps = this.#gauge('steps_running', 'Steps that run on this worker now', ['step']);
  readonly #openByAge = this.#gauge('open_purchases', 'Purchases of the account that nobody has ended, by age', [
    'age',
  ]);
  readonly #oldest = this.#gauge('oldest_open_purchase_age_seconds', 'Age of the oldest open purchase, 0 for none');
  readonly #damaged = this.#gauge('damaged_records', 'Ledger records of open purchases that cannot be understood');
  readonly #attention = this.#gauge('runs_needing_attention', 'Runs that wait for a person');
  readonly #stuck = this.#gauge('runs_stuck', 'Runs whose workflow task fails again and again');
  readonly #looked = this.#gauge('last_look_timestamp_seconds', 'When a periodic look last succeeded', ['at']);

  /** @param scope - A label of every series: an account's workers are summed, two accounts are not. */
  constructor(scope: Scope) {
    this.registry.setDefaultLabels({ provider: scope.provider, account: scope.account });
    // A series that begins with its first event has no rate at that event.
    for (const kind of ['exception', 'rejection']) this.#uncaught.inc({ kind }, 0);
    for (const outcome of ['accepted', 'rejected', 'not_sent', 'unknown']) this.#submits.inc({ outcome }, 0);
    for (const found_by of ['submit', 'reconcile', 'person']) this.#purchases.inc({ found_by }, 0);
    for (const result of ['found', 'none', 'undecided']) this.#reconciled.inc({ result }, 0);
    // Its increase is an alert; the others only explain it.
    this.#audited.inc({ verdict: 'orphan' }, 0);
    for (const how of ['archived', 'failed', 'cancelled', 'expired', 'abandoned']) this.#closed.inc({ how }, 0);
    this.#atScrape('worker_ready', 'Whether this worker can work: 1 as long as /readyz says so', [], async (gauge) => {
      const ready = await this.#ready?.();
      if (ready !== undefined) gauge.set(Number(ready));
    });
    this.#atScrape('tasks_watched', 'Tasks that this worker watches, by state', ['state'], (gauge) => {
      for (const [state, count] of Object.entries(this.#watchLoad?.().tasks ?? {})) gauge.set({ state }, count);
    });
    this.#atScrape('query_share_per_second', "This worker's share of the account's status requests", [], (gauge) => {
      const load = this.#watchLoad?.();
      if (load !== undefined) gauge.set(load.share);
    });
    this.#atScrape('query_allowed_per_second', 'Status requests that the provider allows just now', [], (gauge) => {
      const load = this.#watchLoad?.();
      if (load !== undefined) gauge.set(load.allowed);
    });
    const ofSlots = (name: string, help: string, value: (report: SlotsReport) => number) =>
      this.#atScrape(name, help, [], (gauge) => {
        const slots = this.#slots;
        if (slots !== undefined && Date.now() - slots.atMs <= slots.keptMs) gauge.set(value(slots));
      });
    ofSlots('slots_limit', 'Tasks that the account may have at the provider', ({ limit }) => limit);
    ofSlots('slots_held', 'Slots that are taken', ({ held }) => held);
    ofSlots('slots_waiting', 'Purchases that wait for a slot', ({ waiting }) => waiting);
    ofSlots('slots_timestamp_seconds', 'When the slots last changed', ({ atMs }) => atMs / 1000);
  }

  /** All metrics in Prometheus' text format. */
  text(): Promise<string> {
    return this.registry.metrics();
  }

  /** An error reached the process that nothing caught. */
  uncaught(kind: 'exception' | 'rejection'): void {
    this.#uncaught.inc({ kind });
  }

  outcomeUnknown(): void {
    this.#unknown.inc();
  }

  undecided(): void {
    this.#reconciled.inc({ result: 'undecided' });
  }

  audited(counts: Readonly<Record<string, number>>): void {
    for (const [verdict, count] of Object.entries(counts)) this.#audited.inc({ verdict }, count);
  }

  detected(seconds: number): void {
    this.#detection.observe(seconds);
  }

  /** A submit has ended; for `DashScopeClientOptions.onSubmit`. */
  submitted(outcome: SubmitOutcome): void {
    this.#submits.inc({ outcome: outcome.kind });
    if (outcome.kind !== 'rejected' && outcome.kind !== 'not_sent') return;
    const { code, type } = outcome.error;
    this.#refusals.inc({ code: this.#known(code ?? type) });
  }

  /** A request to the provider has ended; for `DashScopeClientOptions.onRequest`. */
  requested(operation: string, outcome: RequestOutcome): void {
    this.#requests.inc({ operation, outcome });
  }

  /** A field of an answer is not as documented; for `DashScopeClientOptions.onOddity`. */
  oddity({ operation, field }: Oddity): void {
    this.#oddities.inc({ operation, field });
  }

  /** This process wrote a new record of the ledger; for `LedgerOptions.onRecordWritten`. */
  won(record: WrittenRecord): void {
    switch (record.kind) {
      case 'claim':
        this.#decided(record.decision);
        break;
      case 'late':
        this.#second.inc();
        break;
      case 'closed':
        this.#closed.inc({ how: record.ending.how });
        if (record.ending.how === 'archived') this.#bytes.inc(record.ending.result.bytes);
        break;
      case 'day': {
        const { resolution, audio, billed_seconds, estimated } = record;
        const kind = { resolution, audio: String(audio) };
        // A counter throws at a negative number, which only a broken provider says.
        const seconds = Math.max(0, billed_seconds);
        this.#billed.inc(kind, seconds);
        if (estimated === true) this.#estimated.inc(kind, seconds);
        break;
      }
    }
  }

  #decided(decision: Extract<WrittenRecord, { kind: 'claim' }>['decision']): void {
    if ('task_id' in decision) {
      this.#purchases.inc({ found_by: decision.found_by });
      if (decision.found_by === 'reconcile') this.#reconciled.inc({ result: 'found' });
    } else {
      const { reason } = decision.not_created;
      this.#notCreated.inc({ reason });
      if (reason === 'none_found') this.#reconciled.inc({ result: 'none' });
    }
  }

  /** A run has ended; `failureType` with outcome `failed`. */
  runEnded(workflow: string, outcome: string, failureType: string | null): void {
    this.#runs.inc({ workflow, outcome });
    if (failureType !== null) this.#failures.inc({ type: this.#known(failureType) });
  }

  /** A run has ignored a message: `malformed`, or `unexpected` where it arrived. */
  messageIgnored(workflow: string, message: string, why: string): void {
    this.#ignored.inc({ workflow, message, why });
  }

  /** Counts a step as running until what it returns is called. */
  stepBegins(step: string): () => void {
    this.#steps.inc({ step });
    return () => this.#steps.dec({ step });
  }

  /** Sets the source of this worker's health. */
  readyWhen(ready: () => Promise<boolean>): void {
    this.#ready = ready;
  }

  /** Sets the source of the watched tasks. */
  watching(load: () => WatchLoad): void {
    this.#watchLoad = load;
  }

  /**
   * The account's slots reported on this worker. They run on one worker at a time and do not report when they move.
   * @param keptMs - How long the report is shown: above the time after which busy slots speak again.
   */
  slots(report: SlotsReport, keptMs: number): void {
    this.#slots = { ...report, keptMs };
  }

  /** The ledger was read; `undefined`: it could not be read, and nothing is known. */
  openPurchases(report: OpenPurchasesReport | undefined): void {
    for (const gauge of [this.#openByAge, this.#oldest, this.#damaged]) gauge.reset();
    // A gauge without labels is 0 after a reset, which would be wrong.
    for (const gauge of [this.#oldest, this.#damaged]) gauge.remove();
    if (report === undefined) return;
    let fromMs = Number.NEGATIVE_INFINITY;
    for (const { label, belowMs } of OPEN_AGES) {
      const count = report.agesMs.filter((ageMs) => ageMs >= fromMs && ageMs < belowMs).length;
      this.#openByAge.set({ age: label }, count);
      fromMs = belowMs;
    }
    this.#oldest.set(Math.max(0, ...report.agesMs) / 1000);
    this.#damaged.set(report.damaged);
    this.#lookedAt('ledger');
  }

  /** How many runs wait for a person; `undefined`: Temporal did not answer. */
  needingAttention(runs: number | undefined): void {
    this.#attention.remove();
    if (runs === undefined) return;
    this.#attention.set(runs);
    this.#lookedAt('temporal');
  }

  /** How many runs fail at their workflow task again and again; `undefined`: Temporal does not say. */
  stuckRuns(runs: number | undefined): void {
    this.#stuck.remove();
    if (runs !== undefined) this.#stuck.set(runs);
  }

  /** A schedule has missed this many runs more. */
  missedRuns(more: number): void {
    this.#missed.inc(more);
  }

  #lookedAt(at: Looked): void {
    this.#looked.set({ at }, Date.now() / 1000);
  }

  /** A foreign text as a label value: readable, and of bounded variety. */
  #known(text: string): string {
    if (this.#codes.has(text)) return text;
    if (!/^[\w.]{1,64}$/.test(text) || this.#codes.size >= OPEN_LABEL_MAX) return 'other';
    this.#codes.add(text);
    return text;
  }

  #counter<Name extends string>(name: string, help: string, labelNames: Name[] = []): Counter<Name> {
    return new Counter({ name: `wan_video_${name}`, help, labelNames, registers: [this.registry] });
  }

  #gauge<Name extends string>(name: string, help: string, labelNames: Name[] = []): Gauge<Name> {
    const gauge = new Gauge({ name: `wan_video_${name}`, help, labelNames, registers: [this.registry] });
    if (labelNames.length === 0) gauge.remove(); // absent until it is known
    return gauge;
  }

  /** A gauge that is read on scrape; what `read` does not set is absent. */
  #atScrape<Name extends string>(
    name: string,
    help: string,
    labelNames: Name[],
    read: (gauge: Gauge<Name>) => void | Promise<void>,
  ): void {
    const gauge = new Gauge({
      name: `wan_video_${name}`,
      help,
      labelNames,
      registers: [this.registry],
      collect() {
        this.reset();
        if (labelNames.length === 0) this.remove();
        return read(this);
      },
    });
    if (labelNames.length === 0) gauge.remove();
  }
}
