import type { CaseEnd } from './cases.js';
import type { HistoryJson } from './history-file.js';

const ENDS: Readonly<Record<string, CaseEnd>> = {
  EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED: 'completed',
  EVENT_TYPE_WORKFLOW_EXECUTION_FAILED: 'failed',
  EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED: 'cancelled',
  EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW: 'continued',
};

/** How a run ended. */
export const endOf = ({ events }: HistoryJson): CaseEnd => ENDS[events.at(-1)?.eventType ?? ''] ?? 'open';

/** Id of the workflow whose run it was. */
export const workflowIdOf = ({ events }: HistoryJson): string =>
  events[0]?.workflowExecutionStartedEventAttributes?.workflowId ?? '';

/** Names of the activities that a run scheduled, in their order. */
export const stepsOf = ({ events }: HistoryJson): string[] =>
  events.flatMap((event) => event.activityTaskScheduledEventAttributes?.activityType.name ?? []);

const SUMMARIZED = /_(TIMER_STARTED|ACTIVITY_TASK_SCHEDULED|START_CHILD_WORKFLOW_EXECUTION_INITIATED)$/;

/** Types of the events of timers, steps and children that the Web UI shows without a summary. */
export const unsummarizedOf = ({ events }: HistoryJson): string[] =>
  events
    .filter(({ eventType, userMetadata }) => SUMMARIZED.test(eventType) && userMetadata?.summary === undefined)
    .map(({ eventType }) => eventType);
