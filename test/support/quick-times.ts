import type { Times } from '../../src/config/times.js';
import { DEFAULT_LEDGER_TIMES } from '../../src/ledger/times.js';
import { POLL_TIMES } from '../../src/polling/poll-schedule.js';

/** For an emulator that renders in a second or two: asked as closely, relative to that, as the real provider is. */
export const QUICK_POLL: Partial<Times> = {
  nextStepMs: 60_000, // a fault decides which step does the work, and not how busy the machine is
  poll: {
    ...POLL_TIMES,
    firstLookMs: 100,
    tightMinMs: 200,
    tightMaxMs: 300,
    coldMinMs: 200,
    coldMaxMs: 400,
    patientMs: 1_000,
  },
};

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
