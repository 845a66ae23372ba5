import { SHORT_TENANT } from './money.mjs';
import { randomOf } from './random.mjs';

/** A lost reply and everything else that a submit can meet; `when: "after"` creates a task that no client knows of. */
const ON_SUBMIT = [
  ...['before', 'after'].flatMap((when) => [
    { fault: 'drop-reply', when },
    { fault: 'reset', when },
    { fault: 'gateway', status: 502, when },
    { fault: 'gateway', status: 504, when },
    { fault: 'status', status: 500, code: 'InternalError', when },
    { fault: 'delay', delay_ms: 2_000, when },
    // Beyond the client's patience, see TIMES: the provider takes the task when nobody listens any more.
    { fault: 'delay', delay_ms: 5_000, when },
  ]),
  { fault: 'reset', when: 'midway' },
  { fault: 'truncate' },
  ...['not-json', 'truncated', 'empty', 'html', 'no-output'].map((form) => ({ fault: 'malformed', form })),
  { fault: 'status', status: 429, code: 'Throttling.RateQuota', retry_after: 1 },
  { fault: 'status', status: 503, code: 'ModelUnavailable' },
];
const ON_READ = [
  { fault: 'status', status: 500, code: 'InternalError' },
  { fault: 'status', status: 429, code: 'Throttling.RateQuota', retry_after: 1 },
  { fault: 'gateway', status: 502 },
  { fault: 'reset' },
  { fault: 'drop-reply' },
  { fault: 'slow', delay_ms: 1_000 },
  { fault: 'truncate' },
];
const ON_QUERY = [
  ...ON_READ,
  { fault: 'status', status: 401, code: 'InvalidApiKey' },
  { fault: 'status', status: 403, code: 'AccessDenied' },
  { fault: 'malformed' },
  { fault: 'unknown' },
];
const ON_DOWNLOAD = [
  { fault: 'truncate' },
  { fault: 'reset', when: 'midway' },
  { fault: 'reset' },
  { fault: 'slow', delay_ms: 2_000 },
  { fault: 'status', status: 503 },
];
/** Faults that meet the next caller: these requests carry no prompt. */
const ON_ANYBODY = [
  ...ON_READ.map((fault) => ({ on: 'list', ...fault })),
  ...ON_READ.filter(({ fault }) => fault !== 'truncate').map((fault) => ({ on: 'policy', ...fault })),
  { on: 'upload', fault: 'reset' },
  { on: 'upload', fault: 'status', status: 503 },
];

/** Some of the generations are items of these. */
export const BATCHES = ['first', 'second'];

/**
 * What becomes of each generation, decided by the seed alone: faults at its requests, a twin under another id,
 * a cancel, a termination, a place in a batch, or a tenant.
 */
export function planOf(seed, generations) {
  const random = randomOf(seed);
  return Array.from({ length: generations }, (_, index) => {
    const prompt = `chaos ${seed}/${index} of a boat on a lake`;
    const faults = [];
    const at = (on, share, list, times = 1) => {
      if (random.chance(share))
        faults.push({ on, match: prompt, times: random.between(1, times), ...random.pick(list) });
    };
    at('submit', 0.55, ON_SUBMIT);
    at('query', 0.4, ON_QUERY, 3);
    at('download', 0.35, ON_DOWNLOAD, 2);
    // Free of charge, so it is bought again: two tasks, one bill.
    at('query', 0.04, [{ fault: 'task-failed', code: 'InternalError' }]);
    const end = random.next();
    const leave = end < 0.15 ? 'cancel' : end < 0.19 ? 'terminate' : undefined;
    at('cancel', leave === 'cancel' ? 0.4 : 0, ON_READ);
    const inBatch = random.chance(0.35) ? random.pick(BATCHES) : undefined;
    if (leave === undefined && inBatch !== undefined) {
      // An item of a batch is neither left nor asked for twice: the batch answers for each of its lines.
      return { index, prompt, faults, batch: inBatch, duration: random.between(2, 5) };
    }
    return {
      index,
      prompt,
      faults,
      leave,
      leaveAfterMs: random.between(100, 10_000),
      natively: random.chance(0.5),
      duration: random.between(2, 5),
      twinAfterMs: random.chance(0.15) ? random.between(0, 3_000) : undefined,
      tenant: random.chance(0.2) ? SHORT_TENANT : undefined,
    };
  });
}

/** Share of the provider's answers that differ from its documents, each in one place. */
const DRIFT_SHARE = 0.05;

/** Rules for the emulator by which its answers differ. */
export const DRIFT = ['submit', 'query', 'list', 'cancel', 'policy'].map((on) => ({
  on,
  probability: DRIFT_SHARE,
  changes: [{ kind: 'any' }],
}));

/** One fault that meets the next caller. */
export const faultForAnybody = (random) => random.pick(ON_ANYBODY);
