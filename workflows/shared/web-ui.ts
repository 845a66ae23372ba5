import * as wf from '@temporalio/workflow';
import { markdownLink } from '../../src/contract/markdown.js';
import type { WebLinks } from '../../src/contract/web-links.js';
import { fieldsOf } from './message-checks.js';

/**
 * A link to a run in the Web UI. It has no host: the page that shows it is of the same Web UI.
 * @param workflowId - Of the same namespace.
 */
export function runLink(workflowId: string): string {
  const { namespace } = wf.workflowInfo();
  return markdownLink(
    workflowId,
    `/namespaces/${encodeURIComponent(namespace)}/workflows/${encodeURIComponent(workflowId)}`,
  );
}

/** Shows Markdown lines as the current details of the run. */
export const showDetails = (lines: readonly string[]): void => wf.setCurrentDetails(lines.join('  \n'));

/** Reads the links that a run was started with; anything that is no text is left out. */
export function readWebLinks(value: unknown): WebLinks {
  const { assets, runbook, reference } = fieldsOf(value);
  return {
    ...(typeof assets === 'string' && { assets }),
    ...(typeof runbook === 'string' && { runbook }),
    ...(typeof reference === 'string' && { reference }),
  };
}
