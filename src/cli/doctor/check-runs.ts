import type { Client } from '@temporalio/client';
import { readAccountSlots } from '../../client/account-slots.js';
import { QUERY_TIMEOUT_MS } from '../../client/query-timeout.js';
import { troubleOf } from '../../client/video-run.js';
import type { Config } from '../../config/config.js';
import type { BatchProgress } from '../../contract/batch.js';
import { type BudgetTerms, limitOf, MICRO } from '../../contract/budget.js';
import { FailureType } from '../../contract/failure-type.js';
import { PROGRESS_QUERY, WorkflowType } from '../../contract/names.js';
import type { AccountSlotsView } from '../../contract/slots.js';
import { VideoError } from '../../contract/video-error.js';
import { amountText } from '../../text/amount.js';
import { budgetName } from '../cost-budgets.js';

/** Runs that are looked at one by one, some 5 ms each: a fault that is not among them is the fault of few. */
const RUNS_MAX = 100;
/** A step's first retry comes after a second or two; what still fails after that is worth a line. */
const YOUNG_MS = 5_000;
/** The provider gives up a render after 3 h; the quarter of an hour is for the task's wait before it. */
const SLOT_HELD_MAX_MS = 3.25 * 3_600_000;
/** A free slot is granted at once; a minute is what a look at the holders may take. */
const SLOT_FREE_MAX_MS = 60_000;

const inOneLine = (ids: readonly string[]): string =>
  ids.length > 3 ? `${ids.slice(0, 3).join(', ')} and ${ids.length - 3} more` : ids.join(', ');

const wrong = (message: string, nextStep: string): VideoError =>
  new VideoError(FailureType.ConfigurationInvalid, message, { nextStep });

/** Whether the running runs get on: none waits for a worker in vain, and no step of theirs fails and is tried again. */
export async function checkRuns(client: Client, nowMs: number): Promise<string> {
  const types = Object.values(WorkflowType).map((type) => `'${type}'`);
  const before = new Date(nowMs - YOUNG_MS).toISOString();
  const query = `ExecutionStatus = 'Running' AND WorkflowType IN (${types.join(', ')}) AND StartTime < '${before}'`;
  const stuck: { readonly id: string; readonly trouble: string }[] = [];
  let looked = 0;
  for await (const { workflowId, runId } of client.workflow.list({ query })) {
    if (looked === RUNS_MAX) break;
    looked += 1;
    const trouble = troubleOf(await client.workflow.getHandle(workflowId, runId).describe(), nowMs);
    if (trouble !== null) stuck.push({ id: workflowId, trouble });
  }
  const [first] = stuck;
  if (first === undefined) return looked === 0 ? 'none is running' : `${looked} looked at, all get on`;
  throw wrong(
    `${stuck.length} of ${looked} running runs do not get on: ${inOneLine(stuck.map(({ id }) => id))}; the first: ${first.trouble}`,
    `See "wan-video status ${first.id}"; docs/operations.md has what to do.`,
  );
}

/** Whether no batch waits for somebody to go on. */
export async function checkBatches(client: Client): Promise<string> {
  const query = `ExecutionStatus = 'Running' AND WorkflowType = '${WorkflowType.videoBatch}'`;
  const paused: string[] = [];
  let first: BatchProgress | undefined;
  let looked = 0;
  for await (const { workflowId } of client.workflow.list({ query })) {
    if (looked === RUNS_MAX) break;
    looked += 1;
    const progress = await client
      .withDeadline(Date.now() + QUERY_TIMEOUT_MS, () =>
        client.workflow.getHandle(workflowId).query<BatchProgress>(PROGRESS_QUERY),
      )
      .catch(() => undefined); // without a worker, which is another check's fault
    if (progress === undefined) break;
    if (progress.stage !== 'paused') continue;
    first ??= progress;
    paused.push(progress.batch_id);
  }
  if (first === undefined) return looked === 0 ? 'none is running' : `${looked} running, none is paused`;
  throw wrong(
    `Paused: ${inOneLine(paused)}; the first: ${first.pause?.reason ?? 'no reason given'}`,
    `Mend the reason, then "wan-video batch resume ${first.batch_id}".`,
  );
}

/**
 * Whether the account's slots move, and count with the budgets that are configured here.
 * @param terms - Undefined: none are configured, or nobody can tell.
 */
export async function checkSlots(
  client: Client,
  { provider }: Config,
  terms: BudgetTerms | undefined,
  nowMs: number,
): Promise<string> {
  const slots = await readAccountSlots(client, provider.providerId, provider.account);
  if (slots === undefined) return 'nobody has asked for one yet';
  const { limit, holders, waiting, budgets = [] } = slots;
  const held = holders.filter(({ since_ms }) => nowMs - since_ms > SLOT_HELD_MAX_MS);
  const again = 'See "wan-video slots"; docs/operations.md has what to do.';
  if (held.length > 0) {
    const hours = Math.round((nowMs - Math.min(...held.map(({ since_ms }) => since_ms))) / 3_600_000);
    throw wrong(
      `Held for up to ${hours} h, longer than any task renders: ${inOneLine(held.flatMap(({ runs }) => runs))}`,
      again,
    );
  }
  const next = waiting[0];
  // Beside a free slot somebody may wait for money that is reserved, or for the ledger to be read.
  const waitsForMoney = budgets.some(({ reserved, spent }) => reserved > 0 || spent === null);
  if (!waitsForMoney && next !== undefined && holders.length < limit && nowMs - next.since_ms > SLOT_FREE_MAX_MS) {
    throw wrong(`${holders.length} of ${limit} are held, and ${waiting.length} runs wait all the same`, again);
  }
  const unlike = terms === undefined ? undefined : otherBudgets(slots, terms);
  if (unlike !== undefined) {
    throw wrong(
      `The slots do not count with the budgets of WAN_VIDEO_BUDGETS: ${unlike}`,
      'Restart every worker of the account with the same WAN_VIDEO_PRICES and WAN_VIDEO_BUDGETS: the latest that starts counts.',
    );
  }
  const day = budgets.find(({ scope }) => scope === 'day');
  const spent = day?.spent == null ? '' : `; ${amountText(day.spent)} of the day's ${amountText(day.limit)} are spent`;
  return `${holders.length} of ${limit} are held, ${waiting.length} wait${spent}`;
}

/** How the budgets that the slots were told differ from the configured ones, as far as they show; undefined when they do not. */
export function otherBudgets({ currency, budgets }: AccountSlotsView, terms: BudgetTerms): string | undefined {
  if (budgets === undefined) return 'they know none';
  if (currency !== terms.currency) return `they count in ${currency}, not in ${terms.currency}`;
  const { day, tenants, batches } = terms.limits;
  if (day !== null && !budgets.some(({ scope }) => scope === 'day')) return 'they know no limit of the day';
  for (const one of budgets) {
    const { scope, name, limit } = one;
    const own = scope === 'day' ? day : limitOf(scope === 'tenant' ? tenants : batches, name ?? '');
    if (own !== Math.round(limit * MICRO)) {
      const said = own === null ? 'no limit' : amountText(own / MICRO);
      return `${budgetName(one)} has ${amountText(limit)} there, and ${said} here`;
    }
  }
  return undefined;
}
