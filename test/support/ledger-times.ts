import type { Times } from '../../src/config/times.js';
import { DEFAULT_LEDGER_TIMES } from '../../src/ledger/times.js';

/** The times of buying once, shortened in proportion: what is tested is their order, not their length. */
export const QUICK_LEDGER: Partial<Times> = {
  ledger: {
    ...DEFAULT_LEDGER_TIMES,
    submitBoundMs: 3_000,
    followEveryMs: 200,
    parkedEveryMs: 300,
    listEveryMs: 300,
    emptySpanMs: 1_500,
    clockSkewMs: 2_000,
  },
  retryInitialMs: 100,
};
