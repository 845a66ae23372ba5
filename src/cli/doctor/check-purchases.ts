import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import { QUERY_TIMEOUT_MS } from '../../client/query-timeout.js';
import { FailureType } from '../../contract/failure-type.js';
import { PROGRESS_QUERY, salvageWorkflowId } from '../../contract/names.js';
import type { VideoProgress } from '../../contract/result.js';
import { VideoError } from '../../contract/video-error.js';
import type { Ledger, PurchaseView } from '../../ledger/ledger.js';
import { SWEEP_COMMAND } from './check-temporal.js';

/** The sweep looks every hour; what is older than that has been overlooked, or the sweep does not run. */
const ORPHAN_MS = 65 * 60_000;
/** Of the 24 hours in which the provider keeps a video; four are left to mend what stands in the way. */
const LATE_MS = 20 * 3_600_000;

interface Seen {
  readonly view: PurchaseView;
  /** The run that sees to it; undefined when there is none. */
  readonly run: string | undefined;
}

/**
 * Whether what was bought is seen to its end: no record is damaged, nothing waits for a person, no task is without a run, and none is
 * about to be forgotten by the provider.
 */
export async function checkPurchases(client: Client, ledger: Ledger, nowMs: number): Promise<string> {
  const { open, damaged } = await ledger.listOpen();
  if (damaged[0] !== undefined) throw damaged[0];
  const seen: Seen[] = [];
  for (const view of open) seen.push(await lookAt(client, view));
  // Only a purchase whose task nobody knows can wait for a person; older ones are known to Temporal alone.
  const lost = seen.flatMap(({ view, run }) => (run === undefined || view.state.kind !== 'unclaimed' ? [] : [run]));
  const waiting: string[] = [];
  for (const run of new Set([...lost, ...(await parked(client))])) {
    if (await waitsForPerson(client, run)) waiting.push(run);
  }
  if (waiting.length > 0) {
    throw wrong(
      `Waiting for a person (needs_attention): ${waiting.join(', ')}`,
      `See "wan-video status ${waiting[0]}", which names the commands that decide.`,
    );
  }
  const age = ({ view }: Seen): number => nowMs - view.intent.written_at_ms;
  const named = (list: readonly Seen[]): string =>
    list.map(({ view: { purchase, intent } }) => `${purchase.key}/${purchase.n} of ${intent.workflow_id}`).join(', ');
  const late = seen.filter((one) => one.view.state.kind === 'claimed' && age(one) > LATE_MS);
  if (late.length > 0) {
    throw wrong(
      `Bought more than ${LATE_MS / 3_600_000} h ago and not archived; the provider keeps videos for 24 h: ${named(late)}`,
      'See what the run waits for with "wan-video status", and mend that first.',
    );
  }
  const orphans = seen.filter((one) => one.run === undefined && age(one) > ORPHAN_MS);
  if (orphans.length > 0) throw wrong(`Bought, and no run sees to it: ${named(orphans)}`, `Run "${SWEEP_COMMAND}".`);
  return open.length === 0 ? 'none is open' : `${open.length} open, each within its time`;
}

async function lookAt(client: Client, view: PurchaseView): Promise<Seen> {
  const { purchase, intent } = view;
  for (const run of [intent.workflow_id, salvageWorkflowId(purchase.key, purchase.n)]) {
    if (await isOpen(client, run)) return { view, run };
  }
  return { view, run: undefined };
}

/** Runs that were parked once and have not ended; none in a namespace without our attributes. */
async function parked(client: Client): Promise<string[]> {
  const runs: string[] = [];
  try {
    const query = "ExecutionStatus = 'Running' AND VideoOutcome = 'needs_attention'";
    for await (const { workflowId } of client.workflow.list({ query })) runs.push(workflowId);
  } catch {
    // A namespace without our attributes cannot be asked so; the ledger has told of the young ones.
  }
  return runs;
}

async function waitsForPerson(client: Client, run: string): Promise<boolean> {
  const query = () => client.workflow.getHandle(run).query<VideoProgress>(PROGRESS_QUERY);
  const progress = await client.withDeadline(Date.now() + QUERY_TIMEOUT_MS, query).catch(() => undefined);
  return progress?.stage === 'needs_attention';
}

async function isOpen(client: Client, workflowId: string): Promise<boolean> {
  try {
    return (await client.workflow.getHandle(workflowId).describe()).status.name === 'RUNNING';
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}

const wrong = (message: string, nextStep: string): VideoError =>
  new VideoError(FailureType.ConfigurationInvalid, message, { nextStep });
