import type { CaseEnd } from './cases.js';
import type { HistoryJson } from './history-file.js';

const ENDS: Readonly<Record<string, CaseEnd>> = {
  EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED: 'completed',
  EVENT_TYPE_WORKFLOW_EXECUTION_FAILED: 'failed',
  EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED: 'cancelled',
};

/** How a run ended. */
export const endOf = ({ events }: HistoryJson): CaseEnd => ENDS[events.at(-1)?.eventType ?? ''] ?? 'open';

/** Names of the activities that a run scheduled, in their order. */
export const stepsOf = ({ events }: HistoryJson): string[] =>
  events.flatMap((event) => event.activityTaskScheduledEventAttributes?.activityType.name ?? []);
