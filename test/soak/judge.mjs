/** A run of a batch stays below this; Temporal ends a run at 51 200. */
export const EVENTS_MAX = 10_000;
/** Payloads stay below this; Temporal refuses them at 2 MB and warns at 512 kB. */
export const PAYLOAD_BYTES_MAX = 256 * 1024;

/**
 * How the batch's report, the provider's books, the ledger and the store fit together; pure. Empty when they do.
 * @param evidence.items - Ids of the manifest.
 * @param evidence.rows - Lines of the report.
 * @param evidence.summary - Result of the batch.
 * @param evidence.tasks - The provider's tasks.
 * @param evidence.days - The ledger's day records.
 * @param evidence.hashes - By task: SHA-256 as the provider serves it, and as it lies in the store.
 * @param evidence.open - Purchases that are open in the ledger.
 * @param evidence.histories - Of each run of the batch: events and its largest payload in bytes.
 */
export function soakVerdict({ items, rows, summary, tasks, days, hashes, open, histories }) {
  const billed = tasks.filter(({ billed_seconds }) => billed_seconds > 0);
  const secondsOf = (list, part) => list.reduce((sum, one) => sum + one[part], 0);
  const totals = {
    provider: secondsOf(billed, 'billed_seconds'),
    report: secondsOf(summary.billed, 'seconds'),
    rows: secondsOf(rows, 'billed_seconds'),
    ledger: secondsOf(days, 'billed_seconds'),
  };
  const byPrompt = grouped(billed);
  const ended = new Map(rows.map(({ item_id, outcome }) => [item_id, outcome]));
  const names = Object.entries(totals).map(([name, seconds]) => `${name} ${seconds} s`);
  return {
    totals,
    worstEvents: Math.max(0, ...histories.map(({ events }) => events)),
    worstPayload: Math.max(0, ...histories.map(({ payloadBytes }) => payloadBytes)),
    violations: [
      ...(new Set(Object.values(totals)).size > 1 ? [`the totals differ: ${names.join(', ')}`] : []),
      ...[...byPrompt]
        .filter(([, all]) => all.length > 1)
        .map(([prompt, all]) => `bought ${all.length} times: ${prompt}`),
      ...items.filter((id) => ended.get(id) !== 'generated').map((id) => `no video of ${id}: ${ended.get(id)}`),
      ...(rows.length === items.length ? [] : [`the report has ${rows.length} lines for ${items.length} items`]),
      ...(summary.counts.generated === items.length ? [] : [`the summary counts ${summary.counts.generated} videos`]),
      ...billed
        .filter(({ task_id }) => !isKept(hashes.get(task_id)))
        .map(({ task_id }) => `billed and not kept: ${task_id}`),
      ...open.map((name) => `open in the ledger: ${name}`),
      ...histories.flatMap(({ runId, events, payloadBytes }) => [
        ...(events < EVENTS_MAX ? [] : [`run ${runId} has ${events} events`]),
        ...(payloadBytes < PAYLOAD_BYTES_MAX ? [] : [`run ${runId} has a payload of ${payloadBytes} bytes`]),
      ]),
      ...(histories.length > 0 ? [] : ['no history was read']),
    ],
  };
}

const isKept = (hash) => hash?.stored !== undefined && hash.stored === hash.provider;

function grouped(tasks) {
  const groups = new Map();
  for (const task of tasks) groups.set(task.prompt, [...(groups.get(task.prompt) ?? []), task]);
  return groups;
}

/** Bytes of the largest group of payloads that one event carries. */
export function largestPayload(events) {
  return Math.max(0, ...events.map(payloadBytesOf));
}

function payloadBytesOf(value) {
  if (value === null || typeof value !== 'object') return 0;
  if (value instanceof Uint8Array) return value.length;
  return Object.values(value).reduce((sum, part) => sum + payloadBytesOf(part), 0);
}
