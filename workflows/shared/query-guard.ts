import type { WorkflowInterceptors } from '@temporalio/workflow';
import { UNDECODED } from './message-handlers.js';

type QueryHandlers = Map<string, { readonly handler?: unknown }>;

/**
 * Leaves the arguments of every query undecoded, also of one that nobody answers and of those that the SDK answers
 * itself. The SDK decodes them outside of any handler: one argument that it cannot decode would fail the workflow task,
 * and each repetition of the query the next one.
 */
export function leaveUndecoded(handlers: QueryHandlers): void {
  const get = handlers.get.bind(handlers);
  // Without a handler of that name the entry has none, and the SDK refuses the query with its own words.
  handlers.get = (name) => ({ ...get(name), typeInfo: UNDECODED });
}

/** Called by the SDK before a workflow starts; a way to its handlers is all that is needed of it. */
export function interceptors(): WorkflowInterceptors {
  const { __TEMPORAL_ACTIVATOR__: activator } = globalThis as { __TEMPORAL_ACTIVATOR__?: { queryHandlers?: unknown } };
  if (activator?.queryHandlers instanceof Map) leaveUndecoded(activator.queryHandlers as QueryHandlers);
  return {};
}
