import { Readable } from 'node:stream';
import { Context } from '@temporalio/activity';
import { z } from 'zod';
import { mapParallel } from '../src/async/map-parallel.js';
import {
  AUDIT_VERDICTS,
  type AuditedTask,
  type AuditInput,
  type AuditReport,
  type AuditVerdict,
} from '../src/contract/audit.js';
import { stepTimesOf } from '../src/contract/times.js';
import { DAY_MS, HOUR_MS, utcDay } from '../src/contract/utc.js';
import type { VideoError } from '../src/contract/video-error.js';
import { listAllTasks } from '../src/ledger/task-list.js';
import { auditKey } from '../src/storage/keys.js';
import type { ActivityDeps } from './deps.js';
import type { Orphans } from './find-orphans.js';
import { subscribedEvents } from './post-event.js';
import { candidateArchive } from './reconcile-submit.js';
import { type Examined, isFree, TaskAuditor, type Undecided } from './task-auditor.js';
import { webLinksOf } from './web-links.js';
import { previousHeartbeat, withSignal } from './with-signal.js';

/** What the workflow needs of an audit: the report, and what is to be salvaged. */
export interface Audit extends Omit<Orphans, 'damaged'> {
  readonly report: AuditReport;
}

/** Tasks that are examined together: each is a query and a few reads, and the account may query 20 times a second. */
const TASKS_AT_ONCE = 4;
const FINDINGS_MAX = 50;

/**
 * Explains every task that the account created in the last hours, by the provider's list and answers and by the
 * ledger. What is paid, ours by proof and was never archived is handed to a salvage.
 */
export function createAuditTasks(deps: ActivityDeps, archiveCandidate = candidateArchive(deps)) {
  return ({ since_seconds = DAY_MS / 1000 }: AuditInput): Promise<Audit> => {
    // What an earlier attempt rescued stays a finding of this audit, also when it has ended since.
    const rescued = new Set(rescuedBefore());
    const before = new Set(rescued);
    const details = () => ({ rescued: [...rescued] });
    const onRescue = (taskId: string): void => {
      rescued.add(taskId);
      Context.current().heartbeat(details()); // the attempt may fail before the next one
    };
    return withSignal(async (signal) => {
      const { clock, store, metrics, knowsAttributes, times } = deps;
      const untilMs = clock.now();
      const sinceMs = untilMs - Math.min(DAY_MS, since_seconds * 1000);
      const { tasks, unreadable } = await listAllTasks(deps.dashscope, clock, signal);
      // The provider decides what is 24 hours old: everything that it still lists is examined.
      const isWhole = since_seconds * 1000 >= DAY_MS;
      const listed = tasks.filter(({ createdAtMs = untilMs }) => isWhole || createdAtMs >= sinceMs);
      const bills = await billedSeconds(deps, sinceMs, signal);
      const auditor = new TaskAuditor({ ...deps, archiveCandidate, unreadable, onRescue }, bills, signal);
      // What is not examined may be of the same purchase as what is.
      for (const row of tasks) if (!listed.includes(row) && !isFree(row)) auditor.doubt(row);
      const examined: Examined[] = [];
      const undecided: Undecided[] = [];
      for await (const one of mapParallel(listed, TASKS_AT_ONCE, (row) => auditor.examine(row))) {
        if ('fits' in one) undecided.push(one);
        else examined.push(one);
      }
      for (const one of undecided) examined.push(await auditor.decide(one, undecided));
      const rows = examined.map(({ task }) => (before.has(task.task_id) ? rescuedEarlier(task) : task));
      const salvaged = new Set(examined.flatMap(({ task, orphan }) => (orphan === undefined ? [] : task.task_id)));
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
        rescued: [...rescued].filter((taskId) => !salvaged.has(taskId)),
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
        ...webLinksOf(deps),
      };
    }, details);
  };
}

const heartbeatDetails = z.object({ rescued: z.array(z.string()) });

const rescuedBefore = (): readonly string[] => heartbeatDetails.safeParse(previousHeartbeat()).data?.rescued ?? [];

const rescuedEarlier = (task: AuditedTask): AuditedTask => ({
  ...task,
  verdict: 'orphan',
  why: `no purchase named it, and this audit claimed it; now: ${task.why}`,
});

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

const countVerdicts = (rows: readonly AuditedTask[]): Record<AuditVerdict, number> =>
  Object.fromEntries(
    AUDIT_VERDICTS.map((verdict) => [verdict, rows.filter((row) => row.verdict === verdict).length]),
  ) as Record<AuditVerdict, number>;

const sum = (rows: readonly AuditedTask[], field: 'provider_seconds' | 'ledger_seconds'): number =>
  rows.reduce((total, row) => total + (isDeleted(row) ? 0 : (row[field] ?? 0)), 0);

/** Of such a task the provider says no seconds any more, so there is nothing to compare. */
const isDeleted = ({ status }: AuditedTask): boolean => status === 'UNKNOWN';
