import { expect, test } from 'vitest';
import { cleanText } from '../../src/contract/safe-text.js';
import { requestIssues } from '../../src/contract/validate.js';
import { fuzzSeconds } from './media-fuzz.js';
import { fuzzTexts } from './text-fuzz.js';

test('changed requests, answers, manifests, messages and texts are read or refused, within bounds', async () => {
  expect((await fuzzTexts({ seconds: fuzzSeconds(2), seed: 17 })).rounds).toBeGreaterThanOrEqual(50);
}, 60_000);

/** The shortest of several times, which another program on the machine has disturbed least. */
function shortestMs(work: () => unknown): number {
  const times = Array.from({ length: 5 }, () => {
    const before = process.cpuUsage();
    work();
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  });
  return Math.max(0.5, Math.min(...times));
}

test.each([
  ['one word', 'a'],
  ['escapes', '\u001b['],
  ['unfinished strings', '\u001b]0;'],
  ['control characters', '\u0000'],
])('the cost of cleaning %s grows with the length, not with its square', (_what, part) => {
  const text = (length: number) => part.repeat(Math.ceil(length / part.length));
  const [short, long] = [text(50_000), text(800_000)];
  const cost = (given: string) => shortestMs(() => cleanText(given, Number.POSITIVE_INFINITY));
  // Sixteen times the text takes some sixteen times as long; with the square it were 256 times.
  expect(cost(long) / cost(short)).toBeLessThan(100);
});

test('the cost of refusing a request does not grow with what it holds beyond its bounds', () => {
  const request = (length: number) => ({
    ['x'.repeat(length)]: 1,
    prompt: 'p'.repeat(length),
    size: 's'.repeat(length),
  });
  const cost = (length: number) => {
    const given = request(length);
    return shortestMs(() => requestIssues(given));
  };
  expect(cost(1_600_000) / cost(100_000)).toBeLessThan(100);
});
