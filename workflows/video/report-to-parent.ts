import * as wf from '@temporalio/workflow';
import { PARENT_REPORT_MEMO } from '../../src/contract/names.js';
import type { VideoProgress } from '../../src/contract/result.js';
import { fieldsOf, isPlainName } from '../shared/message-checks.js';
import type { Progress } from './progress.js';

/** Stages after which the parent learns more from the end of its child. */
const ENDED: readonly VideoProgress['stage'][] = ['done', 'failed', 'budget_reached'];

/**
 * Reports each new stage of a run to the workflow that started it as its child, if that has named a signal for it. The
 * end of a cancelled child has no room for what became of its task, so its last report has that.
 * @returns waits until the last report has arrived.
 */
export function reportToParent(progress: Progress): () => Promise<void> {
  const { memo, parent } = wf.workflowInfo();
  const { signal, stages } = fieldsOf(memo?.[PARENT_REPORT_MEMO]);
  if (parent === undefined || !isPlainName(signal)) return async () => undefined;
  const handle = wf.getExternalWorkflowHandle(parent.workflowId); // without a run id: the parent's current run
  const reports = new Set<Promise<void>>();
  progress.onStage = (state) => {
    if (ENDED.includes(state.stage) || (stages !== true && state.stage !== 'cancelled')) return;
    const report = wf.CancellationScope.nonCancellable(() => handle.signal(signal, state))
      // A parent that has ended needs no report.
      .catch(() => undefined)
      .finally(() => reports.delete(report));
    reports.add(report);
  };
  return async () => {
    await wf.CancellationScope.nonCancellable(() => Promise.all(reports));
  };
}
