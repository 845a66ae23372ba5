import { ISSUE_PATH_MAX, ISSUES_MAX } from './bounds.js';
import { cleanText } from './safe-text.js';
import type { Issue } from './video-error.js';

/** Characters of the text of one fault. */
const MESSAGE_MAX = 500;

/** The first `max` faults, and how many more there are. */
export function firstIssues(issues: readonly Issue[], max = ISSUES_MAX): readonly Issue[] {
  if (issues.length <= max) return issues;
  return [...issues.slice(0, max), { path: '', message: `and ${issues.length - max} more` }];
}

/** The first faults, with texts that are clean and bounded: names and values in them are the caller's. */
export const cleanIssues = (issues: readonly Issue[]): readonly Issue[] =>
  firstIssues(issues, ISSUES_MAX).map(({ path, message }) => ({
    path: cleanText(path, ISSUE_PATH_MAX),
    message: cleanText(message, MESSAGE_MAX),
  }));
