import { expect, test } from 'vitest';
import { redacted } from '../../src/worker/logger.js';

test('a link or a token in quotes is blanked, and the log line stays readable', () => {
  const error = new Error('cannot read "https://a.example/x.png?Signature=abc" with "Bearer sk-0123456789" now');
  const line = redacted({ error, attempt: 1, bytes: 5n, nested: { url: '"https://u:p@h.example/?q=1"' } });
  expect(line).toMatchObject({ attempt: 1, bytes: '5', nested: { url: '"https://[redacted]@h.example/?[redacted]"' } });
  expect(line['error']).toContain('cannot read "https://a.example/x.png?[redacted]" with "Bearer [secret]" now');
});
