import * as wf from '@temporalio/workflow';
import { fieldsOf, isObject } from '../shared/message-checks.js';
import { requireInput } from '../shared/require-input.js';
import { continueOnNewVersion } from '../shared/version-upgrade.js';
import type { SchedulerInput } from './carried-slots.js';
import { isLimit } from './message-guards.js';
import { SlotScheduler } from './slot-scheduler.js';

/**
 * Decides which run may submit next on one provider account. There is one for each account, for all workers and
 * batches, and it never ends by itself. It orders submits and is not a lock: nothing that is paid or kept depends on it
 * (docs/slots.md).
 * @param page - The first page of the queue, from the run that this one continues.
 */
export async function accountSlots(input: SchedulerInput, page?: Uint8Array): Promise<void> {
  const { limit, times } = fieldsOf(input);
  requireInput(isLimit(limit) && isObject(times));
  const scheduler = new SlotScheduler(input);
  scheduler.registerHandlers();
  await scheduler.takeOver(page);
  for (;;) {
    await wf.condition(() => scheduler.hasWork);
    scheduler.grantAndNotify();
    // Spending first: grants wait for it, and it waits for an audit that is under way.
    if (scheduler.spendingDue) scheduler.startSpendingRefresh();
    if (scheduler.auditDue) scheduler.startAudit();
    if (scheduler.endsRun) scheduler.holdAnswers();
    if (scheduler.mayContinueAsNew) {
      const next = await scheduler.handOver();
      return wf.makeContinueAsNewFunc<typeof accountSlots>(continueOnNewVersion)(...next);
    }
  }
}
