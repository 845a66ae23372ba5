import type { AuditReport } from '../contract/audit.js';
import { namedCounts } from '../contract/batch-totals.js';
import { utcMinute, utcSecond } from '../contract/utc.js';
import { table } from './table.js';

/** An audit for people: what the tasks are, what was billed, and each task that needs a look. */
export function auditText(report: AuditReport): string {
  const { since_ms, until_ms, tasks, counts, seconds, findings, unreadable, rescued } = report;
  const list = namedCounts(counts).join(', ');
  const bill =
    seconds.provider === seconds.ledger
      ? `${seconds.provider} s, the same in the ledger`
      : `${seconds.provider} s by the provider, ${seconds.ledger} s in the ledger`;
  return [
    `window    ${utcMinute(since_ms)} to ${utcMinute(until_ms)}`,
    `tasks     ${tasks}${list === '' ? '' : `: ${list}`}`,
    `billed    ${bill}`,
    ...(unreadable === 0 ? [] : [`warning   ${unreadable} rows of the provider's list could not be read`]),
    ...rescued.map((id) => `rescued   ${id}`),
    ...(findings.length === 0 ? [] : ['', table(HEAD, findings.map(rowOf))]),
  ].join('\n');
}

const HEAD = ['TASK', 'VERDICT', 'CREATED', 'PURCHASE', 'WHY'];

const rowOf = ({ task_id, verdict, created_at_ms, purchase, why }: AuditReport['findings'][number]): string[] => [
  task_id,
  verdict,
  created_at_ms === null ? '-' : utcSecond(created_at_ms),
  purchase ?? '-',
  why,
];
