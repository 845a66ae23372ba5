/**
 * Temporal Cloud Actions of one history, by kind, as the page "Temporal Cloud Actions"
 * (docs.temporal.io/evaluate/cloud/actions) and its tables of history events say. The rules, each from the page's
 * section of that name:
 *
 * - Workflow: a start is one (client, continue-as-new, child; attributes given at the start are not counted), an upsert
 *   of search attributes one per command, a change of execution options one, the parent's intent to start a child one
 *   more, a reset one.
 * - Activity: one when it is scheduled, one for each further attempt (`attempt - 1` of the started event), and one for
 *   each heartbeat that reaches the server. Heartbeats leave no event: they are counted at the worker and handed in.
 * - Activity, local: all markers of one workflow task are one.
 * - Timer: one, also those that a condition with a time-out starts.
 * - Signal: one, in the history that gets it; the sender's event is not counted again, and a signal-with-start is one
 *   in all.
 * - Query: one, without an event: handed in. Update: one when it is accepted. Schedule: two for the firing, and the
 *   start.
 *
 * @param events - All events of the run.
 * @param unseen.heartbeats - Heartbeats that were sent to the server.
 * @param unseen.queries - Queries that a worker answered.
 */
export function actionsOf(events, { heartbeats = 0, queries = 0 } = {}) {
  const of = (name) => events.flatMap((event) => event[name] ?? []);
  const started = of('workflowExecutionStartedEventAttributes');
  const byTask = new Set(
    of('markerRecordedEventAttributes').map((event) => String(event.workflowTaskCompletedEventId)),
  );
  const bySignal = events[1]?.workflowExecutionSignaledEventAttributes != null;
  const kinds = {
    // What a signal has started is paid with the signal.
    starts: started.length - (bySignal ? 1 : 0),
    firings: 2 * started.filter(isScheduled).length,
    children: of('startChildWorkflowExecutionInitiatedEventAttributes').length,
    upserts: of('upsertWorkflowSearchAttributesEventAttributes').length,
    options: of('workflowExecutionOptionsUpdatedEventAttributes').length,
    resets: of('workflowTaskFailedEventAttributes').filter(({ cause }) => Number(cause) === RESET).length,
    activities: of('activityTaskScheduledEventAttributes').length,
    retries: of('activityTaskStartedEventAttributes').reduce((sum, { attempt }) => sum + (attempt ?? 1) - 1, 0),
    markers: byTask.size,
    timers: of('timerStartedEventAttributes').length,
    signals: of('workflowExecutionSignaledEventAttributes').length,
    updates: of('workflowExecutionUpdateAcceptedEventAttributes').length,
    heartbeats,
    queries,
  };
  return { ...kinds, total: Object.values(kinds).reduce((sum, count) => sum + count, 0) };
}

/** `WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW` of Temporal's API. */
const RESET = 20;

const isScheduled = ({ searchAttributes }) => searchAttributes?.indexedFields?.TemporalScheduledById != null;
