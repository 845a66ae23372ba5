import type { BatchRow } from '../batch/batch-files.js';

export const BATCH_TABLE_HEAD = ['LINE', 'ITEM', 'OUTCOME', 'CAUSE', 'BILLED', 'SECONDS', 'VIDEO'];

/** A line of a batch's report for people. @param ended - Whether a line without an outcome will get none. */
export function batchTableRow(row: BatchRow, ended: boolean): string[] {
  const { line, item_id, same_as, cause, code, billed, duration, video_url, message } = row;
  const outcome = ended && row.outcome === 'open' ? 'not run' : row.outcome.replace('_', ' ');
  return [
    String(line),
    item_id === '' ? '-' : item_id,
    same_as === null ? outcome : `${outcome} (as ${same_as})`,
    cause === null ? '-' : code === null ? cause : `${cause} (${code})`,
    billed === null ? 'unknown' : `${row.billed_seconds} s${row.estimated === true ? ', estimated' : ''}`,
    duration === null ? '-' : String(duration),
    video_url ?? message ?? '-',
  ];
}

export const BATCH_CSV_HEAD = [
  ...['line', 'item_id', 'outcome', 'same_as', 'cause', 'code', 'message', 'billed', 'billed_seconds', 'resolution'],
  ...['audio', 'duration', 'queued_seconds', 'rendering_seconds', 'started_at', 'ended_at', 'task_id', 'video_url'],
  ...['run', 'tenant', 'labels', 'estimated', 'file', 'file_problem', 'poster_url'],
];

/** A line of a batch's report for spreadsheets. */
export function batchCsvRow(row: BatchRow): (string | number)[] {
  const time = (ms: number | null) => (ms === null || ms === 0 ? '' : new Date(ms).toISOString());
  const { timings, labels } = row;
  return [
    ...[row.line, row.item_id, row.outcome, row.same_as ?? '', row.cause ?? '', row.code ?? '', row.message ?? ''],
    ...[row.billed === null ? 'unknown' : row.billed ? 'yes' : 'no', row.billed_seconds, row.resolution ?? ''],
    ...[row.resolution === null ? '' : row.audio ? 'sound' : 'silent', row.duration ?? ''],
    ...[timings?.queued ?? '', timings?.rendering ?? '', time(row.started_at_ms), time(row.ended_at_ms)],
    ...[row.task_id ?? '', row.video_url ?? '', row.run ?? '', row.tenant ?? ''],
    Object.entries(labels)
      .map(([name, value]) => `${name}=${value}`)
      .join(' '),
    row.estimated === true ? 'yes' : '',
    ...[row.file ?? '', row.file_problem ?? '', row.poster_url ?? ''],
  ];
}
