import type { Purchase } from '../contract/purchase.js';
import type { AssetInfo } from '../storage/asset-store.js';
import type { LedgerPaths, PurchaseRecordKey } from './paths.js';

/** The record files of one purchase in a listing, which is no snapshot: it may miss an older record than it shows. */
export interface PurchaseFiles {
  readonly paths: LedgerPaths;
  readonly purchase: Purchase;
  intent?: AssetInfo;
  claim?: AssetInfo;
  closed?: AssetInfo;
  /** By the task's name in keys. */
  readonly extraTasks: Map<string, ExtraTaskFiles>;
}

interface ExtraTaskFiles {
  /** Found for the purchase; its own task, another purchase's, or bought in addition. */
  found?: AssetInfo;
  /** Bought in addition. */
  task?: AssetInfo;
  closed?: AssetInfo;
}

const EXTRA_TASK_FILES = { found_task: 'found', extra_task: 'task', extra_task_closed: 'closed' } as const;

/** Adds a listed file to the files of its purchase; `found` holds them by the prefix of the purchase. */
export function addFile(found: Map<string, PurchaseFiles>, record: PurchaseRecordKey, info: AssetInfo): void {
  const { paths, purchase } = record;
  const prefix = paths.purchase(purchase);
  const files = found.get(prefix) ?? { paths, purchase, extraTasks: new Map<string, ExtraTaskFiles>() };
  found.set(prefix, files);
  switch (record.kind) {
    case 'unknown':
      return;
    case 'found_task':
    case 'extra_task':
    case 'extra_task_closed': {
      const extraTask = files.extraTasks.get(record.taskName) ?? {};
      extraTask[EXTRA_TASK_FILES[record.kind]] = info;
      files.extraTasks.set(record.taskName, extraTask);
      return;
    }
    default:
      files[record.kind] = info;
  }
}

/** Whether a task that was bought in addition to the purchase's decision may be open, by the names of the files. */
export const mayHaveOpenExtraTask = ({ extraTasks }: PurchaseFiles): boolean =>
  [...extraTasks.values()].some((files) => (files.task ?? files.found) !== undefined && files.closed === undefined);
