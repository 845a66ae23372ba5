import type { EmulatorFault } from '../../src/emulator/index.js';

/** The steps of a generation that a fault can meet. */
export const STEPS = ['prepare', 'upload', 'submit', 'follow', 'reconcile', 'poll', 'archive', 'cancel'] as const;
export type Step = (typeof STEPS)[number];

/** How a run ends; `failed` with the type of its failure. */
type End = 'completed' | 'cancelled' | `failed ${string}`;

/** What a fault at a step must come to. */
export interface Expected {
  readonly end: End;
  /** Tasks at the provider for the cell's prompt. */
  readonly tasks: number;
  /** Seconds billed for them. */
  readonly billedSeconds: number;
}

/** Seconds of video that every cell asks for. */
export const DURATION = 4;

/** One purchase, nothing lost. */
export const BOUGHT: Expected = { end: 'completed', tasks: 1, billedSeconds: DURATION };
/** Cancelled after the purchase: a salvage, or the buyer, brings the video in. */
export const SALVAGED: Expected = { end: 'cancelled', tasks: 1, billedSeconds: DURATION };
const NOTHING: Expected = { end: 'cancelled', tasks: 0, billedSeconds: 0 };
export const refused = (type: string): Expected => ({ end: `failed ${type}`, tasks: 0, billedSeconds: 0 });

type OnStep<T> = Readonly<Partial<Record<Step, T>>>;

/** A fault that the provider answers with, at one kind of request. */
export interface ProviderCell {
  readonly fault: string;
  readonly step: Step;
  readonly on: EmulatorFault['on'];
  readonly inject: Omit<EmulatorFault, 'on'>;
  readonly expected: Expected;
}

/** What is done to a whole run, worker, store or server while runs are in the given steps. */
export type Disturbance =
  | 'worker-sigterm'
  | 'worker-sigkill'
  | 'slots-terminated'
  | 'temporal-down'
  | 'provider-down'
  | 'store-gone'
  | 'store-gone-long'
  | 'store-unwritable'
  | 'disk-full'
  | 's3-down'
  | 's3-key-rotated'
  | 'measuring-killed'
  | 'hostile-messages'
  | 'activity-pause'
  | 'activity-reset'
  | 'workflow-reset'
  | 'cancel-signal'
  | 'cancel-native';

/** A disturbance and the steps that it meets, all at once. */
export interface DisturbanceRow {
  readonly fault: Disturbance;
  readonly title: string;
  readonly expected: OnStep<Expected>;
}

/** Requests of each step; `prepare` and `follow` ask the provider for nothing. */
export const REQUESTS: OnStep<readonly EmulatorFault['on'][]> = {
  upload: ['policy', 'upload'],
  submit: ['submit'],
  reconcile: ['list', 'query', 'download'],
  poll: ['query'],
  archive: ['query', 'download'],
  cancel: ['cancel'],
};

interface ProviderFault {
  readonly title: string;
  readonly inject: Omit<EmulatorFault, 'on'>;
  /** What a step makes of it where it does not end as without the fault. */
  readonly at?: OnStep<Expected>;
  /** Left out at these requests, with the reason. */
  readonly without?: Readonly<Partial<Record<EmulatorFault['on'], string>>>;
}

const NO_STORE_CODE = 'the result store has no such answer';
const READS_ONLY = 'a read has no effect that could come before or after the fault';
/** Only a submit is asked whether it took effect. */
const SUBMIT_ONLY = {
  policy: READS_ONLY,
  upload: READS_ONLY,
  list: READS_ONLY,
  query: READS_ONLY,
  download: READS_ONLY,
};

/** The answers of the provider, and of what is in front of it. */
export const PROVIDER_FAULTS: Readonly<Record<string, ProviderFault>> = {
  '400': {
    title: '400 `InvalidParameter`',
    inject: { fault: 'status', status: 400, code: 'InvalidParameter' },
    at: { upload: refused('InvalidRequest'), submit: refused('InvalidRequest') },
    without: { download: NO_STORE_CODE },
  },
  '401': {
    title: '401 `InvalidApiKey`',
    inject: { fault: 'status', status: 401, code: 'InvalidApiKey' },
    at: { upload: refused('CredentialsRejected'), submit: refused('CredentialsRejected') },
    without: { download: 'a result link carries no key', upload: 'the form carries no key' },
  },
  '403': {
    title: '403 `AccessDenied`',
    inject: { fault: 'status', status: 403, code: 'AccessDenied' },
    at: { upload: refused('CredentialsRejected'), submit: refused('CredentialsRejected') },
    without: { download: 'the row "result link refused once with 403" is that' },
  },
  '429': {
    title: '429 with `Retry-After`',
    inject: { fault: 'status', status: 429, code: 'Throttling.RateQuota', retry_after: 1, times: 2 },
  },
  '500': { title: '500 `InternalError`', inject: { fault: 'status', status: 500, code: 'InternalError' } },
  '500-after': {
    title: '500, after it took effect',
    inject: { fault: 'status', status: 500, code: 'InternalError', when: 'after' },
    without: SUBMIT_ONLY,
  },
  '502': { title: "a gateway's 502", inject: { fault: 'gateway', status: 502 } },
  '502-after': {
    title: "a gateway's 502, after it took effect",
    inject: { fault: 'gateway', status: 502, when: 'after' },
    without: SUBMIT_ONLY,
  },
  '504-after': {
    title: "a gateway's 504, after it took effect",
    inject: { fault: 'gateway', status: 504, when: 'after' },
    without: SUBMIT_ONLY,
  },
  '503': {
    title: '503 `ModelUnavailable`',
    inject: { fault: 'status', status: 503, code: 'ModelUnavailable', retry_after: 1 },
  },
  reset: { title: 'connection reset', inject: { fault: 'reset' } },
  'reset-after': {
    title: 'connection reset, after it took effect',
    inject: { fault: 'reset', when: 'after' },
    without: SUBMIT_ONLY,
  },
  'reset-midway': {
    title: 'connection reset in the middle of the answer',
    inject: { fault: 'reset', when: 'midway' },
  },
  'dropped-before': {
    title: 'connection closed, before it took effect',
    inject: { fault: 'drop-reply', when: 'before' },
  },
  dropped: { title: 'connection closed, after it took effect', inject: { fault: 'drop-reply' } },
  slow: { title: 'slow answer', inject: { fault: 'slow', delay_ms: 1_500 } },
  'timeout-after': {
    title: 'no answer within the time, although it took effect',
    inject: { fault: 'delay', delay_ms: 4_000, when: 'after' },
    without: { policy: READS_ONLY, upload: READS_ONLY, list: READS_ONLY, download: READS_ONLY },
  },
  unreadable: {
    title: 'unreadable 200',
    inject: { fault: 'malformed' },
    without: {
      upload: 'its answer is not read',
      download: 'the row "half an answer" is that; a page that is no video is requested again',
    },
  },
  truncated: { title: 'half an answer', inject: { fault: 'truncate' } },
  'link-refused': {
    title: 'result link refused once with 403',
    inject: { fault: 'expired' },
    without: {
      policy: 'no link',
      upload: 'no link',
      submit: 'no link',
      list: 'no link',
      query: 'no link',
      cancel: 'no link',
    },
  },
};

function providerCells(): ProviderCell[] {
  return Object.entries(PROVIDER_FAULTS).flatMap(([fault, { inject, at, without }]) =>
    STEPS.flatMap((step) =>
      (REQUESTS[step] ?? [])
        .filter((on) => without?.[on] === undefined)
        .map((on) => ({
          fault,
          step,
          on,
          inject,
          expected: at?.[step] ?? (step === 'cancel' ? SALVAGED : BOUGHT),
        })),
    ),
  );
}

/** Every answer of the provider at every request of every step. */
export const PROVIDER_CELLS: readonly ProviderCell[] = providerCells();

const everyStep: OnStep<Expected> = {
  prepare: BOUGHT,
  upload: BOUGHT,
  submit: BOUGHT,
  follow: BOUGHT,
  reconcile: BOUGHT,
  poll: BOUGHT,
  archive: BOUGHT,
  cancel: SALVAGED,
};
const cancelled: OnStep<Expected> = {
  prepare: NOTHING,
  upload: NOTHING,
  submit: SALVAGED,
  follow: SALVAGED,
  reconcile: SALVAGED,
  poll: SALVAGED,
  archive: SALVAGED,
  cancel: SALVAGED,
};
const without = (steps: OnStep<Expected>, ...left: Step[]): OnStep<Expected> =>
  Object.fromEntries(Object.entries(steps).filter(([step]) => !left.includes(step as Step)));

/** What is done from outside, and the steps that it is done in. */
export const DISTURBANCES: readonly DisturbanceRow[] = [
  { fault: 'worker-sigterm', title: 'worker gets SIGTERM', expected: everyStep },
  { fault: 'worker-sigkill', title: 'worker gets SIGKILL', expected: everyStep },
  { fault: 'slots-terminated', title: "the account's slots terminated", expected: everyStep },
  { fault: 'temporal-down', title: 'Temporal down for 3 s', expected: everyStep },
  { fault: 'provider-down', title: 'provider down for 3 s', expected: everyStep },
  { fault: 'store-gone', title: "the store's directory away for 3 s", expected: everyStep },
  { fault: 'store-gone-long', title: "the store's directory away for longer than eight attempts", expected: everyStep },
  { fault: 'store-unwritable', title: 'store not writable for 3 s', expected: everyStep },
  { fault: 'disk-full', title: 'disk full for 3 s', expected: everyStep },
  { fault: 's3-down', title: 'S3 server down for 3 s', expected: everyStep },
  { fault: 's3-key-rotated', title: 'S3 key rotated, refused for 3 s', expected: everyStep },
  {
    fault: 'measuring-killed',
    title: 'process that measures the result killed, each time for 3 s',
    expected: { archive: BOUGHT },
  },
  { fault: 'hostile-messages', title: 'malformed and undecodable signals, of every kind', expected: everyStep },
  { fault: 'activity-pause', title: 'activity paused and unpaused', expected: without(everyStep, 'cancel') },
  { fault: 'activity-reset', title: 'activity reset', expected: without(everyStep, 'cancel') },
  { fault: 'workflow-reset', title: 'workflow reset to its beginning', expected: without(everyStep, 'cancel') },
  { fault: 'cancel-signal', title: 'cancelled by signal', expected: cancelled },
  { fault: 'cancel-native', title: 'cancelled natively', expected: cancelled },
];

/** Cells that have no meaning, and why. */
export const LEFT_OUT: readonly { readonly what: string; readonly why: string }[] = [
  {
    what: 'drift, hostile × a request that the row does not name',
    why: 'its answer has no such part; an upload has no answer, and a download no JSON',
  },
  {
    what: 'measuring process killed × all but archive',
    why: 'the others measure nothing, except reconcile, which does it with the same process',
  },
  {
    what: "the provider's answers × prepare, follow",
    why: 'these steps ask the provider for nothing; prepare reads an image, follow reads the ledger',
  },
  {
    what: 'activity paused or reset × cancel',
    why: 'the step lives for one second and has one attempt; its failure is the row of the provider faults',
  },
  {
    what: 'workflow reset × cancel',
    why: 'resetting a run that is being cancelled starts it again; what it then finds is the column "follow"',
  },
];
