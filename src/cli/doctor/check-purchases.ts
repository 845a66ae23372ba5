import type { Client } from '@temporalio/client';
import { isRunOpen } from '../../client/is-run-open.js';
import { nullUnlessUnreadable, queryProgress } from '../../client/query-progress.js';
import { withoutPayloads } from '../../client/without-payloads.js';
import { FailureType } from '../../contract/failure-type.js';
import { salvageWorkflowId } from '../../contract/names.js';
import type { VideoProgress } from '../../contract/result.js';
import { VideoError } from '../../contract/video-error.js';
import type { Ledger } from '../../ledger/ledger.js';
import type { PurchaseView } from '../../ledger/purchase-view.js';
import { sweepCommand } from './check-temporal.js';

/** The sweep runs every hour; an older purchase was missed, or the sweep does not run. */
const ORPHAN_MS = 65 * 60_000;
/** Of the 24 hours in which the provider keeps a video; four remain to fix what blocks the archive. */
const LATE_MS = 20 * 3_600_000;
/** Damaged records that are named in addition to the first one. */
const DAMAGED_MAX = 9;

interface OpenPurchase {
  readonly view: PurchaseView;
  /** The run that handles it; undefined when there is none. */
  readonly run: string | undefined;
}

/**
 * Whether every purchase will end: no record is damaged, nothing waits for a person, each task has a run, and the
 * provider does not delete one soon.
 */
export async function checkPurchases(
  client: Client,
  ledger: Ledger,
  taskQueue: string,
  nowMs: number,
): Promise<string> {
  const { open, damaged } = await ledger.listOpen();
  const [first, ...others] = damaged;
  if (first !== undefined && others.length > 0) {
    const named = others.slice(0, DAMAGED_MAX).map(({ message }) => message);
    const more = others.length - named.length;
    throw problem([first.message, ...named, ...(more > 0 ? [`${more} more`] : [])].join('; '), first.nextStep ?? '');
  }
  if (first !== undefined) throw first;
  const purchases: OpenPurchase[] = [];
  for (const view of open) purchases.push(await findHandler(client, view));
  // Only a purchase without a known task can wait for a person; only Temporal knows older ones.
  const unclaimed = purchases.flatMap(({ view, run }) =>
    run === undefined || view.state.kind !== 'unclaimed' ? [] : [run],
  );
  const waiting: string[] = [];
  for (const run of new Set([...unclaimed, ...(await findParked(client))])) {
    if (await waitsForPerson(client, run)) waiting.push(run);
  }
  if (waiting.length > 0) {
    throw problem(
      `Waiting for a person (needs_attention): ${waiting.join(', ')}`,
      `Run "wan-video status ${waiting[0]}", which shows the commands that decide.`,
    );
  }
  const age = ({ view }: OpenPurchase): number => nowMs - view.intent.written_at_ms;
  const named = (list: readonly OpenPurchase[]): string =>
    list.map(({ view: { purchase, intent } }) => `${purchase.key}/${purchase.n} of ${intent.workflow_id}`).join(', ');
  const late = purchases.filter((one) => one.view.state.kind === 'claimed' && age(one) > LATE_MS);
  if (late.length > 0) {
    throw problem(
      `Bought more than ${LATE_MS / 3_600_000} h ago and not archived, and the provider keeps videos for 24 h: ` +
        named(late),
      'Check with "wan-video status" what the run waits for, and fix that first.',
    );
  }
  const orphans = purchases.filter((one) => one.run === undefined && age(one) > ORPHAN_MS);
  if (orphans.length > 0)
    throw problem(`Bought, and no run handles it: ${named(orphans)}`, `Run "${sweepCommand(taskQueue)}".`);
  return open.length === 0 ? 'none is open' : `${open.length} open, none overdue`;
}

async function findHandler(client: Client, view: PurchaseView): Promise<OpenPurchase> {
  const { purchase, intent } = view;
  if (await isRunOpen(client, intent.workflow_id, intent.first_run_id)) return { view, run: intent.workflow_id };
  const salvage = salvageWorkflowId(purchase.key, purchase.n);
  return { view, run: (await isRunOpen(client, salvage)) ? salvage : undefined };
}

/** Runs that have waited for a person and have not ended; none in a namespace without our attributes. */
async function findParked(client: Client): Promise<string[]> {
  const runs: string[] = [];
  try {
    const query = "ExecutionStatus = 'Running' AND VideoOutcome = 'needs_attention'";
    for await (const { workflowId } of withoutPayloads(client).list({ query })) runs.push(workflowId);
  } catch {
    // A namespace without our attributes cannot answer this query; the ledger knows the recent ones.
  }
  return runs;
}

async function waitsForPerson(client: Client, run: string): Promise<boolean> {
  const progress = await queryProgress<VideoProgress>(client, run).catch(nullUnlessUnreadable);
  return progress?.stage === 'needs_attention';
}

const problem = (message: string, nextStep: string): VideoError =>
  new VideoError(FailureType.ConfigurationInvalid, message, { nextStep });
