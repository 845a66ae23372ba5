import { expect, test } from 'vitest';
import { decorate } from '../../src/text/decorate.js';

const TEXT = [
  'wan-video: it failed',
  'status    failed',
  'video     https://example.com/船.mp4.',
  'warning   odd: an answer',
  'RUN  STATUS',
  'Copied to /tmp/a b.mp4.',
].join('\n');
const terminal = { isTTY: true };
const link = (address: string, text: string): string => `\x1b]8;;${address}\x1b\\${text}\x1b]8;;\x1b\\`;

test('on a terminal names, ends and heads have colours, and paths and addresses are links', () => {
  expect(decorate(TEXT, { stream: terminal, env: {}, paths: ['/tmp/a b.mp4'] }).split('\n')).toEqual([
    '\x1b[31mwan-video: it failed\x1b[0m',
    '\x1b[2mstatus    \x1b[0m\x1b[31mfailed\x1b[0m',
    `\x1b[2mvideo     \x1b[0m${link('https://example.com/%E8%88%B9.mp4', 'https://example.com/船.mp4')}.`,
    '\x1b[2mwarning   \x1b[0m\x1b[33modd: an answer\x1b[0m',
    '\x1b[1mRUN  STATUS\x1b[0m',
    `Copied to ${link('file:///tmp/a%20b.mp4', '/tmp/a b.mp4')}.`,
  ]);
});

test('NO_COLOR leaves links alone', () => {
  expect(decorate('video     https://example.com/a', { stream: terminal, env: { NO_COLOR: '1' } })).toBe(
    `video     ${link('https://example.com/a', 'https://example.com/a')}`,
  );
});

test.each([
  { where: 'in a pipe', stream: {}, env: {} },
  { where: 'in CI', stream: terminal, env: { CI: 'true' } },
  { where: 'on a dumb terminal', stream: terminal, env: { TERM: 'dumb' } },
])('$where a text stays as it is', ({ stream, env }) => {
  expect(decorate(TEXT, { stream, env, paths: ['/tmp/a b.mp4'] })).toBe(TEXT);
});
