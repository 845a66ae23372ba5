import type { Billable } from '../contract/budget.js';
import type { Buyer, Purchase } from '../contract/purchase.js';
import type { StoreOptions } from '../storage/asset-store.js';
import type { LedgerRecords } from './ledger-records.js';
import { LedgerPaths } from './paths.js';
import { addFile, type PurchaseFiles } from './purchase-files.js';
import {
  type ClaimedTask,
  type ClaimRecord,
  type ClosedRecord,
  claimRecord,
  closedRecord,
  type Ending,
  type ExtraTaskRecord,
  extraTaskRecord,
  type FoundTaskRecord,
  foundTaskRecord,
  type IntentRecord,
  intentRecord,
  type NotCreated,
  type TaskRecord,
  taskRecord,
} from './records.js';

/** What was decided about a purchase. It is open while it is `unclaimed` or `claimed`. */
type PurchaseState =
  /** Its POST may be under way, lost, or never sent. */
  | { readonly kind: 'unclaimed' }
  | { readonly kind: 'claimed'; readonly task: ClaimedTask }
  | { readonly kind: 'not_created'; readonly notCreated: NotCreated }
  | { readonly kind: 'closed'; readonly task: ClaimedTask; readonly ending: Ending };

/** The records of one purchase, read together. */
export interface PurchaseView {
  readonly purchase: Purchase;
  readonly intent: IntentRecord;
  /** When the intent appeared, by the store's clock. */
  readonly storedAtMs: number;
  readonly state: PurchaseState;
  /** Tasks that were bought although the purchase had been decided otherwise; empty but in the rarest of cases. */
  readonly extraTasks: readonly ExtraTask[];
}

/** A task that was bought although its purchase had been decided otherwise. */
interface ExtraTask {
  readonly task: ClaimedTask;
  /** When it was recorded, by the writer's clock, in milliseconds since the epoch. */
  readonly recordedAtMs: number;
  /** `undefined` while it is not over. */
  readonly ending: Ending | undefined;
}

/** A bought task, as the steps after the purchase need it. */
export interface BoughtTask {
  readonly purchase: Purchase;
  readonly taskId: string;
  /** The run that announced the purchase; no other run may cancel the task at the provider. */
  readonly boughtBy: Buyer;
  /** Request id of the submit; null when its answer was lost. */
  readonly requestId: string | null;
  /** Of the key it was bought or found with; what another key does not know may still exist. */
  readonly keyFingerprint: string | null;
  /** The seed that was sent. */
  readonly seed: number;
  /** When the intent was written, by its writer's clock. */
  readonly intentAtMs: number;
  /** What decides how long it renders, and what it costs at most. */
  readonly render: Billable;
}

/** How the claim of a task is recorded: not yet, as its purchase's decision, or in addition to another one. */
export type ClaimState = 'claimed' | 'unwritten' | 'extra';

/** Joins what the intent and the claim say about a task. */
export function boughtTask(
  purchase: Purchase,
  intent: Pick<IntentRecord, 'seed' | 'written_at_ms' | 'expects' | 'workflow_id' | 'first_run_id'>,
  task: Pick<ClaimedTask, 'task_id' | 'request_id' | 'key_fingerprint'>,
): BoughtTask {
  return {
    purchase,
    taskId: task.task_id,
    boughtBy: { workflowId: intent.workflow_id, firstRunId: intent.first_run_id },
    requestId: task.request_id,
    keyFingerprint: task.key_fingerprint,
    seed: intent.seed,
    intentAtMs: intent.written_at_ms,
    render: { resolution: intent.expects.resolution, seconds: intent.expects.duration, audio: intent.expects.audio },
  };
}

/** The task that the purchase's claim names; `undefined` when there is no claim, or none was created. */
export const claimedTaskOf = ({ state }: Pick<PurchaseView, 'state'>): ClaimedTask | undefined =>
  state.kind === 'claimed' || state.kind === 'closed' ? state.task : undefined;

/** How a task of the purchase ended; `undefined` while it is open, or when the view does not name it. */
export function endingOfTask({ state, extraTasks }: PurchaseView, taskId: string): Ending | undefined {
  if (state.kind === 'closed' && state.task.task_id === taskId) return state.ending;
  return extraTasks.find(({ task }) => task.task_id === taskId)?.ending;
}

/** Whether a purchase's records name a task, as its decision or in addition to it. */
export const hasTask = (view: PurchaseView, taskId: string): boolean =>
  claimedTaskOf(view)?.task_id === taskId || view.extraTasks.some(({ task }) => task.task_id === taskId);

/** The extra tasks that are not over. */
export const openExtraTasks = ({ extraTasks }: Pick<PurchaseView, 'extraTasks'>): ClaimedTask[] =>
  extraTasks.filter(({ ending }) => ending === undefined).map(({ task }) => task);

/** Whether a purchase may still need work: it is not decided, its task is not over, or an extra task is not. */
export const isOpen = (view: PurchaseView): boolean =>
  view.state.kind === 'unclaimed' || view.state.kind === 'claimed' || openExtraTasks(view).length > 0;

/** Reads one purchase; `undefined` when it has no record. */
export async function viewPurchase(
  records: LedgerRecords,
  purchase: Purchase,
  options: StoreOptions,
): Promise<PurchaseView | undefined> {
  const files = await findFiles(records, purchase, options);
  return files === undefined ? undefined : readView(records, files, options);
}

/** Lists the record files of one purchase; `undefined` when it has none. */
export async function findFiles(
  records: LedgerRecords,
  purchase: Purchase,
  options: StoreOptions,
): Promise<PurchaseFiles | undefined> {
  const [files] = await listFiles(records, records.paths.purchase(purchase), options);
  return files;
}

/** Reads the newest purchase under a key; `undefined` when nothing was ever bought under it. */
export async function viewNewest(
  records: LedgerRecords,
  key: string,
  options: StoreOptions,
): Promise<PurchaseView | undefined> {
  const purchases = await listFiles(records, records.paths.purchasesUnder(key), options);
  const [newest] = purchases.sort((a, b) => b.purchase.n - a.purchase.n);
  return newest === undefined ? undefined : readView(records, newest, options);
}

/** The files of every purchase below a prefix. */
async function listFiles({ store }: LedgerRecords, prefix: string, options: StoreOptions): Promise<PurchaseFiles[]> {
  const found = new Map<string, PurchaseFiles>();
  for await (const info of store.list(prefix, options)) {
    const record = LedgerPaths.parse(info.key);
    if (record === undefined || record.kind === 'task' || record.kind === 'unknown') continue;
    addFile(found, record, info);
  }
  return [...found.values()];
}

/** Reads the records of one purchase that was listed. */
export async function readView(
  records: LedgerRecords,
  files: PurchaseFiles,
  options: StoreOptions,
): Promise<PurchaseView> {
  const { purchase } = files;
  const { paths } = records;
  // Together, as each is a round trip; none of them changes once it is written.
  const [intent, claim, closed] = await Promise.all([
    records.read(paths.intent(purchase), intentRecord, purchase, options),
    // A listing is no snapshot: it may show the closing and have missed the claim that came before it.
    files.claim !== undefined || files.closed !== undefined
      ? records.read(paths.claim(purchase), claimRecord, purchase, options)
      : undefined,
    files.closed === undefined ? undefined : records.read(files.closed.key, closedRecord, purchase, options),
  ]);
  if (intent === undefined) throw records.damaged(paths.intent(purchase), 'is missing although later records exist');
  records.remember(paths.intent(purchase), intent);
  records.remember(paths.claim(purchase), claim);
  return {
    purchase,
    intent,
    storedAtMs: files.intent?.modifiedAtMs ?? intent.written_at_ms,
    state: stateOf(records, purchase, claim, closed),
    extraTasks: await readExtraTasks(records, files, claim, options),
  };
}

async function readExtraTasks(
  records: LedgerRecords,
  { purchase, extraTasks }: PurchaseFiles,
  claim: ClaimRecord | undefined,
  options: StoreOptions,
): Promise<ExtraTask[]> {
  const extra: ExtraTask[] = [];
  for (const { found, task: late, closed } of extraTasks.values()) {
    let task: ExtraTaskRecord | FoundTaskRecord | undefined;
    if (late !== undefined) task = await records.read(late.key, extraTaskRecord, purchase, options);
    else if (found !== undefined) task = await readIfExtra(records, found.key, purchase, claim, options);
    if (task === undefined) continue;
    const end = closed && (await records.read(closed.key, closedRecord, purchase, options));
    extra.push({ task, recordedAtMs: task.written_at_ms, ending: end?.ending });
  }
  return extra;
}

/**
 * A task that was found for a purchase, when it is the purchase's and the claim does not name it: the process that
 * found it died before it recorded that. While nothing is decided, a reconciliation decides.
 */
async function readIfExtra(
  records: LedgerRecords,
  key: string,
  purchase: Purchase,
  claim: ClaimRecord | undefined,
  options: StoreOptions,
): Promise<FoundTaskRecord | undefined> {
  if (claim === undefined) return undefined;
  const found = await records.read(key, foundTaskRecord, purchase, options);
  if (found === undefined || namesTask(claim.decision, found.task_id)) return undefined;
  const owner = await records.read(records.paths.task(found.task_id), taskRecord, undefined, options);
  return owner !== undefined && isOwnedBy(owner, purchase) ? found : undefined;
}

/** Whether a decision is this task. */
export const namesTask = (decision: ClaimRecord['decision'], taskId: string): boolean =>
  'task_id' in decision && decision.task_id === taskId;

/** Whether a task's record names a purchase. */
export const isOwnedBy = (owner: Pick<TaskRecord, 'purchase_key' | 'n'>, { key, n }: Purchase): boolean =>
  owner.purchase_key === key && owner.n === n;

function stateOf(
  records: LedgerRecords,
  purchase: Purchase,
  claim: ClaimRecord | undefined,
  closed: ClosedRecord | undefined,
): PurchaseState {
  if (claim !== undefined && 'task_id' in claim.decision) {
    const task = claim.decision;
    if (closed === undefined) return { kind: 'claimed', task };
    if (closed.task_id === task.task_id) return { kind: 'closed', task, ending: closed.ending };
  }
  const { paths } = records;
  if (closed !== undefined) throw records.damaged(paths.closed(purchase), 'closes a task that was not claimed');
  if (claim === undefined) return { kind: 'unclaimed' };
  if ('not_created' in claim.decision) return { kind: 'not_created', notCreated: claim.decision.not_created };
  throw records.damaged(paths.claim(purchase), 'contains no decision');
}
