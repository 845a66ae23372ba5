import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bytesOf, cutToBytes, INPUT_DEPTH_MAX, isDeeperThan } from '../../src/contract/bounds.js';
import { toFailure } from '../../src/contract/failure.js';
import { FailureType } from '../../src/contract/failure-type.js';
import { cleanIssues } from '../../src/contract/issues.js';
import { cleanLines, cleanText } from '../../src/contract/safe-text.js';
import { VideoError } from '../../src/contract/video-error.js';
import { toFailureRecord } from '../../src/ledger/records.js';
import { table } from '../../src/text/table.js';

const RED = '\u001b[31mred\u001b[0m';

describe('a text', () => {
  test('is cut to bytes between two characters', () => {
    expect(cutToBytes('short', 400)).toBe('short');
    expect(cutToBytes('é'.repeat(300), 400)).toBe(`${'é'.repeat(198)}…`);
    expect(cutToBytes('😀'.repeat(200), 400)).toBe(`${'😀'.repeat(99)}…`);
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 900 }), fc.integer({ min: 3, max: 500 }), (text, max) => {
        expect(bytesOf(cutToBytes(text, max))).toBeLessThanOrEqual(max);
      }),
    );
  });

  test('is cut without half a character, and cleaning it again changes nothing', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 900 }), fc.integer({ min: 2, max: 300 }), (text, max) => {
        const clean = cleanText(text, max);
        expect(clean.length).toBeLessThanOrEqual(max);
        expect(clean).not.toMatch(/\p{Cs}/u);
        expect(cleanText(clean, max)).toBe(clean);
      }),
    );
  });

  test('of several lines keeps its lines, and nothing else that a terminal obeys', () => {
    expect(cleanLines(`run ${RED}\nstatus\u0007 \u009b2Jok\n`)).toBe('run red\nstatus  ok\n');
    expect(table(['name', 'message'], [['a', `${RED}\nnext \u202eline`]])).toBe('name  message\na     red next line');
  });
});

test('a value is walked only as deep as its limit, in a number of steps that its size bounds', () => {
  const nested = (levels: number) => JSON.parse(`${'['.repeat(levels)}${']'.repeat(levels)}`);
  expect(isDeeperThan(INPUT_DEPTH_MAX, nested(INPUT_DEPTH_MAX))).toBe(false);
  expect(isDeeperThan(INPUT_DEPTH_MAX, nested(INPUT_DEPTH_MAX + 1))).toBe(true);
  expect(isDeeperThan(INPUT_DEPTH_MAX, nested(9_000))).toBe(true);
});

describe('a failure of any size', () => {
  const long = 'x'.repeat(300_000);
  const issues = Array.from({ length: 10_000 }, () => ({ path: long, message: `${RED}${long}` }));
  const error = new VideoError(FailureType.TaskFailed, `${RED}\n${long}`, {
    issues,
    code: long,
    taskId: long,
    requestId: `${RED}${long}`,
    nextStep: long,
  });

  test('is a bounded payload of clean texts', () => {
    const failure = toFailure(error);
    expect(JSON.stringify(failure).length).toBeLessThan(100_000);
    expect(JSON.stringify(failure)).not.toContain('\\u001b');
    expect(failure.message).toMatch(/^red x+…$/);
    expect(failure.issues).toHaveLength(101);
    expect(failure.issues?.at(-1)).toEqual({ path: '', message: 'and 9900 more' });
  });

  test('closes its purchase: its record is far below the limit of records', () => {
    expect(JSON.stringify(toFailureRecord(error)).length).toBeLessThan(10_000);
  });

  test('with faults that are short is as it was', () => {
    const given = [{ path: 'fps', message: 'must be a number' }];
    expect(cleanIssues(given)).toEqual(given);
  });
});
