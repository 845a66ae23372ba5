import type { WebLinks } from '../src/contract/web-links.js';
import type { ActivityDeps } from './deps.js';

/** What a run needs for the links in its details; nothing when no address is configured. */
export function webLinksOf(deps: Pick<ActivityDeps, 'publicBaseUrl' | 'runbookUrl'>): { readonly webLinks?: WebLinks } {
  const { publicBaseUrl: assets, runbookUrl: runbook } = deps;
  if (assets === undefined && runbook === undefined) return {};
  return { webLinks: { ...(assets !== undefined && { assets }), ...(runbook !== undefined && { runbook }) } };
}
