import type { Billable } from '../contract/budget.js';

/** What is billed, for people: `8 s at 720P, silent`. */
export const billableText = ({ seconds, resolution, audio }: Billable): string =>
  `${seconds} s at ${resolution}, ${audio ? 'with sound' : 'silent'}`;
