import { brotliCompressSync, constants, deflateSync, gzipSync } from 'node:zlib';
import { type Payload, RawValue } from '@temporalio/common';
import { expect } from 'vitest';
import { checkManifest, invalidManifest } from '../../src/batch/manifest.js';
import { batchInputIssues } from '../../src/contract/batch-input.js';
import { bytesOf, cutToBytes } from '../../src/contract/bounds.js';
import { toFailure } from '../../src/contract/failure.js';
import { cleanText } from '../../src/contract/safe-text.js';
import { callerAttributes } from '../../src/contract/search-attributes.js';
import { invalidRequest, parseRequest, requestIssues } from '../../src/contract/validate.js';
import { classifyProviderError } from '../../src/dashscope/errors.js';
import { errorAnswer, listAnswer, policyAnswer, taskAnswer } from '../../src/dashscope/wire.js';
import { decodeBody } from '../../src/net/encoding.js';
import { redactText } from '../../src/net/redact.js';
import { readWindow } from '../../workflows/batch/batch-state.js';
import { readItemEnd } from '../../workflows/batch/read-item-end.js';
import { decode } from '../../workflows/shared/message-handlers.js';
import { readReason } from '../../workflows/shared/read-reason.js';
import { isSlotRelease, isSlotRequest, isSlotWithdrawal } from '../../workflows/slots/message-guards.js';
import { readDecision } from '../../workflows/video/read-decision.js';
import { isSlotAnswer } from '../../workflows/video/slot-answer.js';
import { Random } from './random.js';

/** What every text that a person or Temporal sees is free of. */
const UNSAFE = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}\u202a-\u202e\u2066-\u2069]/u;
/** Texts and numbers that have stopped a program somewhere, as they are written in JSON. */
const SNIPPETS = [
  ...['null', '0', '-1', '1e300', '9007199254740993', 'true', '""', '[]', '{}', '"__proto__"', '"constructor"'],
  ...['"\\ud800"', '"\\u0000"', '"\\u001b[31m"', '"\\u202e"', '"../../x"', '"sk-abcdef123456"', '"a://b@c?d"'],
  ...['{"toString":1}', '[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]', `"${'x'.repeat(5_000)}"`],
];
const NAMES = ['__proto__', 'constructor', 'toString', 'labels', 'output', 'usage', 'item_id', '', 'x'.repeat(300)];

const REQUEST = {
  prompt: 'a boat drifts',
  duration: 4,
  fps: 24,
  size: '1280*720',
  reference_image: 'https://images.example/boat.jpg?Signature=s',
  audio_url: null,
  tenant: 'acme',
  labels: { season: 'spring', shot: '7' },
  deadline_seconds: 600,
};
const ANSWER = {
  request_id: 'r-1',
  code: 'InvalidParameter',
  message: 'the prompt is empty',
  output: {
    task_id: 't-1',
    task_status: 'SUCCEEDED',
    submit_time: '2026-11-29 10:00:00.000',
    end_time: '2026-11-29 10:01:00.000',
    orig_prompt: 'a boat drifts',
    video_url: 'https://results.example/a.mp4?Signature=s',
    code: 'InternalError',
    message: 'no picture',
  },
  usage: { duration: 5, SR: 720, audio: true },
  data: [{ task_id: 't-1', status: 'RUNNING', start_time: 1_764_000_000_000 }],
  total: 1,
};
/** How a gateway may compress an answer. */
const ENCODINGS: readonly (readonly [string | undefined, (bytes: Buffer) => Buffer])[] = [
  [undefined, (bytes) => bytes],
  ['gzip', (bytes) => gzipSync(bytes, { level: 1 })],
  ['deflate', (bytes) => deflateSync(bytes, { level: 1 })],
  ['br', (bytes) => brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } })],
];
const MESSAGES = [
  { reason: 'wrong picture' },
  { window: 10 },
  { task_id: 'a1' },
  { buy_again: true },
  { key: 'k', afterPurchase: 0, waiting: null },
  { key: 'k', n: 1, settled: { billed: null } },
  { key: 'k', afterPurchase: 0, requesterId: 'run', tenant: null, batch: null, priority: 'batch', limit: 5 },
  {
    item_id: 'one',
    outcome: 'failed',
    cause: 'TaskFailed',
    code: null,
    message: 'm',
    run: 'batch/b/one',
    task_id: 't',
    video_url: null,
    sha256: null,
    billed: false,
    billed_seconds: 0,
    resolution: '720P',
    audio: false,
    duration: null,
    timings: null,
    started_at_ms: 1,
    ended_at_ms: 2,
  },
];

/** A copy of a value with one to four members replaced, added or removed, as JSON gives it to a program. */
function changed(random: Random, seed: unknown): unknown {
  let text = JSON.stringify(seed);
  for (let left = random.between(1, 4); left > 0; left--) {
    const value: unknown = JSON.parse(text);
    const places: [object, string][] = [];
    const collect = (one: unknown): void => {
      if (typeof one !== 'object' || one === null) return;
      for (const name of Object.keys(one)) {
        places.push([one, name]);
        if (places.length < 100) collect(Reflect.get(one, name));
      }
    };
    collect(value);
    const [holder, name] = random.pick([...places, [value, random.pick(NAMES)] as [object, string]]);
    if (typeof holder !== 'object' || holder === null) continue;
    if (random.chance(0.1)) Reflect.deleteProperty(holder, name);
    else {
      const to = random.chance(0.2) ? random.pick(NAMES) : name;
      Object.defineProperty(holder, to, {
        value: JSON.parse(random.pick(SNIPPETS)),
        enumerable: true,
        configurable: true,
        writable: true,
      });
    }
    text = JSON.stringify(value);
  }
  return JSON.parse(text);
}

/** Bytes of a text or of a body with a few bytes flipped, cut or repeated. */
function damaged(random: Random, text: string | Buffer): Buffer {
  let bytes = Buffer.from(text);
  for (let left = random.between(0, 4); left > 0; left--) {
    const at = random.between(0, Math.max(0, bytes.length - 1));
    const kind = random.pick(['flip', 'cut', 'insert', 'repeat'] as const);
    if (kind === 'flip') bytes[at] = random.between(0, 255);
    else if (kind === 'cut') bytes = bytes.subarray(0, at);
    else if (kind === 'insert')
      bytes = Buffer.concat([bytes.subarray(0, at), Buffer.from(random.pick(SNIPPETS)), bytes.subarray(at)]);
    else bytes = Buffer.concat([bytes, bytes.subarray(at, at + 2_000)]);
  }
  return Buffer.from(bytes);
}

function expectClean(texts: readonly (string | undefined)[]): void {
  for (const text of texts) expect(text ?? '').not.toMatch(UNSAFE);
}

/** Checks one request: its faults are few, clean and short, and what is accepted is what Temporal takes. */
function fuzzRequest(random: Random): void {
  const request = changed(random, REQUEST);
  const issues = requestIssues(request);
  expect(batchInputIssues(request).length).toBeLessThan(102);
  if (issues.length === 0) {
    const { tenant, labels } = parseRequest(request);
    const attributes = callerAttributes({ tenant, labels }, false);
    for (const values of Object.values(attributes)) {
      expect(bytesOf(JSON.stringify(values))).toBeLessThanOrEqual(2_048);
      expectClean(values);
    }
    return;
  }
  const failure = toFailure(invalidRequest(issues));
  expectClean([failure.message, ...(failure.issues ?? []).flatMap(({ path, message }) => [path, message])]);
  expect(JSON.stringify(failure).length).toBeLessThan(100_000);
}

/** Checks one answer of the provider: it is read or refused, and its texts are bounded, and clean where shown. */
function fuzzAnswer(random: Random): void {
  const answer = changed(random, ANSWER);
  for (const read of [taskAnswer('t-1'), listAnswer(1), policyAnswer]) {
    const { value, oddities } = read(answer);
    expect(JSON.stringify(value ?? null).length).toBeLessThan(60_000);
    expect(oddities.length).toBeLessThan(200);
  }
  const { code, message } = errorAnswer('query', answer);
  const failure = toFailure(
    classifyProviderError({ status: random.pick([200, 400, 403, 429, 500]), code, message }, 'query'),
  );
  expectClean([failure.message, failure.code, failure.next_step]);
  expect(failure.message.length).toBeLessThanOrEqual(600);
}

/** Checks the bytes of one answer, compressed by a gateway or not: they are read or refused, within a bound. */
async function fuzzBody(random: Random): Promise<void> {
  const max = 20_000;
  const text = damaged(random, JSON.stringify(changed(random, ANSWER)));
  const [encoding, encode] = random.pick(ENCODINGS);
  const body = damaged(random, encode(random.chance(0.2) ? Buffer.alloc(2_000_000) : text));
  const given = random.chance(0.8) ? encoding : random.pick(NAMES);
  const decoded = await decodeBody(body, given, max).catch((error: unknown) => {
    expect(error).toBeInstanceOf(Error);
    return undefined;
  });
  // What is not compressed is bounded where it is received.
  if (decoded !== undefined && decoded !== body) expect(decoded.length).toBeLessThanOrEqual(max);
}

/** Checks one manifest: every line is an item or has faults, and the failure of all of them is bounded. */
async function fuzzManifest(random: Random): Promise<void> {
  const lines = Array.from({ length: random.between(1, 8) }, () =>
    damaged(random, JSON.stringify(changed(random, { item_id: 'one', comment: 'c', ...REQUEST }))),
  );
  const body = Buffer.concat(lines.flatMap((line) => [line, Buffer.from(random.pick(['\n', '\r\n', '\n\n', '']))]));
  const { items, faults } = await checkManifest(
    (async function* () {
      for (let at = 0; at < body.length; at += 4_096) yield body.subarray(at, at + 4_096);
    })(),
  );
  expect(items + faults.length).toBeGreaterThan(0);
  if (faults.length === 0) return;
  const failure = toFailure(invalidManifest('m.jsonl', faults));
  expectClean([failure.message, ...(failure.issues ?? []).flatMap(({ path, message }) => [path, message])]);
  expect(JSON.stringify(failure).length).toBeLessThan(100_000);
}

/** Checks one argument of a signal, with every reader. */
function fuzzMessage(random: Random): void {
  const data = damaged(random, JSON.stringify(changed(random, random.pick(MESSAGES))));
  const encoding = random.pick(['json/plain', 'json/plain', 'json/plain', 'binary/plain', 'json/protobuf', 'x', '']);
  const payload: Payload = { metadata: { encoding: Buffer.from(encoding) }, data };
  const message = decode(RawValue.fromPayload(payload) as RawValue);
  const read = [readItemEnd(message), readReason(message), readDecision(message), readWindow(message)];
  for (const guard of [isSlotAnswer, isSlotRequest, isSlotRelease, isSlotWithdrawal]) guard(message);
  for (const value of read) {
    expect(JSON.stringify(value ?? null).length).toBeLessThan(6_000);
    if (typeof value === 'object') expectClean(Object.values(value).filter((text) => typeof text === 'string'));
  }
}

/** Checks the cleaning of one text. */
function fuzzText(random: Random): void {
  const parts = [...SNIPPETS, '\u001b]0;', '\u009b', '\u0007', 'Bearer x', 'data:a/b;base64,', '\ud83d', '😀', '\n'];
  const text = Array.from({ length: random.between(0, 40) }, () => random.pick(parts)).join('');
  const max = random.between(2, 6_000);
  const clean = cleanText(text, max);
  expectClean([clean, redactText(text, ['abcdef'], max)]);
  expect(clean.length).toBeLessThanOrEqual(max);
  expect(cleanText(clean, max)).toBe(clean);
  expect(redactText(text)).not.toContain('sk-abcdef');
  expect(bytesOf(cutToBytes(text, max + 1))).toBeLessThanOrEqual(max + 1);
}

/**
 * Sends changed requests, answers, manifests, messages and texts through what reads them.
 * @returns how many of each.
 */
export async function fuzzTexts({ seconds, seed }: { readonly seconds: number; readonly seed: number }) {
  const random = new Random(seed);
  const untilMs = Date.now() + seconds * 1000;
  let rounds = 0;
  while (Date.now() < untilMs || rounds < 50) {
    for (const fuzz of [fuzzRequest, fuzzAnswer, fuzzBody, fuzzManifest, fuzzMessage, fuzzText]) {
      const state = { round: rounds, target: fuzz.name, seed };
      try {
        await fuzz(random);
      } catch (cause) {
        throw new Error(`failed in ${JSON.stringify(state)}`, { cause });
      }
    }
    rounds += 1;
  }
  return { rounds };
}
