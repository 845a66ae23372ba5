import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SAFE_TEXT_MAX } from '../../src/contract/safe-text.js';
import { redactText } from '../../src/net/redact.js';

const ESC = '\u001b';

test.each([
  ['a colour', `${ESC}[31mred${ESC}[0m`, 'red'],
  ['a window title', `${ESC}]0;owned\u0007title`, 'title'],
  ['a link of a terminal', `${ESC}]8;;https://evil.example${ESC}\\click${ESC}]8;;${ESC}\\`, 'click'],
  ['an 8-bit sequence', '\u009b2Jgone', 'gone'],
  ['an escape that does not end', `a${ESC}[`, 'a'],
  ['line breaks', 'one\r\ntwo\u2028three\u0085four', 'one two three four'],
  ['NUL and bells', 'a\u0000\u0007b', 'a b'],
  ['direction marks', 'gpj.\u202egepj', 'gpj.gepj'],
  ['invisible marks', 'pay\u200bpal\ufeff', 'paypal'],
  ['a lone surrogate', 'a\ud800b', 'a\ufffdb'],
  ['a pair', 'a😀b', 'a😀b'],
])('%s does not reach a reader', (_what, text, safe) => {
  expect(redactText(text)).toBe(safe);
});

test.each([
  ['a key', 'key sk-abcdef123456 refused', 'key [secret] refused'],
  ['a bearer token', 'Bearer abc.def', 'Bearer [secret]'],
  ['a signed link', 'get https://h/v.mp4?Expires=1&Signature=s now', 'get https://h/v.mp4?[redacted] now'],
  [
    'a signed link without its scheme',
    'get //h/v.mp4?X-Amz-Signature=s&v=1 now',
    'get //h/v.mp4?X-Amz-Signature=[redacted]&v=1 now',
  ],
  [
    'what a server has signed',
    'wrong: OSSAccessKeyId=i&Signature=s%3D',
    'wrong: OSSAccessKeyId=[redacted]&Signature=[redacted]',
  ],
  ['a user name', 'http://user:pass@h/', 'http://[redacted]@h/'],
  ['an inline image', 'data:image/png;base64,AAAA=', 'data:[redacted]'],
])('%s is blanked', (_what, text, safe) => {
  expect(redactText(text)).toBe(safe);
});

test('a long text is cut, and a secret across the cut is not shown in part', () => {
  const secret = `https://h/v.mp4?Signature=${'s'.repeat(300)}`;
  for (let at = SAFE_TEXT_MAX - 700; at < SAFE_TEXT_MAX + 50; at += 7) {
    const safe = redactText(`${'x '.repeat(at / 2)}${secret} ${'y'.repeat(9_000)}`);
    expect(safe.length).toBeLessThanOrEqual(SAFE_TEXT_MAX);
    expect(safe).toMatch(/…$/);
    expect(safe).not.toContain('Signature=s');
  }
  expect(redactText('a'.repeat(9_000), [], 100)).toBe(`${'a'.repeat(99)}…`);
});

test.each([
  ['one plain word', 'a'.repeat(10_000_000)],
  ['schemes', 'a://'.repeat(2_500_000)],
  ['inline images', 'data:a/a;base64,'.repeat(600_000)],
  ['escapes', `${ESC}[`.repeat(5_000_000)],
  ['keys', 'sk-'.repeat(3_000_000)],
  ['signatures', 'x-amz-signature='.repeat(600_000)],
])('ten megabytes of %s cost no more than a page', (_what, text) => {
  expect(redactText(text).length).toBeLessThanOrEqual(SAFE_TEXT_MAX);
});

test('any text comes out as one printable line, and that line stays as it is', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 5_000 }), (text) => {
      const safe = redactText(text);
      expect(safe).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]/u);
      expect(redactText(safe)).toBe(safe);
    }),
    { numRuns: 300 },
  );
});
