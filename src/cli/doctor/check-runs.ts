import type { Client } from '@temporalio/client';
import { readAccountSlots } from '../../client/account-slots.js';
import { isRunOpen } from '../../client/is-run-open.js';
import { nullUnlessUnreadable, queryProgress } from '../../client/query-progress.js';
import { FAILING_TASKS, listEncoded, readProblem } from '../../client/run-problem.js';
import { describeRun, withoutPayloads } from '../../client/without-payloads.js';
import type { Config } from '../../config/config.js';
import type { BatchProgress } from '../../contract/batch.js';
import { amountText, type BudgetTerms, limitOf, MICRO } from '../../contract/budget.js';
import { FailureType } from '../../contract/failure-type.js';
import { salvageWorkflowId, WorkflowType } from '../../contract/names.js';
import type { AccountSlotsView, SlotView } from '../../contract/slots.js';
import { VideoError } from '../../contract/video-error.js';
import { budgetName } from '../../text/budget.js';

/** Runs are checked one by one, some 5 ms each; a problem outside of these hundred concerns few runs. */
const RUNS_MAX = 100;
/** Problems that are explained in one line. */
const KINDS_MAX = 5;
/** A step's first retry comes after a second or two; one that still fails then is worth a line. */
const YOUNG_MS = 5_000;
/** The provider abandons a render after 3 h; the quarter of an hour is for the task's wait before it. */
const SLOT_HELD_MAX_MS = 3.25 * 3_600_000;
/** A free slot is granted at once; auditing the holders may take a minute. */
const SLOT_FREE_MAX_MS = 60_000;

const inOneLine = (ids: readonly string[]): string =>
  ids.length > 3 ? `${ids.slice(0, 3).join(', ')} and ${ids.length - 3} more` : ids.join(', ');

const problem = (message: string, nextStep: string): VideoError =>
  new VideoError(FailureType.ConfigurationInvalid, message, { nextStep });

/** Whether the running runs make progress: workers pick them up, and none of their steps fails and is retried. */
export async function checkRuns(client: Client, nowMs: number): Promise<string> {
  const types = Object.values(WorkflowType).map((type) => `'${type}'`);
  const before = new Date(nowMs - YOUNG_MS).toISOString();
  const query = `ExecutionStatus = 'Running' AND WorkflowType IN (${types.join(', ')}) AND StartTime < '${before}'`;
  const stuck: { readonly id: string; readonly why: string }[] = [];
  let checked = 0;
  // What the server knows to be failing comes first: it may be older than the newest hundred. Older servers know none.
  const failing = await listEncoded(client, FAILING_TASKS, RUNS_MAX).catch(() => []);
  const seen = new Set<string>();
  for (const { workflowId, runId } of [...failing, ...(await listEncoded(client, query, RUNS_MAX))]) {
    if (seen.has(runId)) continue;
    seen.add(runId);
    checked += 1;
    const why = await readProblem(client, await describeRun(client, workflowId, runId), nowMs);
    if (why !== null) stuck.push({ id: workflowId, why });
  }
  const [first] = stuck;
  if (first === undefined) return checked === 0 ? 'none is running' : `${checked} checked, all make progress`;
  const ids = inOneLine(stuck.map(({ id }) => id));
  // One run of each kind: what repairs one does not repair another. Counts and ids make no other kind.
  const kinds = new Map(stuck.toReversed().map((one) => [one.why.replace(/\d+/g, ''), one]));
  const why = [...kinds.values()].slice(-KINDS_MAX).map((one) => `${one.id}: ${one.why}`);
  throw problem(
    `${stuck.length} of ${checked} running runs are stuck: ${ids}. ${why.toReversed().join(' ')}`,
    `Run "wan-video status ${first.id}"; docs/operations.md says what to do.`,
  );
}

/** Whether no batch is paused. */
export async function checkBatches(client: Client): Promise<string> {
  const query = `ExecutionStatus = 'Running' AND WorkflowType = '${WorkflowType.videoBatch}'`;
  const paused: string[] = [];
  let first: BatchProgress | undefined;
  let checked = 0;
  for await (const { workflowId } of withoutPayloads(client).list({ query })) {
    if (checked === RUNS_MAX) break;
    checked += 1;
    // No worker answers when this fails, which another check reports.
    const progress = await queryProgress<BatchProgress>(client, workflowId).catch(nullUnlessUnreadable);
    if (progress === null) break;
    if (progress.stage !== 'paused') continue;
    first ??= progress;
    paused.push(progress.batch_id);
  }
  if (first === undefined) return checked === 0 ? 'none is running' : `${checked} running, none is paused`;
  throw problem(
    `Paused: ${inOneLine(paused)}; the first: ${first.pause?.reason ?? 'no reason given'}`,
    `Fix the cause, then run "wan-video batch resume ${first.batch_id}".`,
  );
}

/**
 * Whether the account's slots are granted and released, and use the budgets that are configured here.
 * @param terms - The configured budgets; undefined when there are none or their file is unusable.
 */
export async function checkSlots(
  client: Client,
  { provider }: Config,
  terms: BudgetTerms | undefined,
  nowMs: number,
): Promise<string> {
  const slots = await readAccountSlots(client, provider.providerId, provider.account);
  if (slots === undefined) return 'no run has requested one yet';
  const { limit, holders, holders_count: heldCount, waiting, waiting_count: waitingCount, budgets = [] } = slots;
  const held = holders.filter(({ since_ms }) => nowMs - since_ms > SLOT_HELD_MAX_MS);
  const nextStep = 'Run "wan-video slots"; docs/operations.md says what to do.';
  if (held.length > 0) {
    const hours = Math.round((nowMs - Math.min(...held.map(({ since_ms }) => since_ms))) / 3_600_000);
    throw problem(
      `Held for up to ${hours} h, longer than any task renders: ${inOneLine(held.flatMap(({ runs }) => runs))}`,
      nextStep,
    );
  }
  const blocked = await findBlocked(client, holders, nowMs);
  if (blocked.length > 0) {
    throw problem(
      `Blocked by runs that are gone: ${inOneLine(blocked)}`,
      'The slots look for such holders every minute while runs wait, otherwise every ten, and salvage what was ' +
        `bought. If it stays so: ${nextStep[0]?.toLowerCase()}${nextStep.slice(1)}`,
    );
  }
  const next = waiting[0];
  // A run may wait next to a free slot: for reserved money, or for the ledger to be read.
  const waitsForMoney = budgets.some(({ reserved, spent }) => reserved > 0 || spent === null);
  if (!waitsForMoney && next !== undefined && heldCount < limit && nowMs - next.since_ms > SLOT_FREE_MAX_MS) {
    throw problem(`${heldCount} of ${limit} are held, and ${waitingCount} runs wait all the same`, nextStep);
  }
  const difference = terms === undefined ? undefined : budgetDifference(slots, terms);
  if (difference !== undefined) {
    throw problem(
      `The slots do not use the budgets of WAN_VIDEO_BUDGETS: ${difference}`,
      'Restart every worker of the account with the same WAN_VIDEO_PRICES and WAN_VIDEO_BUDGETS: those of the last ' +
        'start apply.',
    );
  }
  const day = budgets.find(({ scope }) => scope === 'day');
  const spent = day?.spent == null ? '' : `; ${amountText(day.spent)} of the day's ${amountText(day.limit)} are spent`;
  return `${heldCount} of ${limit} are held, ${waitingCount} wait${spent}`;
}

/** Runs that hold a slot and have ended, although no salvage finishes what they bought. */
async function findBlocked(client: Client, holders: readonly SlotView[], nowMs: number): Promise<string[]> {
  const blocked: string[] = [];
  for (const { runs, purchase_key: key, since_ms } of holders.slice(0, RUNS_MAX)) {
    if (nowMs - since_ms < YOUNG_MS) continue;
    const areOpen = await Promise.all(runs.map((id) => isRunOpen(client, id)));
    if (areOpen.includes(true)) continue;
    const query = `ExecutionStatus = 'Running' AND WorkflowId STARTS_WITH "${salvageWorkflowId(key, 0).slice(0, -1)}"`;
    if ((await client.workflow.count(query)).count === 0) blocked.push(runs[0] ?? key);
  }
  return blocked;
}

/**
 * How the budgets of the slots differ from the configured ones, as far as they are visible; undefined when they do not.
 */
export function budgetDifference({ currency, budgets }: AccountSlotsView, terms: BudgetTerms): string | undefined {
  if (budgets === undefined) return 'they have none';
  if (currency !== terms.currency) return `they use ${currency}, not ${terms.currency}`;
  const { day, tenants, batches } = terms.limits;
  if (day !== null && !budgets.some(({ scope }) => scope === 'day')) return 'they have no limit for the day';
  for (const one of budgets) {
    const { scope, name, limit } = one;
    const own = scope === 'day' ? day : limitOf(scope === 'tenant' ? tenants : batches, name ?? '');
    if (own !== Math.round(limit * MICRO)) {
      const here = own === null ? 'no limit' : amountText(own / MICRO);
      return `${budgetName(one)} has ${amountText(limit)} there, and ${here} here`;
    }
  }
  return undefined;
}
