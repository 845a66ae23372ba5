import type { Billable } from '../contract/budget.js';

/** What is billed, for people: `8 s at 720P, silent`. */
export const billableText = ({ seconds, resolution, audio }: Billable): string =>
  `${seconds} s at ${resolution}, ${audio ? 'with sound' : 'silent'}`;

/** Which part of a bill is not the provider's word, for people. */
export const estimatedText = (seconds: number): string =>
  `${seconds} s of it: the provider did not say all of what it bills`;
