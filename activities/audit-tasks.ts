import { Readable } from 'node:stream';
import { Context } from '@temporalio/activity';
import { mapParallel } from '../src/async/map-parallel.js';
import {
  AUDIT_VERDICTS,
  type AuditedTask,
  type AuditInput,
  type AuditReport,
  type AuditVerdict,
} from '../src/contract/audit.js';
import { FailureType } from '../src/contract/failure-type.js';
import type { Purchase } from '../src/contract/purchase.js';
import { stepTimesOf } from '../src/contract/times.js';
import { DAY_MS, HOUR_MS, utcDay } from '../src/contract/utc.js';
import { VideoError } from '../src/contract/video-error.js';
import type { ListedTask, TaskSnapshot } from '../src/dashscope/wire.js';
import type { AnnouncedPurchases } from '../src/ledger/open-purchases.js';
import { combineMatches, comparePrompts, compareTask } from '../src/ledger/proof.js';
import { boughtTask, endingOfTask, type PurchaseView } from '../src/ledger/purchase-view.js';
import { isOtherModel, type ReconcileDeps } from '../src/ledger/reconcile.js';
import { recordedIn } from '../src/ledger/recorded-task.js';
import type { ClaimedTask, NotCreated } from '../src/ledger/records.js';
import { isWithin, overlapRange, submitWindow } from '../src/ledger/submit-window.js';
import { listAllTasks } from '../src/ledger/task-list.js';
import { auditKey, videoKey } from '../src/storage/keys.js';
import { restoredVideo } from './archive-video.js';
import { type ActivityDeps, ledgerParts } from './deps.js';
import { type OrphanedPurchase, type Orphans, orphansOf } from './find-orphans.js';
import { subscribedEvents } from './post-event.js';
import { candidateArchive } from './reconcile-submit.js';
import { withSignal } from './with-signal.js';

/** What the workflow needs of an audit: the report, and what is to be salvaged. */
export interface Audit extends Omit<Orphans, 'damaged'> {
  readonly report: AuditReport;
}

/** Tasks that are examined together: each is a query and a few reads, and the account may query 20 times a second. */
const TASKS_AT_ONCE = 4;
const FINDINGS_MAX = 50;
/** Decisions after which no task of the submit can exist: it was never sent. */
const NOT_SENT: readonly NotCreated['reason'][] = ['not_sent', 'too_late'];

/** A task with its verdict, and what rescues it. */
interface Examined {
  readonly task: AuditedTask;
  readonly orphan?: OrphanedPurchase;
  readonly restored?: string;
}

/**
 * Explains every task that the account created in the last hours, by the provider's list and answers and by the
 * ledger. What is paid, ours by proof and not in the store is handed to a salvage, or fetched again.
 */
export function createAuditTasks(deps: ActivityDeps, archiveCandidate = candidateArchive(deps)) {
  return ({ since_seconds = DAY_MS / 1000 }: AuditInput): Promise<Audit> =>
    withSignal(async (signal) => {
      const { clock, store, metrics, knowsAttributes, times } = deps;
      const untilMs = clock.now();
      const sinceMs = untilMs - Math.min(DAY_MS, since_seconds * 1000);
      const { tasks, unreadable } = await listAllTasks(deps.dashscope, clock, signal);
      const listed = tasks.filter(({ createdAtMs }) => createdAtMs === undefined || createdAtMs >= sinceMs);
      const auditor = new Auditor({ ...deps, archiveCandidate }, await billedSeconds(deps, sinceMs, signal), signal);
      const examined: Examined[] = [];
      for await (const one of mapParallel(listed, TASKS_AT_ONCE, (row) => auditor.examine(row))) examined.push(one);
      const rows = examined.map(({ task }) => task);
      const tasksKey = auditKey(deps.ledger.scope, new Date(untilMs).toISOString());
      const lines = rows.map((row) => `${JSON.stringify(row)}\n`).join('');
      await store.put(tasksKey, Readable.from([Buffer.from(lines)]), { contentType: 'application/x-ndjson', signal });
      const report: AuditReport = {
        since_ms: sinceMs,
        until_ms: untilMs,
        tasks: rows.length,
        counts: countVerdicts(rows),
        seconds: { provider: sum(rows, 'provider_seconds'), ledger: sum(rows, 'ledger_seconds') },
        findings: rows.filter(({ verdict }) => verdict === 'orphan' || verdict === 'unclear').slice(0, FINDINGS_MAX),
        unreadable,
        tasks_key: tasksKey,
        rescued: examined.flatMap(({ restored }) => restored ?? []),
      };
      metrics.audited(report.counts);
      const { log } = Context.current();
      if (report.counts.orphan > 0) log.error('audit.orphans', { findings: report.findings });
      else log.info('audit.passed', { tasks: report.tasks, counts: report.counts, seconds: report.seconds });
      return {
        report,
        orphans: examined.flatMap(({ orphan }) => orphan ?? []),
        attributes: await knowsAttributes(),
        times: stepTimesOf(times),
        ...subscribedEvents(deps),
      };
    });
}

/** Billed seconds of the ledger by task. A task of the window ends after its beginning, and by now. */
async function billedSeconds(
  { ledger, clock }: ActivityDeps,
  sinceMs: number,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, number>> {
  const seconds = new Map<string, number>();
  const damaged: VideoError[] = [];
  const until = clock.now() + HOUR_MS;
  const days = new Set(Array.from({ length: 3 }, (_, n) => utcDay(Math.min(until, sinceMs - HOUR_MS + n * DAY_MS))));
  for (const day of days) {
    for await (const bill of ledger.listBills(day, { signal, damaged })) seconds.set(bill.task_id, bill.billed_seconds);
  }
  return seconds;
}

type AuditDeps = ActivityDeps & Pick<ReconcileDeps, 'archiveCandidate'>;

class Auditor {
  readonly #deps: AuditDeps;
  readonly #bills: ReadonlyMap<string, number>;
  readonly #signal: AbortSignal;
  readonly #announced = new Map<number, Promise<AnnouncedPurchases>>();

  constructor(deps: AuditDeps, bills: ReadonlyMap<string, number>, signal: AbortSignal) {
    this.#deps = deps;
    this.#bills = bills;
    this.#signal = signal;
  }

  /** Explains one task; a damaged record does not hide the others. */
  async examine(row: ListedTask): Promise<Examined> {
    try {
      return await this.#examine(row);
    } catch (error) {
      if (!(error instanceof VideoError) || error.type !== FailureType.RecordDamaged) throw error;
      const unknown = { purchase: null, provider_seconds: null, ledger_seconds: this.#bills.get(row.taskId) ?? null };
      return { task: { ...factsOf(row), verdict: 'unclear', why: error.message, ...unknown } };
    }
  }

  async #examine(row: ListedTask): Promise<Examined> {
    const { ledger } = this.#deps;
    const store = { signal: this.#signal };
    const owner = await ledger.findTask(row.taskId, store);
    if (owner === undefined) return this.#examineUnknown(row);
    const purchase: Purchase = { key: owner.purchase_key, n: owner.n };
    let view = await ledger.requirePurchase(purchase, store);
    // A process died between the task's record and the claim: nothing else would lead to the task.
    if (recordedIn(view, row.taskId) === undefined) {
      await ledger.claim(purchase, owner, store);
      view = await ledger.requirePurchase(purchase, store);
    }
    return this.#examineOwn(row, view, owner);
  }

  async #examineOwn(row: ListedTask, view: PurchaseView, claimed: ClaimedTask): Promise<Examined> {
    const { dashscope, store } = this.#deps;
    const { taskId } = row;
    const seen = await dashscope.queryTask(taskId, { signal: this.#signal });
    const say = (verdict: AuditVerdict, why: string): AuditedTask => ({
      ...factsOf(row, seen),
      verdict,
      why,
      purchase: `${view.purchase.key}/${view.purchase.n}`,
      provider_seconds: seen.status === 'SUCCEEDED' ? (seen.usage?.duration ?? null) : 0,
      ledger_seconds: this.#bills.get(taskId) ?? (seen.status === 'SUCCEEDED' ? null : 0),
    });
    const ending = endingOfTask(view, taskId);
    if (ending?.how === 'archived') {
      if ((await store.head(videoKey(taskId), { signal: this.#signal })) !== undefined) {
        const adopted = claimed.found_by !== 'submit';
        return { task: say(adopted ? 'adopted' : 'archived', adopted ? 'its lost reply was found' : 'in the store') };
      }
      const task = { ...boughtTask(view.purchase, view.intent, claimed), claim: 'claimed' as const };
      const found = await restoredVideo(this.#deps, { task, result: ending.result }, this.#signal).catch((error) => {
        if (this.#signal.aborted || !(error instanceof VideoError)) throw error;
        return error;
      });
      const lost = 'its video is gone from the store';
      if (found instanceof VideoError) return { task: say('orphan', `${lost}: ${found.message}`) };
      if (found.result === null) return { task: say('orphan', `${lost} and from the provider`) };
      return { task: say('orphan', `${lost}, and was fetched again`), restored: taskId };
    }
    if (ending?.how === 'abandoned' || (ending?.how === 'failed' && seen.status === 'SUCCEEDED')) {
      return { task: say('given_up', ending.how === 'abandoned' ? 'given up by a person' : 'its result was refused') };
    }
    if (seen.status === 'FAILED' || seen.status === 'CANCELED') return { task: say('free', 'not billed') };
    if (ending !== undefined) return { task: say('orphan', `closed as ${ending.how} while the provider still has it`) };
    const orphans = await orphansOf(view, this.#deps, this.#signal);
    const orphan = orphans.find(({ extraTask }) => (extraTask?.taskId ?? taskId) === taskId);
    if (orphan === undefined) return { task: say('open', 'a run works on it') };
    return { task: say('orphan', 'no run works on it; a salvage was started'), orphan };
  }

  /** Judges a task that no record names. */
  async #examineUnknown(row: ListedTask): Promise<Examined> {
    const say = (verdict: AuditVerdict, why: string, seen?: TaskSnapshot): AuditedTask => ({
      ...factsOf(row, seen),
      verdict,
      why,
      purchase: null,
      provider_seconds: null,
      ledger_seconds: null,
    });
    if (isOtherModel(row.modelName)) return { task: say('other_software', `of the model ${row.modelName}`) };
    const { views, damaged } = await this.#announcedNear(row);
    // A submit records the task in its purchase first, and may have died before `tasks/<id>.json`.
    for (const view of views) {
      const own = recordedIn(view, row.taskId);
      if (own !== undefined) return this.#examineOwn(row, view, own.task);
    }
    const [damage] = damaged;
    if (damage !== undefined)
      return { task: say('unclear', `may be of a purchase that cannot be read: ${damage.message}`) };
    if (row.status === 'FAILED' || row.status === 'CANCELED') {
      return { task: say('other_software', 'no purchase names it; not billed') };
    }
    const nearby = this.#mayHaveMade(row, views);
    if (nearby.length === 0) return { task: say('other_software', 'no submit of this ledger was near its time') };
    const seen = await this.#deps.dashscope.queryTask(row.taskId, { signal: this.#signal });
    const alike = nearby.filter(({ intent }) => comparePrompts(intent.expects.prompt, seen.origPrompt) !== 'different');
    if (seen.status === 'FAILED' || seen.status === 'CANCELED') return { task: say('free', 'not billed', seen) };
    if (alike.length === 0) return { task: say('other_software', 'its prompt is of no purchase', seen) };
    if (alike.some(({ state }) => state.kind === 'unclaimed')) {
      return { task: say('open', 'may be of a submit whose reply was lost; its run finds out', seen) };
    }
    if (seen.status !== 'SUCCEEDED') return { task: say('unclear', 'may be ours, and is not over', seen) };
    return this.#prove(row, seen, alike, say);
  }

  /** Compares a finished task that no record names with purchases that were decided to have created nothing. */
  async #prove(
    row: ListedTask,
    seen: TaskSnapshot,
    alike: readonly PurchaseView[],
    say: (verdict: AuditVerdict, why: string, seen?: TaskSnapshot) => AuditedTask,
  ): Promise<Examined> {
    const { ledger, dashscope, archiveCandidate } = this.#deps;
    const store = { signal: this.#signal };
    const video = await archiveCandidate(seen, this.#signal).catch((error: unknown) => {
      if (this.#signal.aborted) throw error;
    });
    const matches = alike.map((view) => ({
      view,
      match: combineMatches(compareTask(view.intent.expects, seen, video ?? undefined)),
    }));
    const equal = matches.filter(({ match }) => match === 'equal').map(({ view }) => view);
    const [first] = equal;
    if (first !== undefined && equal.every(({ purchase }) => purchase.key === first.purchase.key)) {
      const { purchase, intent } = first;
      // Announced or claimed since the purchases were read: `Ledger.claim` must not be called for such a task.
      const { fromMs, toMs } = overlapRange(first, ledgerParts(this.#deps).times);
      const { open, damaged } = await ledger.listOpenBetween(fromMs, toMs, store);
      for (const view of open) {
        const own = recordedIn(view, row.taskId);
        if (own !== undefined) return this.#examineOwn(row, view, own.task);
      }
      const [damage] = damaged;
      if (damage !== undefined) return { task: say('unclear', `cannot be claimed: ${damage.message}`, seen) };
      const found: ClaimedTask = {
        task_id: row.taskId,
        request_id: row.requestId ?? null,
        key_fingerprint: await dashscope.keyFingerprint().catch(() => null),
        found_by: 'reconcile',
      };
      const claim = await ledger.claim(purchase, found, store);
      if (claim.kind !== 'taken') {
        const task = say('orphan', 'equal to a purchase that was taken for not created; a salvage was started', seen);
        const extraTask = { ...boughtTask(purchase, intent, found), claim: 'extra' as const };
        return {
          task: { ...task, purchase: `${purchase.key}/${purchase.n}`, provider_seconds: seen.usage?.duration ?? null },
          orphan: { purchase, workflowId: intent.workflow_id, extraTask },
        };
      }
    }
    if (matches.every(({ match }) => match === 'different')) {
      return { task: say('other_software', 'its video is of no purchase', seen) };
    }
    return { task: say('unclear', 'may be of a purchase that was taken for not created; nothing proves it', seen) };
  }

  /** Purchases without a task of their own whose submit may have created this one. */
  #mayHaveMade({ createdAtMs }: ListedTask, views: readonly PurchaseView[]): readonly PurchaseView[] {
    const { times } = ledgerParts(this.#deps);
    return views.filter((view) => {
      const { state, extraTasks } = view;
      const wasSent = state.kind === 'not_created' && !NOT_SENT.includes(state.notCreated.reason);
      // One submit makes one task.
      const mayHave = state.kind === 'unclaimed' || (wasSent && extraTasks.length === 0);
      return mayHave && isWithin(submitWindow(view, times), createdAtMs);
    });
  }

  /** Every purchase that was announced in the hours around a task. */
  async #announcedNear({ createdAtMs }: ListedTask): Promise<AnnouncedPurchases> {
    if (createdAtMs === undefined) return { views: [], damaged: [] };
    const hours = [createdAtMs - HOUR_MS, createdAtMs, createdAtMs + HOUR_MS];
    const near: AnnouncedPurchases[] = [];
    for (const atMs of hours) near.push(await this.#announcedIn(atMs));
    return { views: near.flatMap(({ views }) => views), damaged: near.flatMap(({ damaged }) => damaged) };
  }

  /** The purchases that were announced in an hour, read once. */
  #announcedIn(atMs: number): Promise<AnnouncedPurchases> {
    const hour = Math.floor(atMs / HOUR_MS);
    const known =
      this.#announced.get(hour) ?? this.#deps.ledger.listAnnounced(hour * HOUR_MS, { signal: this.#signal });
    this.#announced.set(hour, known);
    return known;
  }
}

const factsOf = ({ taskId, createdAtMs, status }: ListedTask, seen?: TaskSnapshot) => ({
  task_id: taskId,
  created_at_ms: createdAtMs ?? null,
  status: seen?.status ?? status,
});

const countVerdicts = (rows: readonly AuditedTask[]): Record<AuditVerdict, number> =>
  Object.fromEntries(
    AUDIT_VERDICTS.map((verdict) => [verdict, rows.filter((row) => row.verdict === verdict).length]),
  ) as Record<AuditVerdict, number>;

const sum = (rows: readonly AuditedTask[], field: 'provider_seconds' | 'ledger_seconds'): number =>
  rows.reduce((total, row) => total + (row[field] ?? 0), 0);
