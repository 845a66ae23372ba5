/**
 * What the provider documents for an account (rate limits and API reference): the defaults stay below it, and an
 * account with a raised quota may set more, up to a hundred times as much; beyond that a number is a typing error.
 */
export const DOCUMENTED_QUOTA = { query: 20, submit: 5, maxRunning: 5 } as const;

/** What an account limits. */
export type QuotaKind = keyof typeof DOCUMENTED_QUOTA;

/** Largest value that is accepted, as a multiple of the documented quota. */
const RAISED_AT_MOST = 100;

const VARIABLES = {
  query: { variable: 'WAN_VIDEO_QUERY_RATE', unit: 'status requests per second' },
  submit: { variable: 'WAN_VIDEO_SUBMIT_RATE', unit: 'submits per second' },
  maxRunning: { variable: 'WAN_VIDEO_MAX_RUNNING', unit: 'running tasks' },
} as const;

const QUOTA_KINDS: readonly QuotaKind[] = ['query', 'submit', 'maxRunning'];

/** Largest value of a rate. @param isEmulator - An emulator has no account, so only typing errors are refused. */
export const largestRate = (kind: QuotaKind, isEmulator: boolean): number =>
  isEmulator ? 10_000 : DOCUMENTED_QUOTA[kind] * RAISED_AT_MOST;

/**
 * Sentences about each rate above what the provider documents for an account, for the worker's log and `doctor`; empty
 * for an emulator.
 */
export function raisedQuotas(providerId: string, rates: Readonly<Record<QuotaKind, number>>): string[] {
  if (providerId === 'emulator') return [];
  return QUOTA_KINDS.filter((kind) => rates[kind] > DOCUMENTED_QUOTA[kind]).map((kind) => {
    const { variable, unit } = VARIABLES[kind];
    return `${variable} assumes a raised quota: ${rates[kind]} ${unit}, documented are ${DOCUMENTED_QUOTA[kind]}`;
  });
}
