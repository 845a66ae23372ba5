import { defaultPayloadConverter, type Payload, RawValue } from '@temporalio/common';
import { ApplicationFailure } from '@temporalio/workflow';
import fc from 'fast-check';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import type { BatchItemEnd } from '../../src/contract/batch.js';
import { STEP_TIMES } from '../../src/contract/times.js';
import { BatchState, readWindow } from '../../workflows/batch/batch-state.js';
import { readItemEnd } from '../../workflows/batch/read-item-end.js';
import { decode, MESSAGE_BYTES_MAX, MESSAGE_DEPTH_MAX, onRequest } from '../../workflows/shared/message-handlers.js';
import { readReason } from '../../workflows/shared/read-reason.js';
import { readDecision } from '../../workflows/video/read-decision.js';
import { isSlotAnswer } from '../../workflows/video/slot-answer.js';

type Handler = (argument?: RawValue) => unknown;
const { handlers } = vi.hoisted(() => ({
  handlers: new Map<string, { readonly handle: Handler; readonly validator?: Handler | undefined }>(),
}));
// Outside of a workflow there is nothing to set a handler in.
vi.mock('@temporalio/workflow', async (original) => ({
  ...(await original<typeof import('@temporalio/workflow')>()),
  proxySinks: () => ({ wanVideo: { messageIgnored: () => undefined } }),
  log: { warn: () => undefined },
  setHandler: ({ type }: { type: string }, handle: Handler, options?: { validator?: Handler }) =>
    handlers.set(type, { handle, validator: options?.validator }),
}));

// What the readers of messages make of anything. The slots have their own: slot-messages.test.ts.

const TEXTS = [
  '',
  'a',
  'one',
  '__proto__',
  'constructor',
  'toString',
  '\u0000',
  '\ud800',
  '\u001b[31m',
  'x'.repeat(2_000),
];
const anything = fc.oneof({ depthSize: 'small' }, fc.jsonValue(), fc.constantFrom(...TEXTS), fc.constant(undefined));
const mostly = <Value>(value: fc.Arbitrary<Value>) =>
  fc.oneof({ weight: 15, arbitrary: value as fc.Arbitrary<unknown> }, { weight: 1, arbitrary: anything });
const text = mostly(fc.constantFrom(...TEXTS));
const OUTCOMES = ['generated', 'cache', 'adopted', 'failed', 'cancelled', 'needs_attention', 'budget_reached'];
const end = fc.record({
  item_id: mostly(fc.constantFrom('one', 'two', 'three')),
  outcome: mostly(fc.constantFrom(...OUTCOMES)),
  cause: mostly(fc.constantFrom(null, 'AccountBlocked', 'ProviderFailed', 'toString')),
  code: text,
  message: text,
  run: mostly(fc.constant('batch/b/one')),
  task_id: text,
  video_url: text,
  sha256: mostly(fc.constantFrom(null, 'f'.repeat(64))),
  billed: mostly(fc.constantFrom(true, false, null)),
  billed_seconds: mostly(fc.nat(15)),
  resolution: mostly(fc.constantFrom(null, '720P', '1080P')),
  audio: mostly(fc.boolean()),
  duration: mostly(fc.constantFrom(null, 4)),
  timings: mostly(fc.constantFrom(null, { queued: 1, rendering: '2', detected: null, archived: 4, more: 'x' })),
  started_at_ms: mostly(fc.nat()),
  ended_at_ms: mostly(fc.nat()),
  more: anything,
});
const message = fc.oneof(
  anything,
  end,
  fc.record({ reason: text, window: mostly(fc.nat(600)), task_id: text, buy_again: mostly(fc.constant(true)) }),
);

const openState = (): BatchState => {
  const state = BatchState.first(
    { items: 3, duplicates: 0, invalid: 0, times: STEP_TIMES, attributes: false, labelsHidden: false } as never,
    { window: 10, startedAtMs: 0 },
  );
  for (const [at, itemId] of ['one', 'two', 'three'].entries()) state.started({ itemId, at });
  return state;
};

test('no message makes a reader or a batch fail, and what is accepted is bounded, clean and printable', () => {
  let accepted = 0;
  fc.assert(
    fc.property(fc.array(message, { maxLength: 8 }), (messages) => {
      const state = openState();
      for (const one of messages) {
        const [ended, reason] = [readItemEnd(one), readReason(one)];
        readDecision(one);
        readWindow(one);
        isSlotAnswer(one);

        if (ended !== undefined) {
          accepted += 1;
          state.ended(ended, 0);
        }
        for (const value of [ended, reason]) {
          const json = JSON.stringify(value) ?? '';
          expect(json.length).toBeLessThan(3_000);
          expect(json).not.toMatch(/\\u001b|\\ud800[^\\]|"more"/);
        }
      }
      const { counts, causes } = state.data.totals;
      expect(Object.values(counts).every(Number.isSafeInteger)).toBe(true);
      expect(Object.values(causes).every(Number.isSafeInteger)).toBe(true);
      expect(new BatchState(JSON.parse(JSON.stringify(state.carried())))).toBeDefined();
    }),
    { numRuns: 400 },
  );
  expect(accepted).toBeGreaterThan(100);
});

const item: BatchItemEnd = {
  item_id: 'one',
  outcome: 'failed',
  cause: 'ProviderFailed',
  code: 'InternalError',
  message: 'no picture',
  run: 'batch/b/one',
  task_id: null,
  video_url: null,
  sha256: null,
  billed: false,
  billed_seconds: 0,
  resolution: null,
  audio: false,
  duration: null,
  timings: { queued: 1, rendering: null, detected: null, archived: null },
  started_at_ms: 1,
  ended_at_ms: 0,
};

describe('the end of an item', () => {
  test('is read as it was sent, without members that an end does not have', () => {
    expect(readItemEnd({ ...item, more: 'x' })).toEqual(item);
    expect(readItemEnd({ ...item, estimated: true })).toEqual({ ...item, estimated: true });
  });

  test.each([
    ['an outcome that every object has', { outcome: 'constructor' }],
    ['a cause that every object has', { cause: 'toString' }],
    ['seconds that are text', { billed_seconds: '4' }],
    ['seconds beyond any video', { billed_seconds: 1e9 }],
    ['seconds below zero', { billed_seconds: -4 }],
    ['a tier that is not sold', { resolution: '8K' }],
    ['no run', { run: '' }],
    ['an item that is an object', { item_id: { toString: 1 } }],
    ['half a character in its item', { item_id: '\ud800' }],
    ['a digest that is none', { sha256: '../../x' }],
  ])('is malformed with %s', (_what, change) => {
    expect(readItemEnd({ ...item, ...change })).toBeUndefined();
  });
});

test.each([
  [undefined, { reason: null }],
  [null, { reason: null }],
  [{}, { reason: null }],
  [{ reason: null }, { reason: null }],
  [{ reason: 'wrong picture' }, { reason: 'wrong picture' }],
  [{ reason: '\u001b[31mred\nline' }, { reason: 'red line' }],
  [{ reason: 'x'.repeat(9_000) }, { reason: `${'x'.repeat(499)}…` }],
  [{ reason: { toString: 1 } }, undefined],
  [{ reason: 5 }, undefined],
  ['text', undefined],
  [[], undefined],
  [new Uint8Array([1]), undefined],
])('the reason in %j is %j', (given, reason) => {
  expect(readReason(given)).toEqual(reason);
});

test.each([
  [{ task_id: 'a1' }, { task_id: 'a1' }],
  [{ task_id: 'a1', buy_again: false, comment: 'sure' }, { task_id: 'a1' }],
  [{ buy_again: true }, { buy_again: true }],
  [{ task_id: 'a1', buy_again: true }, undefined],
  [{ task_id: 5 }, undefined],
  [{ task_id: '' }, undefined],
  [{ task_id: 'x'.repeat(201) }, undefined],
  [{ taskId: 'a1' }, undefined],
  [{ buy_again: 'yes' }, undefined],
  [{ buy_again: false }, undefined],
  [{}, undefined],
  [null, undefined],
  ['buy', undefined],
])('the decision in %j is %j', (given, decision) => {
  expect(readDecision(given)).toEqual(decision);
});

const raw = (payload: Payload) => RawValue.fromPayload(payload) as RawValue;
const encoded = (encoding: string, data: string): RawValue =>
  raw({ metadata: { encoding: Buffer.from(encoding) }, data: Buffer.from(data) });
const nested = (levels: number): unknown => (levels === 0 ? 1 : [nested(levels - 1)]);

describe('an argument', () => {
  test.each([null, 'text', { a: [{ b: 1 }] }, nested(MESSAGE_DEPTH_MAX)])('%j is decoded', (value) => {
    expect(decode(raw(defaultPayloadConverter.toPayload(value)))).toEqual(value);
  });

  test('that was not given is undefined', () => {
    expect(decode(undefined)).toBeUndefined();
  });

  test.each([
    ['of broken JSON', encoded('json/plain', '{"a":')],
    ['of an unknown encoding', encoded('binary/encrypted', '{}')],
    ['without metadata', raw({ data: Buffer.from('{}') })],
    ['without data', raw({ metadata: { encoding: Buffer.from('json/plain') } })],
    ['that is too large', encoded('json/plain', JSON.stringify('x'.repeat(MESSAGE_BYTES_MAX)))],
    ['that is too deep', encoded('json/plain', JSON.stringify(nested(MESSAGE_DEPTH_MAX + 1)))],
    ['that is deeper than a stack', encoded('json/plain', `${'['.repeat(8_000)}${']'.repeat(8_000)}`)],
  ])('%s is read by no reader', (_what, argument) => {
    const value = decode(argument);
    expect(typeof value).toBe('symbol');
    expect([readItemEnd(value), readReason(value), readDecision(value), readWindow(value)]).toEqual(
      Array(4).fill(undefined),
    );
  });
});

describe('a request', () => {
  const handled: unknown[] = [];
  let refused: string | undefined;
  beforeEach(() => {
    handled.length = 0;
    refused = undefined;
  });
  const set = <Message>(read: (message: unknown) => Message | undefined): void =>
    onRequest<Message, string>(
      { name: 'request' },
      {
        read,
        expected: 'what it is',
        description: 'what it does',
        refuse: () => refused,
        handle: (given) => {
          handled.push(given);
          return 'done';
        },
      },
    );
  /** Sends an Update as the SDK does: what the validator throws is the answer. */
  const update = (argument: RawValue | undefined): unknown => {
    const { handle, validator } = handlers.get('update') ?? {};
    try {
      validator?.(argument);
    } catch (error) {
      return error;
    }
    return handle?.(argument);
  };
  const refusedWith = (why: string) =>
    expect.objectContaining({
      type: 'MessageRefused',
      nonRetryable: true,
      details: [{ type: 'MessageRefused', message: why }],
    });
  const junk = fc.constantFrom(
    encoded('json/plain', '{"a":'),
    encoded('binary/encrypted', '{}'),
    raw({ data: Buffer.from('{}') }),
    encoded('json/plain', JSON.stringify('x'.repeat(MESSAGE_BYTES_MAX))),
    encoded('json/plain', JSON.stringify(nested(MESSAGE_DEPTH_MAX + 1))),
  );
  const argument = fc.oneof(
    {
      weight: 5,
      arbitrary: message.filter((one) => one !== undefined).map((one) => raw(defaultPayloadConverter.toPayload(one))),
    },
    {
      weight: 3,
      arbitrary: fc
        .constantFrom({ task_id: 'a1' }, { buy_again: true }, { window: 5 }, { reason: 'a test' })
        .map((one) => raw(defaultPayloadConverter.toPayload(one))),
    },
    { weight: 1, arbitrary: junk },
    { weight: 1, arbitrary: fc.constant(undefined) },
  );

  test.each([
    ['cancel, pause or resume', readReason],
    ['resolveSubmit', readDecision],
    ['setWindow', readWindow],
  ])('of %s has the same effect as a signal and as an Update, and an Update without effect says why', (_name, read) => {
    set<unknown>(read);
    let answered = 0;
    fc.assert(
      fc.property(argument, fc.option(fc.constant('not now'), { nil: undefined }), (given, reason) => {
        handled.length = 0;
        refused = reason;
        const value = decode(given);
        const expected = typeof value === 'symbol' ? undefined : read(value);
        const takes = expected !== undefined && reason === undefined;

        expect(handlers.get('signal')?.handle(given)).toBeUndefined();
        expect(handled).toEqual(takes ? [expected] : []);
        handled.length = 0;
        const answer = update(given);
        expect(handled).toEqual(takes ? [expected] : []);
        if (takes) expect(answer).toBe('done');
        else expect(answer).toEqual(refusedWith(expected === undefined ? 'what it is' : 'not now'));
        answered += takes ? 1 : 0;
      }),
      { numRuns: 300 },
    );
    expect(answered).toBeGreaterThan(5);
  });

  test('that a worker of another version has accepted and this one cannot read fails, and the run goes on', () => {
    set(readDecision);
    const accepted = () => handlers.get('update')?.handle(encoded('json/plain', '{}'));
    expect(accepted).toThrow(ApplicationFailure);
    expect(handled).toEqual([]);
  });
});
